"""The options of the role C{lda}: who may connect, how mail is delivered, and the limits
of what is done as a user."""

from __future__ import annotations

import re
from typing import Any

from umbcmail.lda import placeholders, quota, statuses
from umbcmail.options import (
    BOOLEAN,
    PATH,
    WORD,
    Kind,
    Option,
    Section,
    choice,
    duration,
    integer,
    listOf,
    size,
    word,
)
from umbcmail.options import TEXT as ANY_TEXT


def _below(value: Any) -> tuple[str, ...]:
    """A path below the home."""
    parts = word(value).split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise ValueError("a path below the home is needed, such as Maildir or mail/inbox")
    return tuple(parts)


def _quota(value: Any) -> str:
    text = str(ANY_TEXT.parse(value))
    quota.parse(text)
    return text


def _argument(value: Any) -> str:
    text = str(ANY_TEXT.parse(value))
    placeholders.check(text)
    return text


def _command(value: Any) -> tuple[str, ...]:
    words: tuple[str, ...] = listOf(Kind("a text", _argument), 1).parse(value)
    if "%" in words[0] or not re.fullmatch(r"/.+|[^/]+", words[0]):
        raise ValueError("a program comes first: an absolute path, or a name without a slash")
    return words


def _status(value: Any) -> tuple[int, str]:
    return statuses.parse(word(value))


def _delimiter(value: Any) -> str:
    text = str(ANY_TEXT.parse(value))
    if len(text) > 1:
        raise ValueError("one character is needed, or none")
    return text


_COMMAND = Kind("a list: the program and its arguments", _command)
_LIMIT = " 0: none."

LDA = Section(
    "lda",
    "The local delivery agent: delivers as the user, in a process of its own (--role lda).",
    (
        Option("listen", PATH, None, "UNIX socket that it listens at, with mode 0660; not set: none."),
        Option("group", WORD, None, "Group of the socket; not set: that of the process."),
        Option("users", listOf(WORD), [], "Users whose processes may connect; root may in any case."),
        Option(
            "needs-postman",
            BOOLEAN,
            False,
            "Deliver only while there is the ticket that the role postman keeps; mail waits without it.",
        ),
        Option("connections", integer(1, 10000), 200, "Connections at the same time."),
        Option("idle", duration(1), "5m", "Time without a sign of the client after which it is sent away."),
        Option("recipient-limit", integer(1, 100000), 1000, "Recipients that a message may have."),
        Option("size-limit", size(1), "200MiB", "Octets that a message may have."),
        Option("spool-memory", size(1, 32 << 20), "256KiB", "Octets of a message over which it is kept in a file."),
        Option(
            "spool-folder", PATH, "/var/tmp", "Folder for these files; they have no name, and end with the process."
        ),
        Option("deliver", choice("maildir", "command"), "maildir", "Into the user's Maildir, or by the command."),
        Option(
            "delimiter", Kind("a character", _delimiter), "+", "What begins the detail of user+detail; empty: nothing."
        ),
        Option("lower-case", BOOLEAN, True, "Users are the same whatever case their address is written in."),
        Option("lowest-uid", integer(1), 1000, "The least uid that mail is delivered as; never root."),
        Option("look-up-time", duration(1), "20s", "How long to wait for the directory of users; then the mail waits."),
        Option("remember", duration(0), "1m", "How long a user that was found is not looked up again."),
        Option("maildir", Kind("a path below the home", _below), "Maildir", "The Maildir, below the home."),
        Option("create", BOOLEAN, True, "Make Maildirs that are missing; otherwise their mail waits."),
        Option("strict-modes", BOOLEAN, True, "No mail into a home or Maildir that others own or can write to."),
        Option(
            "quota",
            Kind("a quota such as 10000000S,1000C, or empty", _quota),
            "",
            "Quota of each Maildir; empty: what its file maildirsize says, if there is one.",
        ),
        Option(
            "over-quota",
            choice("delay", "refuse"),
            "delay",
            "What becomes of mail that does not fit: it waits (452), or is refused (552).",
        ),
        Option(
            "duplicates",
            duration(0),
            "0s",
            "How long a Maildir remembers a message so that it does not come twice; 0s: not at all.",
        ),
        Option(
            "command",
            _COMMAND,
            ["procmail", "-t", "-Y", "-a", "%detail", "-d", "%user"],
            "The program and its arguments; never a shell.",
        ),
        Option("from-line", BOOLEAN, True, "Begin what the command reads with a line From sender date."),
        Option(
            "statuses",
            listOf(Kind("a status such as 69=fail or 77=delay", _status)),
            [],
            "Exit statuses of the command that mean something else than by default.",
        ),
        Option("program-folder", PATH, "/etc/mail/smrsh", "Folder with the programs that |command may name."),
        Option(
            "file-folders",
            listOf(PATH),
            [],
            "Folders beside the home that /file of aliases may be in, as who is delivered to.",
        ),
        Option("processes", integer(1, 10000), 100, "Processes of users at the same time."),
        Option("processes-per-user", integer(1, 1000), 5, "Commands of one user at the same time."),
        Option(
            "process-idle", duration(0), "1m", "How long a user's process waits for the next message to the Maildir."
        ),
        Option("limit-time", duration(1, 86400), "5m", "Time that the delivery to one recipient may take."),
        Option("limit-cpu", duration(0), "2m", "CPU time of a process of a user." + _LIMIT),
        Option("limit-memory", size(), "1GiB", "Address space of a process of a user." + _LIMIT),
        Option("limit-file", size(), 0, "Size of a file that a process of a user may write." + _LIMIT),
        Option("limit-files", integer(0), 256, "Files that a process of a user may have open." + _LIMIT),
    ),
)
