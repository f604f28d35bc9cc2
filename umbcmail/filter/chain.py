"""The filters of an agent, one after the other: what a session asks them.

L{Filters} is made by the composition for each agent, and a L{FilterSession} of it for each
session of a client.  The first filter that refuses ends the round, and later ones never
hear of what was refused.  Of a complete message each filter sees what those before it have
made of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.python.failure import Failure
from zope.interface import implementer

from umbcmail import reply
from umbcmail.content import MemoryContent
from umbcmail.envelope import Client, Envelope, Recipient
from umbcmail.figure import Figure
from umbcmail.filter.codec import MilterError
from umbcmail.filter.edits import Edits
from umbcmail.filter.facts import Facts, NameOf
from umbcmail.filter.message import HEADER_LIMIT, Message
from umbcmail.filter.milter import Asked, Milter
from umbcmail.filter.settings import FilterTerms
from umbcmail.filter.spares import Spares
from umbcmail.filter.tally import FilterTally, figuresOf
from umbcmail.interfaces import IContent, IContentWriter, IFilters, IFilterSession, IWatched
from umbcmail.maillog import MailLog
from umbcmail.reply import Reply
from umbcmail.verdict import NO_OPINION, Answer, Verdict

Refusal = Reply | None


@implementer(IFilters, IWatched)
class Filters:
    """The filters of one agent.

    @ivar name: of the part, for who watches.
    """

    def __init__(
        self,
        agent: str,
        terms: Sequence[FilterTerms],
        hostName: str,
        sizeLimit: int,
        newContent: Callable[[str], IContentWriter],
        discard: Callable[[IContent], None],
        reactor: Any,
        log: MailLog,
        nameOf: NameOf | None = None,
    ) -> None:
        """
        @param terms: of the filters, in order.
        @param sizeLimit: octets that a message may have.
        @param newContent: makes a place for large content, by a name.
        @param discard: gives up a content.
        @param nameOf: finds names of clients.
        """
        self.name = f"filters of {agent}"
        self.hostName = hostName
        self.sizeLimit = sizeLimit
        self.newContent = newContent
        self.discard = discard
        self.reactor = reactor
        self.log = log
        self.nameOf = nameOf
        self._agent = agent
        self._filters = [(each, FilterTally(), Spares(reactor)) for each in terms]

    def session(self, id: str, port: str, client: Client) -> FilterSession:
        """See L{IFilters.session}."""
        return FilterSession(self, id, port, client)

    def milters(self, facts: Facts, newEdits: Any) -> list[Milter]:
        """Those of a session."""
        return [
            Milter(terms, facts, partial(self._connect, terms), spares, newEdits, self.reactor, self.log, tally)
            for terms, tally, spares in self._filters
        ]

    def _connect(self, terms: FilterTerms, protocol: Any) -> Deferred[Any]:
        return terms.socket.connect(self.reactor, protocol, terms.connect)

    # For who watches

    def condition(self) -> str:
        """See L{IWatched.condition}."""
        bad = [f"{terms.name} is {tally.trouble}" for terms, tally, _ in self._filters if tally.trouble]
        return "; ".join(bad)

    def figures(self) -> Iterable[Figure]:
        """See L{IWatched.figures}."""
        for terms, tally, _ in self._filters:
            yield from figuresOf(self._agent, terms.name, tally)


@implementer(IFilterSession)
class FilterSession:
    """The filters in one session of a client."""

    def __init__(self, filters: Filters, id: str, port: str, client: Client) -> None:
        self._filters = filters
        self._facts = Facts(id, filters.hostName, port, client, filters.nameOf)
        self._milters = filters.milters(self._facts, self._newEdits)
        self._discarded = ""
        self._made = 0
        self._isShowing = False
        self._isClosed = False

    def _newEdits(self, isVerbatim: bool, hold: Callable[[bool], None], message: Message) -> Edits:
        filters, envelope = self._filters, message.envelope
        return Edits(isVerbatim, envelope.smtputf8, filters.sizeLimit, lambda: self._newContent(envelope.id), hold)

    def _newContent(self, id: str) -> IContentWriter:
        self._made += 1
        return self._filters.newContent(f"{id}-f{self._made}")

    # What the session asks

    def introduced(self, client: Client) -> None:
        """See L{IFilterSession.introduced}."""
        isOther = self._facts.introduced(client)
        for milter in self._milters:
            milter.introduce(isOther)

    def mail(
        self, id: str, client: Client, mechanism: str, sender: str, parameters: Sequence[str]
    ) -> Refusal | Deferred[Refusal]:
        """See L{IFilterSession.mail}."""
        self._discarded = ""
        self._facts.message(id, client, mechanism, sender)
        path, words = f"<{sender}>".encode(), [word.encode() for word in parameters]
        return self._round(lambda milter: milter.mail(path, words))

    def recipient(self, recipient: Recipient) -> Refusal | Deferred[Refusal]:
        """See L{IFilterSession.recipient}."""
        self._facts.recipient(recipient.address, recipient.domain)
        path, words = _rcpt(recipient)
        return self._round(lambda milter: milter.recipient(path, words))

    def refused(self, recipient: Recipient, answer: Reply) -> Refusal | Deferred[Refusal]:
        """See L{IFilterSession.refused}."""
        if not any(milter.hearsOfRefused for milter in self._milters):
            return None
        self._facts.recipient(answer.text, answer.enhanced, "error")
        path, words = _rcpt(recipient)

        def tell(milter: Milter) -> Asked:
            said = milter.recipient(path, words) if milter.hearsOfRefused else NO_OPINION
            return said.addCallback(lambda _: NO_OPINION) if isinstance(said, Deferred) else NO_OPINION

        return self._round(tell)

    def data(self) -> Refusal | Deferred[Refusal]:
        """See L{IFilterSession.data}."""
        return self._round(lambda milter: milter.data())

    def unknown(self, line: bytes) -> Refusal | Deferred[Refusal]:
        """See L{IFilterSession.unknown}."""
        return self._round(lambda milter: milter.unknown(line))

    def _round(self, ask: Callable[[Milter], Asked], at: int = 0) -> Refusal | Deferred[Refusal]:
        """Ask one filter after the other, as long as none says no."""
        if self._isClosed and not self._isShowing:
            return reply.FILTER_LATER
        milters = self._milters
        while at < len(milters) and not self._discarded:
            said = ask(milters[at])
            at += 1
            if isinstance(said, Deferred):
                return said.addCallback(self._next, ask, at)
            if said.answer is not Answer.NO_OPINION and (refusal := self._heard(said)) is not None:
                return refusal
        return None

    def _next(self, said: Verdict, ask: Callable[[Milter], Asked], at: int) -> Any:
        refusal = self._heard(said)
        return refusal if refusal is not None else self._round(ask, at)

    def _heard(self, said: Verdict) -> Refusal:
        if said.answer is Answer.DISCARD:
            self._discarded = said.why
            for milter in self._milters:
                milter.end()
        return said.reply

    # A message

    def message(self, envelope: Envelope, content: IContent) -> Deferred[Any]:
        """See L{IFilterSession.message}."""
        self._isShowing = True
        data = content.data
        if data is not None:
            return self._show(data, envelope, content)
        begun: Deferred[Any] = _beginning(content)
        begun.addErrback(self._impossible, envelope.id)
        return begun.addCallback(lambda read: self._show(read, envelope, content))

    def _show(self, beginning: bytes | Reply, envelope: Envelope, content: IContent) -> Any:
        """Show it to one filter after the other.

        @param beginning: of the content, or what went wrong.
        """
        if isinstance(beginning, Reply):
            return self._over(beginning, [content])
        try:
            message = Message(envelope, content, beginning)
            self._facts.content(lambda: message.valueOf(b"message-id"))
            said = self._round(lambda milter: milter.message(message))
        except Exception:
            return self._over(self._impossible(Failure(), envelope.id), [content])
        if isinstance(said, Deferred):
            return said.addBoth(self._judged, message)
        return self._judged(said, message)

    def _judged(self, said: Refusal | Failure, message: Message) -> Any:
        """All filters have seen it, or one has refused."""
        id = message.envelope.id
        try:
            if isinstance(said, Failure):
                said.raiseException()
            result = said if said is not None else self._passed(message)
        except Exception:
            result = self._impossible(Failure(), id)
        if isinstance(result, Deferred):
            return result.addErrback(self._impossible, id).addCallback(self._over, message.contents)
        return self._over(result, message.contents)

    def _passed(self, message: Message) -> Any:
        """The filters have nothing against it.
        @return: the reply, or envelope and content, or a L{Deferred} of them."""
        if self._discarded:
            return self._thrownAway(message.envelope)
        for milter in self._milters:
            if milter.quarantine:
                message.hold(f"filter {milter.name}: {milter.quarantine}")
        if not message.envelope.recipients:
            return self._thrownAway(message.envelope)
        if not message.isChanged:
            return message.envelope, message.body
        score = message.score()
        if score is not None:
            message.envelope = replace(message.envelope, score=score)
        body = message.body
        if body.data is not None:
            return _whole(message, MemoryContent(message.header() + body.data[message.at :]))
        copied: Deferred[IContent] = _copied(message, self._newContent(message.envelope.id))
        return copied.addCallback(lambda made: _whole(message, made))

    def _impossible(self, failure: Failure, id: str) -> Reply:
        if failure.check(MilterError):
            self._filters.log.trouble(id, "filter", failure.getErrorMessage())
            return reply.HEADER_TOO_LARGE
        self._filters.log.bug(id, "filters", failure)
        return reply.LOCAL_ERROR

    def _over(self, result: Any, contents: Sequence[IContent]) -> Any:
        """Give up what is not gone on with."""
        kept = None if isinstance(result, Reply) else result[1]
        for each in contents:
            if each is not kept:
                self._filters.discard(each)
        self._isShowing = False
        self._facts.content(None)
        if self._isClosed:
            self.closed()
        return result

    def _thrownAway(self, envelope: Envelope) -> Reply:
        why = self._discarded or "no recipient is left by the filters"
        for recipient in envelope.recipients:
            self._filters.log.discarded(envelope.id, recipient.address, why)
        return reply.queued(envelope.id)

    # The end

    def ended(self) -> None:
        """See L{IFilterSession.ended}."""
        self._discarded = ""
        for milter in self._milters:
            milter.end()

    def closed(self) -> None:
        """See L{IFilterSession.closed}."""
        self._isClosed = True
        if not self._isShowing:
            # Without the circle all of it is freed at once.
            milters, self._milters = self._milters, []
            for milter in milters:
                milter.close()


def _rcpt(recipient: Recipient) -> tuple[bytes, list[bytes]]:
    """Path and parameters."""
    words = (("NOTIFY", recipient.notify), ("ORCPT", recipient.orcpt))
    return f"<{recipient.address}>".encode(), [f"{name}={value}".encode() for name, value in words if value]


def _whole(message: Message, content: IContent) -> tuple[Envelope, IContent]:
    return replace(message.envelope, size=content.size), content


@inlineCallbacks
def _copied(message: Message, writer: IContentWriter) -> Any:
    """A content for header and body of a message whose body is a file.
    @return: L{Deferred} of L{IContent}"""
    reader = message.body.open()
    try:
        yield writer.write(message.header())
        skip = message.at
        while piece := (yield reader.read()):
            yield writer.write(piece[skip:])
            skip = max(skip - len(piece), 0)
    except BaseException:
        writer.abort()
        raise
    finally:
        reader.close()
    made = yield writer.finish()
    return made


@inlineCallbacks
def _beginning(content: IContent) -> Any:
    """As much of a content as has its header."""
    reader = content.open()
    beginning = b""
    try:
        while b"\r\n\r\n" not in beginning and len(beginning) < HEADER_LIMIT and (piece := (yield reader.read())):
            beginning += piece
    finally:
        reader.close()
    return beginning
