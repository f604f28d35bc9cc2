"""The end of a message: what is wrong in itself is refused, the rest handed on.

Called by `dialogue` at the dot.  Here are also the L{Rules} of a port, which both
need.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from umbcmail import reply
from umbcmail.accept.auth.authentication import Terms
from umbcmail.accept.body import Body
from umbcmail.accept.received import countReceived
from umbcmail.accept.tally import Tally
from umbcmail.entry import SpoolError, SpoolFull
from umbcmail.envelope import Envelope
from umbcmail.interfaces import IContent, IContentWriter, IFilters, IFilterSession, IIntake, IRelayPolicy
from umbcmail.maillog import MailLog
from umbcmail.reply import Reply

Answered = Reply | Deferred[Reply]


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for all sessions of a port.

    @ivar hostName: ours, in greeting, EHLO and Received.
    @ivar agent: name of the agent.
    @ivar port: name of the port, for the log.
    @ivar sizeLimit: octets a message may have.
    @ivar recipientLimit: recipients a transaction may have.
    @ivar hopLimit: Received fields a message may have.
    @ivar errorLimit: wrong commands a session may have.
    @ivar commandLimit: commands without a message a session may have.
    @ivar tlsNeeded: nothing but STARTTLS before TLS (RFC 3207 section 4).
    @ivar policy: who may send to whom.
    @ivar intake: takes the message.
    @ivar newContent: makes a place for large content, by the message's id and the size
        that its sender has said.
    @ivar normalises: whether a client (by address) may send bare CR and LF.
    @ivar now: seconds since 1970.
    @ivar discard: gives up a content that is not going to be taken.
    @ivar auth: what holds for AUTH, or L{None} where there is none.
    @ivar leniencies: names of L{umbcmail.accept.leniency.LENIENCIES}.
    @ivar mailLimit: MAIL commands a session may have, 0 for no limit.
    @ivar holdLimit: seconds that a message may be held by its sender's wish
        (RFC 4865), 0: this is not offered.
    @ivar deliverBy: seconds that a sender must leave us to deliver in (RFC 2852),
        0: this is not offered.
    @ivar isSubmission: headers are mended (L{umbcmail.accept.fixups}).
    @ivar ownsSender: whether a login may send as an address; L{None} where
        anybody may.
    @ivar mayName: whether a user of this host may name a sender without a note; L{None}
        where clients are none.
    @ivar isFilter: whether a client (by address) may say XCLIENT; L{None} where
        none may.
    @ivar filters: what messages pass before they are taken; L{None}: nothing.
    @ivar isFull: whether there is no room for a message of some size.
    @ivar tally: what has happened on the port.
    """

    hostName: str
    agent: str
    port: str
    sizeLimit: int
    recipientLimit: int
    hopLimit: int
    errorLimit: int
    commandLimit: int
    tlsNeeded: bool
    policy: IRelayPolicy
    intake: IIntake
    newContent: Callable[[str, int], IContentWriter]
    normalises: Callable[[str], bool]
    now: Callable[[], float]
    discard: Callable[[IContent], None]
    auth: Terms | None = None
    leniencies: frozenset[str] = frozenset()
    mailLimit: int = 0
    holdLimit: float = 0.0
    isSubmission: bool = False
    ownsSender: Callable[[str, str], bool] | None = None
    mayName: Callable[[str, str], bool] | None = None
    isFilter: Callable[[str], bool] | None = None
    deliverBy: float = 0.0
    filters: IFilters | None = None
    isFull: Callable[[int], bool] = lambda size: False
    tally: Tally = field(default_factory=Tally)


def handOver(
    rules: Rules, log: MailLog, body: Body, envelope: Envelope, bare: bool, filtering: IFilterSession | None = None
) -> Answered:
    """Hand a message to the filters and the intake, unless it is wrong in itself.

    @param bare: there were bare CR or LF, and they have not been mended.
    @param filtering: the filters of the session.
    @return: what the client is to be told.
    """
    if body.isTooBig:
        return reply.MESSAGE_TOO_BIG
    if body.isHeaderTooLarge:
        body.abort()
        return reply.HEADER_TOO_LARGE
    if bare:
        body.abort()
        return reply.BARE_LINE_END_IN_DATA
    content = body.finish()
    if countReceived(body.beginning) > rules.hopLimit:
        return _thrownAway(rules, content, reply.LOOP)
    if not envelope.recipients:
        return _thrownAway(rules, content, reply.queued(envelope.id))
    if isinstance(content, Deferred):
        return content.addCallbacks(
            lambda it: _offered(rules, envelope, it, filtering),
            lambda failure: _unwritten(failure, log, envelope),
        )
    return _offered(rules, envelope, content, filtering)


def _offered(rules: Rules, envelope: Envelope, content: IContent, filtering: IFilterSession | None) -> Answered:
    if filtering is None:
        return rules.intake.accept(envelope, content)
    said = filtering.message(envelope, content)
    if isinstance(said, Deferred):
        return said.addCallback(_filtered, rules)
    return _filtered(said, rules)


def _filtered(said: Reply | tuple[Envelope, IContent], rules: Rules) -> Answered:
    return said if isinstance(said, Reply) else rules.intake.accept(*said)


def _thrownAway(rules: Rules, content: IContent | Deferred[IContent], answer: Reply) -> Reply:
    if isinstance(content, Deferred):
        content.addCallbacks(rules.discard, lambda failure: None)
    else:
        rules.discard(content)
    return answer


def _unwritten(failure: Failure, log: MailLog, envelope: Envelope) -> Reply:
    if failure.check(SpoolError):
        log.trouble(envelope.id, "large content", failure.getErrorMessage())
        return reply.NO_STORAGE if failure.check(SpoolFull) else reply.LOCAL_ERROR
    log.bug(envelope.id, "large content", failure)
    return reply.LOCAL_ERROR
