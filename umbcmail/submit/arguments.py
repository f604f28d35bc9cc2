"""The arguments of C{sendmail}, as the programs use it that call it.  Pure.

Options are those of Sendmail 8.  What has no meaning here (what to do about errors, how quickly to
deliver) is taken and passed over: programs give it out of habit.  What asks for something that this
command does not do, such as to run the daemon, is refused.
"""

from __future__ import annotations

import getopt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

_LETTERS = "A:B:b:C:cD:d:e:F:f:Gh:IiL:M:mN:nO:o:p:q:R:r:sTtUV:vX:x"
_IN_ONE_WORD = "bdeoqM"
"""Letters whose value stands in the same word, or is not there (C{-q}, C{-d})."""
_MODES = {"m": "send", "s": "smtp", "p": "queue", "i": "aliases"}
_OTHER_MODES = {
    "d": "the daemon is started by: systemctl start umbcmail, or twistd umbcmail run",
    "D": "the daemon is started by: systemctl start umbcmail, or twistd umbcmail run",
    "h": "ask: umbcmail hosts list",
    "H": "ask: umbcmail hosts --help",
    "t": "ask: umbcmail explain",
    "v": "ask: umbcmail explain",
}
_NOTIFY = ("SUCCESS", "FAILURE", "DELAY")


class UsageError(ValueError):
    """The command is wrong; says why."""


@dataclass
class Wanted:
    """What is wanted.

    @ivar mode: C{"send"}, C{"smtp"}, C{"queue"}, C{"aliases"} or C{"run"} (the queue).
    @ivar recipients: as they were given.
    @ivar sender: likewise; L{None}: whoever calls; C{""}: the null sender.
    @ivar fullName: for C{From}; L{None}: that of the user.
    @ivar fromHeader: recipients stand in the header (C{-t}).
    @ivar dotEnds: see L{umbcmail.submit.message.taken}.
    @ivar body: C{""}, C{"7BIT"} or C{"8BITMIME"}.
    @ivar notify: C{""} or words of RFC 3461.
    @ivar ret: C{""}, C{"FULL"} or C{"HDRS"}.
    @ivar envid: plain text.
    @ivar isVerbose: show what is said.
    @ivar isQuiet: errors are told by the status only (C{-oeq}).
    @ivar isForgiving: the status is 0 whatever happens, after the mail has been read (C{-oee}).
    @ivar config: the configuration, L{None} for the usual one.
    """

    mode: str = "send"
    recipients: list[str] = field(default_factory=list)
    sender: str | None = None
    fullName: str | None = None
    fromHeader: bool = False
    dotEnds: bool = True
    body: str = ""
    notify: str = ""
    ret: str = ""
    envid: str = ""
    isVerbose: bool = False
    isQuiet: bool = False
    isForgiving: bool = False
    config: str | None = None


def parse(words: Sequence[str], name: str = "sendmail") -> Wanted:
    """@param words: without the program's name.
    @param name: by which the program was called: C{mailq} and C{newaliases} are modes.
    @raise UsageError: the command is wrong.
    """
    wanted = Wanted(mode={"mailq": "queue", "newaliases": "aliases"}.get(name, "send"))
    try:
        options, wanted.recipients = getopt.getopt(_joined(words), _LETTERS)
    except getopt.GetoptError as why:
        raise UsageError(str(why)) from None
    for option, value in options:
        _take(wanted, option[1], value)
    return wanted


def _joined(words: Sequence[str]) -> list[str]:
    """With a value for options that may have none."""
    found: list[str] = []
    for at, word in enumerate(words):
        if word == "--" or not word.startswith("-") or word == "-":
            takesValue = bool(found) and found[-1][:1] == "-" and found[-1][1:2] in _ALONE and len(found[-1]) == 2
            if takesValue and word != "--":
                found.append(word)
                continue
            return [*found, *words[at:]]
        found.append(word + " " if len(word) == 2 and word[1] in _IN_ONE_WORD else word)
    return found


_ALONE = "ABCDFfhLNOpRrVXx"
"""Letters whose value may be the next word."""


def _take(wanted: Wanted, letter: str, value: str) -> None:
    """One option."""
    value = value.strip() if letter in _IN_ONE_WORD else value
    take = _TAKERS.get(letter)
    if take is not None:
        take(wanted, value)
    elif letter in "oO":
        _set(wanted, letter, value)


def _mode(wanted: Wanted, value: str) -> None:
    if value not in _MODES:
        raise UsageError(f"-b{value}: " + _OTHER_MODES.get(value, "there is no such mode"))
    wanted.mode = _MODES[value]


def _put(name: str, make: Callable[[str], object]) -> Callable[[Wanted, str], None]:
    """What puts a value into an attribute."""
    return lambda wanted, value: setattr(wanted, name, make(value))


def _among(option: str, value: str, words: tuple[str, ...]) -> str:
    if value not in words:
        raise UsageError(f"{option} takes {' or '.join(words)}")
    return value


def _notify(value: str) -> str:
    words = [word.strip() for word in value.split(",")]
    if words != ["NEVER"] and not all(word in _NOTIFY for word in words):
        raise UsageError("-N takes never, or some of success, failure, delay, joined by commas")
    return ",".join(dict.fromkeys(words))


def _set(wanted: Wanted, letter: str, value: str) -> None:
    """C{-oX…} and C{-O Name=value}: those that matter here."""
    if letter == "o":
        name, argument = value[:1], value[1:].strip()
    else:
        long, _, argument = value.partition("=")
        name = {"ignoredots": "i", "errormode": "e", "verbose": "v"}.get(long.strip().lower(), "")
        argument = argument.strip()
    if name == "i":
        wanted.dotEnds = argument.lower()[:1] in ("f", "n", "0") and bool(argument)
    elif name == "e":
        _onErrors(wanted, argument)
    elif name == "v":
        wanted.isVerbose = True


def _onErrors(wanted: Wanted, mode: str) -> None:
    wanted.isQuiet = mode in ("q", "e")
    wanted.isForgiving = mode == "e"


_TAKERS: dict[str, Callable[[Wanted, str], None]] = {
    "b": _mode,
    "q": _put("mode", lambda _: "run"),
    "f": _put("sender", str.strip),
    "r": _put("sender", str.strip),
    "F": _put("fullName", str),
    "t": _put("fromHeader", lambda _: True),
    "i": _put("dotEnds", lambda _: False),
    "v": _put("isVerbose", lambda _: True),
    "C": _put("config", str),
    "B": _put("body", lambda value: _among("-B", value.upper(), ("7BIT", "8BITMIME"))),
    "R": _put("ret", lambda value: _among("-R", value.upper(), ("FULL", "HDRS"))),
    "N": _put("notify", lambda value: _notify(value.upper())),
    "V": _put("envid", str),
    "e": _onErrors,
}
