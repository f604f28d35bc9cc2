"""The Maildir courier: all mail of a domain into folders of one owner, unprivileged.

Made by the composition, asked by the attempts.  A message shows in C{new/} when it
is complete and stable; whatever goes wrong on the way (disk full, folder missing)
delays the recipient and leaves nothing behind.  Files are written in threads.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from itertools import count
from secrets import token_hex
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from umbcmail import reply
from umbcmail.destination import Hop
from umbcmail.envelope import Envelope, Recipient
from umbcmail.interfaces import IContent, ICourier
from umbcmail.localaddress import deliveredTo, deliveryFields, isPrintable, userOf
from umbcmail.maillog import MailLog
from umbcmail.options import BOOLEAN, TEXT, Kind, Option, choice, path
from umbcmail.outcome import Outcome
from umbcmail.reply import Reply
from umbcmail.send.mailbox import Batch, Letter, NoMailbox, troubleReply
from umbcmail.send.mailboxpath import BadMailbox, Template


def _template(value: Any) -> str:
    text = path(value)
    Template(text)
    return text


OPTIONS = (
    Option(
        "base",
        Kind("an absolute path with %user and %domain as components", _template),
        "/var/mail/%domain/%user",
        "Maildir of a user; /%user is added when it is not in it.",
    ),
    Option("create", BOOLEAN, True, "Make Maildirs that are missing; otherwise there is no such user."),
    Option("lower-case", BOOLEAN, True, "Users are the same whatever case their address is written in."),
    Option("delimiter", TEXT, "+", "What begins a detail that is not part of the user's name; empty: nothing does."),
    Option("line-ends", choice("lf", "crlf"), "lf", "LF as programs that read Maildirs expect, or CRLF as received."),
)

AT_ONCE = 20
"""Mailboxes that a large message is written to at the same time."""


@implementer(ICourier)
class MaildirCourier:
    """Puts messages into Maildirs."""

    def __init__(
        self,
        base: str,
        reactor: Any,
        log: MailLog,
        inThread: Callable[..., Deferred[Any]],
        hostName: str,
        create: bool = True,
        lowerCase: bool = True,
        delimiter: str = "+",
        lineEnds: str = "lf",
    ) -> None:
        """
        @param base: absolute path with the components C{%user} and C{%domain}.
        @param reactor: tells the time.
        @param inThread: C{deferToThread} or the like; bounds what is done at the same time.
        @param hostName: for the names of files, and the domain of the bare postmaster.
        @raise ValueError: C{base} can't be used.
        """
        self._template = Template(base)
        self._reactor = reactor
        self._log = log
        self._inThread = inThread
        self._hostName = hostName
        self._create = create
        self._lowerCase = lowerCase
        self._delimiter = delimiter
        self._isLF = lineEnds == "lf"
        self._numbers = count(1)
        self._host = hostName.replace("/", "\\057").replace(":", "\\072")
        self._running = 0
        self._stopped: list[Deferred[None]] = []

    def deliver(
        self, envelope: Envelope, content: IContent, recipients: list[Recipient], hops: tuple[Hop, ...]
    ) -> Deferred[list[Outcome]]:
        """See L{ICourier.deliver}; the hops are not looked at."""
        self._running += 1
        done: Deferred[list[Outcome]] = self._delivered(envelope, content, recipients)
        return done.addErrback(self._bug, envelope, recipients).addBoth(self._ended)

    def stop(self) -> Deferred[None]:
        """See L{ICourier.stop}."""
        if not self._running:
            return succeed(None)
        self._stopped.append(Deferred())
        return self._stopped[-1]

    def _ended(self, outcomes: list[Outcome]) -> list[Outcome]:
        self._running -= 1
        if not self._running:
            waiters, self._stopped = self._stopped, []
            for waiter in waiters:
                waiter.callback(None)
        return outcomes

    def _bug(self, failure: Failure, envelope: Envelope, recipients: list[Recipient]) -> list[Outcome]:
        """The boundary of the stage."""
        self._log.bug(envelope.id, "maildir", failure)
        return [Outcome(reply.LOCAL_ERROR)] * len(recipients)

    # A message

    @inlineCallbacks
    def _delivered(self, envelope: Envelope, content: IContent, recipients: list[Recipient]) -> Any:
        if content.data is not None:
            replies = yield self._fromMemory(envelope, content.data, recipients)
        else:
            replies = []
            for at in range(0, len(recipients), AT_ONCE):
                replies += yield self._fromFile(envelope, content, recipients[at : at + AT_ONCE])
        return [
            Outcome(each, command="mailbox", delivered=each.isSuccess and "SUCCESS" in recipient.notify)
            for each, recipient in zip(replies, recipients, strict=True)
        ]

    @inlineCallbacks
    def _fromMemory(self, envelope: Envelope, data: bytes, recipients: list[Recipient]) -> Any:
        letters, replies = self._letters(envelope, data, recipients)
        if letters:
            batch = Batch(list(letters.values()), self._create)
            problems = yield self._inThread(self._whole, batch, data)
            self._settle(envelope, recipients, list(letters), problems, replies)
        return replies

    def _whole(self, batch: Batch, data: bytes) -> list[Failure | None]:
        """In a thread."""
        return batch.whole(data.replace(b"\r\n", b"\n") if self._isLF else data)

    @inlineCallbacks
    def _fromFile(self, envelope: Envelope, content: IContent, recipients: list[Recipient]) -> Any:
        reader = content.open()
        batch: Batch | None = None
        try:
            piece = yield reader.read()
            letters, replies = self._letters(envelope, piece, recipients)
            if letters:
                batch = Batch(list(letters.values()), self._create)
                yield self._inThread(batch.begin)
                yield self._poured(batch, reader, piece, content.size)
                problems = yield self._inThread(batch.finish)
                self._settle(envelope, recipients, list(letters), problems, replies)
            return replies
        except Exception as why:
            if isinstance(why, OSError):
                self._log.trouble(envelope.id, "maildir", f"the message can't be read: {why}")
            else:
                self._log.bug(envelope.id, "maildir", Failure())
            return [reply.LOCAL_ERROR] * len(recipients)
        finally:
            reader.close()
            if batch is not None:
                yield self._inThread(batch.abort)

    @inlineCallbacks
    def _poured(self, batch: Batch, reader: Any, piece: bytes, size: int) -> Any:
        """All of the content, by pieces.

        @raise OSError: it is shorter or longer than it should be.
        """
        left, held = size, b""
        while piece:
            left -= len(piece)
            if self._isLF:
                # A CR at the end of a piece waits for the LF of the next one.
                piece = held + piece
                held = b"\r" if piece.endswith(b"\r") else b""
                piece = piece[: len(piece) - len(held)].replace(b"\r\n", b"\n")
            yield self._inThread(batch.write, piece)
            piece = yield reader.read()
        if held:
            yield self._inThread(batch.write, held)
        if left:
            raise OSError(errno.EIO, "its size is not what it was")

    # A recipient

    def _letters(
        self, envelope: Envelope, start: bytes, recipients: list[Recipient]
    ) -> tuple[dict[int, Letter], list[Reply]]:
        """Which recipients get a letter, by position, and the replies of the others.

        @param start: the beginning of the message, with the header.
        """
        before = deliveredTo(start)
        letters: dict[int, Letter] = {}
        replies = [reply.LOCAL_ERROR] * len(recipients)
        for at, recipient in enumerate(recipients):
            if recipient.address.lower() in before:
                replies[at] = reply.DELIVERED_BEFORE
                continue
            try:
                letters[at] = self._letter(envelope.sender, recipient)
            except BadMailbox:
                replies[at] = reply.BAD_MAILBOX
        return letters, replies

    def _letter(self, sender: str, recipient: Recipient) -> Letter:
        if not isPrintable(recipient.address):
            raise BadMailbox
        user = userOf(recipient.address, self._delimiter, self._lowerCase)
        where = self._template.path(user, recipient.domain or self._hostName)
        fields = deliveryFields(sender, recipient.address, "\n" if self._isLF else "\r\n")
        return Letter(where, fields, self._name())

    def _name(self) -> str:
        """A name that no other file in a Maildir has or had (maildir(5)).  A rename
        would replace one without a word, so chance is added to all that is unique."""
        seconds, fraction = divmod(self._reactor.seconds(), 1)
        return f"{int(seconds)}.M{int(fraction * 1e6)}P{os.getpid()}Q{next(self._numbers)}R{token_hex(8)}.{self._host}"

    def _settle(
        self,
        envelope: Envelope,
        recipients: list[Recipient],
        places: list[int],
        problems: list[Failure | None],
        replies: list[Reply],
    ) -> None:
        """Write replies for letters that have been tried."""
        for at, problem in zip(places, problems, strict=True):
            if problem is None:
                replies[at] = reply.DELIVERED
            elif problem.check(NoMailbox):
                replies[at] = reply.UNKNOWN_USER
            elif isinstance(problem.value, OSError):
                replies[at] = troubleReply(problem.value)
                self._log.trouble(envelope.id, "maildir", f"{recipients[at].address}: {problem.value}")
            else:
                self._log.bug(envelope.id, "maildir", problem)


def make(settings: Mapping[str, Any], tools: Any) -> MaildirCourier:
    """The courier, as configured; see L{umbcmail.interfaces.IPart.make}."""
    return MaildirCourier(
        settings["base"],
        tools.reactor,
        tools.log,
        tools.inThread,
        tools.hostName,
        settings["create"],
        settings["lower-case"],
        settings["delimiter"],
        settings["line-ends"],
    )
