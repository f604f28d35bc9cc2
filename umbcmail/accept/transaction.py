"""One mail transaction of a session: from MAIL to the end of the message.

Made by `dialogue` at MAIL, thrown away at the end, or at RSET, EHLO and the like.
It knows how the content comes in: by DATA, whose octets arrive decoded, or in
chunks, of which a refused one spoils the rest (RFC 3030 section 2).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from umbcmail import reply
from umbcmail.accept.body import Body
from umbcmail.accept.chunks import LineEnds
from umbcmail.accept.fixups import mender
from umbcmail.accept.grammar import CommandError, Mail
from umbcmail.accept.handover import Rules
from umbcmail.accept.parameters import deliveryTime, releaseTime
from umbcmail.accept.received import receivedField
from umbcmail.envelope import Client, Envelope, Recipient
from umbcmail.reply import Reply
from umbcmail.verdict import Answer, Verdict

REASON_LIMIT = 500
"""Characters that are kept of why a message is on hold."""


class Transaction:
    """What a client has said of one message.

    @ivar mail: its MAIL command.
    @ivar recipients: those that have been accepted.
    @ivar discarded: those that the client takes for accepted, and why they get nothing.
    @ivar holds: why the message is put aside, by address of a recipient.
    @ivar holdUntil: see L{Envelope}.
    @ivar deliverBy: likewise.
    @ivar envelope: made when the content begins, before L{None}.
    @ivar body: the content in the making; L{None} before, and when it is refused.
    @ivar lineEnds: of content in chunks; L{None}: no BDAT has been taken.
    @ivar refusal: what was wrong with a chunk; it is said for all that follow.
    """

    __slots__ = (
        "body",
        "deliverBy",
        "discarded",
        "envelope",
        "holdUntil",
        "holds",
        "lineEnds",
        "mail",
        "recipients",
        "refusal",
    )

    def __init__(self, mail: Mail, rules: Rules) -> None:
        """
        @raise CommandError: the message may not be held for so long, or can't be
            delivered so soon.
        """
        self.mail = mail
        self.recipients: list[Recipient] = []
        self.discarded: tuple[tuple[Recipient, str], ...] = ()
        self.holds: dict[str, str] | None = None
        self.holdUntil = 0.0
        if mail.holdFor is not None or mail.holdUntil is not None:
            try:
                self.holdUntil = releaseTime(mail.holdFor, mail.holdUntil, rules.now(), rules.holdLimit)
            except ValueError as why:
                raise CommandError(reply.BAD_HOLD, str(why)) from None
        self.deliverBy = ""
        if mail.deliverBy is not None:
            try:
                by = deliveryTime(mail.deliverBy, rules.now(), rules.deliverBy, self.holdUntil)
            except ValueError as why:
                raise CommandError(reply.BY_TOO_SOON, str(why)) from None
            self.deliverBy = by.text
        self.envelope: Envelope | None = None
        self.body: Body | None = None
        self.lineEnds: LineEnds | None = None
        self.refusal: Reply | None = None

    @property
    def isChunked(self) -> bool:
        """A BDAT has been said, taken or not: DATA and RCPT can't follow."""
        return self.lineEnds is not None or self.refusal is not None

    def take(self, recipient: Recipient, verdict: Verdict) -> bool:
        """What a verdict says becomes of a recipient.  @return: the client hears yes."""
        if verdict.answer is Answer.PERMIT:
            self.recipients.append(recipient)
        elif verdict.answer is Answer.HOLD:
            self.recipients.append(recipient)
            if self.holds is None:
                self.holds = {}
            self.holds[recipient.address] = verdict.why
        elif verdict.answer is Answer.DISCARD:
            self.discarded += ((recipient, verdict.why),)
        else:
            return False
        return True

    @property
    def taken(self) -> int:
        """How many recipients the client takes for accepted."""
        return len(self.recipients) + len(self.discarded)

    def begin(self, id: str, rules: Rules, client: Client, hold: Callable[[bool], None]) -> None:
        """The content begins.  The Received field is made here, so that it is on
        top whatever becomes of the message.

        @param hold: see L{Body}.
        """
        mail = self.mail
        self.envelope = Envelope(
            id,
            mail.sender,
            tuple(self.recipients),
            rules.now(),
            client,
            0,
            rules.agent,
            mail.body,
            mail.smtputf8,
            mail.ret,
            mail.envid,
            mail.requireTLS,
            self.deliverBy,
            self.holdUntil,
        )
        if self.holds:
            self.envelope = _onHold(self.envelope, self.holds)
        trace = receivedField(self.envelope, rules.hostName)
        mend = mender(self.envelope, rules.hostName, rules.mayName) if rules.isSubmission else None
        self.body = Body(trace, rules.sizeLimit, lambda: rules.newContent(id, mail.size), hold, mend)

    def isFirstChunk(self) -> bool:
        """Whether the content begins with the chunk that is being announced.

        @raise CommandError: it can't be taken.
        """
        if self.refusal is not None:
            raise CommandError(self.refusal)
        if not self.taken:
            raise CommandError(reply.NEED_RCPT)
        return self.lineEnds is None

    def checkChunk(self, size: int, limit: int) -> None:
        """@raise CommandError: the message is going to be larger than the limit."""
        if self.body is None or self.body.size + size > limit:
            raise CommandError(reply.MESSAGE_TOO_BIG)

    def beginChunks(self, normalise: bool) -> None:
        """The content is going to come in chunks."""
        self.lineEnds = LineEnds(normalise)

    def add(self, data: bytes) -> None:
        """Octets of the content; thrown away when it is refused."""
        if self.body is None:
            return
        if self.lineEnds is not None:
            data = self.lineEnds.feed(data)
        self.body.add(data)

    def endOfChunk(self, last: bool) -> Reply | None:
        """All octets of a chunk have come.  @return: what is wrong with it."""
        lineEnds, body = self.lineEnds, self.body
        if lineEnds is None or body is None:
            return self.refusal
        if last and (end := lineEnds.finish()):
            body.add(end)
        if lineEnds.bare:
            self.refuse(reply.BARE_LINE_END_IN_DATA)
        elif body.isTooBig:
            self.refuse(reply.MESSAGE_TOO_BIG)
        return self.refusal

    def refuse(self, answer: Reply) -> None:
        """Nothing of it is wanted any more; the first reason stays."""
        self.abort()
        if self.refusal is None:
            self.refusal = answer

    def abort(self) -> None:
        """Give up the content."""
        if self.body is not None:
            self.body.abort()
            self.body = None


def _onHold(envelope: Envelope, holds: Mapping[str, str]) -> Envelope:
    """@param holds: why, by address."""
    held = tuple(dict.fromkeys(r.address for r in envelope.recipients if r.address in holds))
    isAll = all(recipient.address in holds for recipient in envelope.recipients)
    why = "; ".join(dict.fromkeys(holds.values()))[:REASON_LIMIT]
    return replace(envelope, hold=why or "held", heldFor=() if isAll else held)
