"""In-memory stand-ins for what the queue meets: a router, a courier."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from umbcmail import reply
from umbcmail.content import MemoryContent
from umbcmail.destination import Hop, Route
from umbcmail.envelope import Envelope, Recipient
from umbcmail.interfaces import IContent, ICourier, IExpander, IRouter
from umbcmail.maillog import MailLog
from umbcmail.outcome import Outcome
from umbcmail.queue.attempt import Attempts
from umbcmail.queue.expanding import Expanding, Expansions
from umbcmail.queue.intake import Intake
from umbcmail.queue.runner import Runner
from umbcmail.queue.schedule import Schedule
from umbcmail.queue.settlement import Settlement
from umbcmail.queue.spool.memory import MemorySpool, MemoryStore

SENT = Outcome(reply.reply(250, "2.0.0", "OK"), "h[192.0.2.1]:25", "end of DATA", True)
LATER = Outcome(reply.reply(451, "4.7.1", "Greylisted"), "h[192.0.2.1]:25", "RCPT TO", True)
NEVER = Outcome(reply.reply(550, "5.1.1", "No such user"), "h[192.0.2.1]:25", "RCPT TO", True)
TEXT = b"Message-ID: <m@z.test>\r\nSubject: s\r\n\r\nbody\r\n"


@implementer(IRouter)
class FakeRouter:
    """Classes by the top of the domain; one hop for each domain.

    @ivar problems: by domain, in place of a route.
    @ivar routes: by domain, other routes.
    @ivar waiting: domains whose route is a Deferred that a test fires.
    """

    def __init__(self) -> None:
        self.problems: dict[str, reply.Reply] = {}
        self.routes: dict[str, Route] = {}
        self.waiting: dict[str, Deferred[Route]] = {}

    def classify(self, domain: str) -> str:
        """C{….local} is local, C{….internal} is internal, the rest remote."""
        top = domain.rpartition(".")[2]
        return top if top in ("local", "internal") else "remote"

    def route(self, domain: str, queue: str) -> Any:
        """See L{IRouter}."""
        if domain in self.waiting:
            return self.waiting[domain]
        if domain in self.routes:
            return self.routes[domain]
        return Route("smtp", (Hop(f"mx.{domain}", "192.0.2.1", 25),), self.problems.get(domain))


@implementer(ICourier)
class FakeCourier:
    """Gives the outcomes that a test has set, by address.

    @ivar outcomes: by address; others are sent.
    @ivar hold: deliveries wait until a test fires C{waiting}.
    @ivar deliveries: each delivery, as addresses.
    @ivar senders: the sender of each.
    @ivar actions: what was to get it in place of mailboxes.
    """

    def __init__(self) -> None:
        self.outcomes: dict[str, Outcome | Exception] = {}
        self.hold = False
        self.waiting: list[tuple[Deferred[list[Outcome]], list[Outcome]]] = []
        self.deliveries: list[list[str]] = []
        self.contents: list[bytes | None] = []
        self.senders: list[str] = []
        self.actions: list[str] = []

    def deliver(
        self, envelope: Envelope, content: IContent, recipients: list[Recipient], hops: tuple[Hop, ...]
    ) -> Deferred[list[Outcome]]:
        """See L{ICourier}."""
        self.deliveries.append([recipient.address for recipient in recipients])
        self.contents.append(content.data)
        self.senders.append(envelope.sender)
        self.actions += [recipient.origin.action for recipient in recipients if recipient.origin is not None]
        found: list[Outcome] = []
        for recipient in recipients:
            outcome = self.outcomes.get(recipient.address, SENT)
            if isinstance(outcome, Exception):
                raise outcome
            found.append(outcome)
        if not self.hold:
            return succeed(found)
        waiting: Deferred[list[Outcome]] = Deferred()
        self.waiting.append((waiting, found))
        return waiting

    def go(self) -> None:
        """Let all that waits come to its end."""
        waiting, self.waiting = self.waiting, []
        for deferred, found in waiting:
            deferred.callback(found)

    def stop(self) -> Deferred[None]:
        """See L{ICourier}."""
        return succeed(None)


class Queues:
    """A whole queue in memory, with its runners.

    @ivar lines: the mail log.
    """

    def __init__(
        self,
        start: bool = True,
        concurrency: int = 10,
        store: MemoryStore | None = None,
        expander: IExpander | None = None,
    ) -> None:
        """
        @param expander: says what recipients stand for.
        """
        self.clock = Clock()
        self.clock.advance(1_000_000)
        self.lines: list[bytes] = []
        self.log = MailLog(self.lines.append, self.clock)
        self.router = FakeRouter()
        self.courier = FakeCourier()
        self.spool = MemorySpool("me", store=store)
        self.spool.start()
        agent = Route("smtp", (Hop("unix:/run/lda", "/run/lda", 0),))
        self.attempts = Attempts(self.router, {"smtp": self.courier}, self.log, self.clock, agent=agent)
        self.expansions = Expansions(expander, self.router, self.log, ("handover",), 100) if expander else None
        names = ("local", "internal", "remote", "slow", "dead")
        self.schedules = {name: Schedule((300.0, 600.0), 86_400.0, 14_400.0, lambda: 0.5) for name in names}
        self.runners: dict[str, Runner] = {}
        ids = iter(f"b{n}" for n in range(100_000))
        self.settlement = Settlement(
            "mx.y.test",
            self.spool,
            self.router,
            self.schedules,
            self.log,
            self.clock,
            lambda: next(ids),
            lambda queue: self.runners[queue].wake(),
        )
        for name in names:
            self.runners[name] = Runner(
                name,
                concurrency,
                5.0,
                self.schedules[name],
                self.spool,
                self.attempts,
                self.settlement,
                self.log,
                self.clock,
                expanding=Expanding(self.expansions, self.settlement) if self.expansions else None,
            )
            if start:
                self.runners[name].start()

    def intake(self, interactive: bool, **values: Any) -> Intake:
        """What takes messages for these queues."""
        parts = (self.spool, self.router, self.attempts, self.runners, self.schedules, self.log, self.clock)
        return Intake(interactive, *parts, **values)

    def envelope(self, *addresses: str, sender: str = "s@z.test", **values: Any) -> Envelope:
        """An envelope to some addresses."""
        recipients = tuple(Recipient(address) for address in addresses)
        return Envelope("m1", sender, recipients, self.clock.seconds(), size=len(TEXT), **values)

    def content(self) -> MemoryContent:
        """A small message."""
        return MemoryContent(TEXT)

    def entries(self) -> dict[str, tuple[str, list[str]]]:
        """What is in the spool: by entry, the class and who waits."""
        from umbcmail.selection import Selection

        found: list[Any] = []
        self.spool.listing(Selection(), 1000).addCallback(found.extend)
        return {entry.id: (entry.queue, [d.recipient.address for d in entry.deliveries]) for entry in found}

    def logged(self) -> str:
        """The log."""
        self.log.flush()
        return b"".join(self.lines).decode()
