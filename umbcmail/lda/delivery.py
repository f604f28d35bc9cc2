"""What becomes of a message for one recipient: who that is, what is to be done as that
user, and what the client is told of what came of it.

Asked by `dialogue`; asks the directory of `users` and the `children`.  What is not known
answers 4xx.
"""

from __future__ import annotations

import os
import re
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from secrets import token_hex
from typing import Any, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from umbcmail import reply
from umbcmail.lda import placeholders, statuses
from umbcmail.lda.children import Answer, Children
from umbcmail.lda.letter import Letter
from umbcmail.lda.users import Directory, DontKnow, User
from umbcmail.localaddress import deliveredTo, deliveryFields, isPrintable, userAndDetail
from umbcmail.maillog import MailLog
from umbcmail.reply import Reply

REFUSED_FULL = reply.reply(552, "5.2.2", "The mailbox is full")
NO_DIRECTORY = reply.reply(451, "4.3.0", "The users can't be looked up at present, try again later")
NO_FORWARD = reply.reply(250, "", "NONE")
NO_CREDENTIALS = reply.reply(451, "4.3.0", "Nothing can be delivered at present, try again later")
_REPLIES = {
    "delivered": reply.DELIVERED,
    "duplicate": reply.DELIVERED,
    "full": reply.MAILBOX_FULL,
    "refused-full": REFUSED_FULL,
    "no-storage": reply.NO_STORAGE,
    "trouble": reply.MAILBOX_TROUBLE,
    "unsafe": reply.MAILBOX_TROUBLE,
    "forbidden": reply.PROGRAM_REFUSED,
    "no-file": reply.NO_SUCH_FILE,
    "missing": statuses.COMMAND_LATER,
    "timeout": statuses.COMMAND_LATER,
    "signal": statuses.COMMAND_LATER,
}
_ID = re.compile(
    rb"(?:delivered-to:[^\n]*\n)?received:[^\n]*\n(?:[ \t][^\n]*\n)*?[ \t][^\n]* id ([0-9A-Za-z.-]{1,64})[;\s]",
    re.IGNORECASE,
)
_MESSAGE_ID = re.compile(rb"^message-id[ \t]*:[ \t]*(?:\n[ \t]+)?([^\n]+)", re.IGNORECASE | re.MULTILINE)
_NO_NAME = re.compile("[/\\x00-\\x20\\x7f:]|^[-.]|^$")
"""What no user is called."""


@dataclass(frozen=True, slots=True)
class Addressee:
    """A recipient who is there.

    @ivar address: as given.
    @ivar program: what is to get the message in place of the mailbox, C{""}: nothing.
    @ivar file: where it is to be written in place of the mailbox, likewise.
    """

    address: str
    user: User
    detail: str
    program: str = ""
    file: str = ""


class Needs(Protocol):
    """What deliveries need."""

    @property
    def areThere(self) -> bool:
        """They have it now."""


class _Nothing:
    areThere = True


WITHOUT_NEEDS = _Nothing()


class Delivery:
    """Delivers.

    @ivar results: how many deliveries there were, by what came of them.
    """

    def __init__(
        self,
        directory: Directory,
        children: Children,
        settings: Mapping[str, Any],
        hostName: str,
        log: MailLog,
        clock: Any,
        needs: Needs = WITHOUT_NEEDS,
    ) -> None:
        self._needs = needs
        self.results: Counter[str] = Counter()
        self._directory = directory
        self._children = children
        self._settings = settings
        self._statuses = dict(settings["statuses"])
        self._log = log
        self._clock = clock
        self._numbers = count(1)
        self._host = hostName.replace("/", "\\057").replace(":", "\\072")

    # Who it is

    def find(self, address: str, program: str = "", file: str = "") -> Addressee | Reply | Deferred[Addressee | Reply]:
        """The addressee of an address, or why there is none.

        @param program: see L{Addressee}; C{file} likewise.
        """
        if not self._needs.areThere:
            return NO_CREDENTIALS
        name, detail = userAndDetail(address, self._settings["delimiter"], self._settings["lower-case"])
        if _NO_NAME.search(name) or not isPrintable(address):
            return reply.UNKNOWN_USER
        found = self._directory.lookUp(name)
        if isinstance(found, User):
            return self._addressee(found, address, detail, program, file)
        return found.addCallbacks(
            self._addressee, self._unknown, callbackArgs=(address, detail, program, file), errbackArgs=(address,)
        )

    def _addressee(self, user: User | None, address: str, detail: str, program: str, file: str) -> Addressee | Reply:
        if user is None:
            return reply.UNKNOWN_USER
        if user.uid < self._settings["lowest-uid"] or user.gid == 0:
            self._log.event("local-refused", "-", recipient=f"<{address}>", user=user.name, why="a user of the system")
            return reply.UNKNOWN_USER
        return Addressee(address, user, detail, program, file)

    def _unknown(self, failure: Failure, address: str) -> Reply:
        if failure.check(DontKnow):
            self._log.trouble("-", "lda", f"{address}: {failure.getErrorMessage()}")
        else:
            self._log.bug("-", "lda", failure)
        return NO_DIRECTORY

    # What is done

    def deliver(self, to: Addressee, letter: Letter) -> Deferred[Reply]:
        """Deliver a message to one of its recipients.

        @param letter: must live until the L{Deferred} has fired, which never fails.
        """
        found = _ID.match(letter.beginning)
        id, start = found[1].decode() if found else "-", self._clock.seconds()
        if to.address.lower() in deliveredTo(letter.beginning):
            return succeed(self._told({"result": "loop"}, id, to, reply.DELIVERED_BEFORE, start))
        if not self._needs.areThere:
            return succeed(self._told({"result": "no-credentials"}, id, to, NO_CREDENTIALS, start))
        data = deliveryFields(letter.sender, to.address, "\n")
        isCommand = bool(to.program) or (not to.file and self._settings["deliver"] == "command")
        try:
            if to.file:
                line = self._fromLine(letter.sender)
                order = self._file(to, letter, len(data), len(line))
                data = line + data
            else:
                order = self._command(to, letter) if isCommand else self._maildir(to, letter, len(data))
        except placeholders.BadValue as why:
            said = {"result": "bad-address", "why": f"begins with a dash in {why}"}
            return succeed(self._told(said, id, to, reply.BAD_MAILBOX, start))
        if isCommand and self._settings["from-line"]:
            data = self._fromLine(letter.sender) + data
        done: Deferred[Any] = self._children.deliver(to.user, order, data, letter)
        return done.addCallback(self._answered, id, to, start).addErrback(self._bug, id)

    def _maildir(self, to: Addressee, letter: Letter, top: int) -> dict[str, Any]:
        """
        @param top: octets of the fields that go before the letter.
        """
        settings = self._settings
        header, middle, _ = letter.beginning.partition(b"\n\n")
        known = _MESSAGE_ID.search(header) if middle and settings["duplicates"] else None
        return {
            "way": "maildir",
            "path": settings["maildir"],
            "create": settings["create"],
            "strict": settings["strict-modes"],
            "quota": settings["quota"],
            "refuse": settings["over-quota"] == "refuse",
            "remember": settings["duplicates"],
            "known": [known[1].strip().decode("latin-1"), letter.sender, to.address.lower()] if known else [],
            "body": top + len(header),
            "name": self._name(),
        }

    def _file(self, to: Addressee, letter: Letter, top: int, line: int) -> dict[str, Any]:
        """
        @param line: octets of a line that goes before all.
        """
        more = {"path": to.file, "line": line, "folders": self._settings["file-folders"]}
        return {**self._maildir(to, letter, top + line), "way": "file", **more}

    def _name(self) -> str:
        """A name that no other file in a Maildir has or had (maildir(5))."""
        seconds, fraction = divmod(self._clock.seconds(), 1)
        number = next(self._numbers)
        return f"{int(seconds)}.M{int(fraction * 1e6)}P{os.getpid()}Q{number}R{token_hex(8)}.{self._host}"

    def _command(self, to: Addressee, letter: Letter) -> dict[str, Any]:
        if to.program:
            return {"way": "program", "program": to.program, "folder": self._settings["program-folder"]}
        values = {
            "user": to.user.name,
            "detail": to.detail,
            "domain": to.address.rpartition("@")[2].lower() if "@" in to.address else "",
            "recipient": to.address,
            "sender": letter.sender,
            "home": to.user.home,
        }
        return {"way": "command", "argv": placeholders.fill(self._settings["command"], values)}

    def _fromLine(self, sender: str) -> bytes:
        """As mbox files have it, in the time of this host."""
        shown = re.sub("[\\x00-\\x20\\x7f]", "-", sender) or "MAILER-DAEMON"
        return f"From {shown} {time.asctime(time.localtime(self._clock.seconds()))}\n".encode("utf-8", "replace")

    # What users have in their files

    def forwardOf(self, address: str) -> Reply | Deferred[Reply]:
        """What the user of an address has in C{.forward}: a reply with the text in base64, with
        C{NONE}, or why that can't be told."""
        found = self.find(address)
        return found.addCallback(self._asked) if isinstance(found, Deferred) else self._asked(found)

    def _asked(self, to: Addressee | Reply) -> Any:
        if isinstance(to, Reply):
            return to
        settings = self._settings
        order = {
            "way": "forward",
            "detail": to.detail,
            "delimiter": settings["delimiter"],
            "strict": settings["strict-modes"],
            "create": False,
        }
        read = self._children.ask(to.user, order).addCallback(self._read, to)
        return read.addErrback(self._bug, "-")

    def _read(self, answer: Answer, to: Addressee) -> Reply:
        result = str(answer.get("result"))
        if result == "none":
            return NO_FORWARD
        if result == "forward":
            text = b64encode(str(answer["text"]).encode()).decode()
            return reply.reply(250, "", "FORWARD", *(text[at : at + 500] for at in range(0, len(text), 500)))
        why = str(answer.get("why", ""))[:500]
        self._log.event("local-unread", "-", recipient=f"<{to.address}>", user=to.user.name, result=result, why=why)
        return _REPLIES.get(result, reply.LOCAL_ERROR)

    # What came of it

    def _answered(self, answer: Answer, id: str, to: Addressee, start: float) -> Reply:
        result = str(answer.get("result"))
        if result == "exit":
            said = statuses.meaning(int(answer["status"]), self._statuses)
        else:
            said = _REPLIES.get(result, reply.LOCAL_ERROR)
        return self._told(answer, id, to, said, start)

    def _told(self, answer: Answer, id: str, to: Addressee, said: Reply, start: float) -> Reply:
        result = str(answer.get("result"))
        name = "local-delivered" if said.isSuccess else "local-failed" if said.isPermanent else "local-delayed"
        self.results[name.partition("-")[2]] += 1
        self._log.event(
            name,
            id,
            recipient=f"<{to.address}>",
            user=to.user.name,
            result=result,
            status=answer.get("status", answer.get("signal", "")),
            seconds=f"{self._clock.seconds() - start:.3f}",
            reply=said,
            why=str(answer.get("why", ""))[:500],
        )
        return said

    def _bug(self, failure: Failure, id: str) -> Reply:
        """The boundary of the stage."""
        self._log.bug(id, "lda", failure)
        return reply.LOCAL_ERROR
