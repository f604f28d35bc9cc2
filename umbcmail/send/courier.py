"""What the SMTP and the LMTP courier share: options, pools, attempts, the tick.

C{deliver} is the boundary of the stage: whatever goes wrong becomes an outcome
that says "later", and the Deferred fires within the time that one attempt may
take.  One timer, once a second while there is anything to look after, checks
the deadlines of all connections and attempts.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from OpenSSL import SSL
from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks, maybeDeferred, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from umbcmail.content import InThread, MemoryContent
from umbcmail.destination import Hop, TLSRule
from umbcmail.envelope import Envelope, Recipient
from umbcmail.interfaces import IAsker, IContent, ICourier, IHosts, ITLSPolicy
from umbcmail.maillog import MailLog
from umbcmail.options import PATH, Kind, Option, choice, duration, integer
from umbcmail.outcome import Outcome
from umbcmail.reply import LOCAL_ERROR
from umbcmail.send.attempt import Attempt
from umbcmail.send.census import Census, censusOf
from umbcmail.send.chunks import LARGE, NEVER
from umbcmail.send.fitting import Room
from umbcmail.send.pool import Pool, Setup
from umbcmail.send.problems import NO_POLICY, STOPPING
from umbcmail.send.question import Question
from umbcmail.send.session import Dialect, Limits
from umbcmail.send.tls import checkedContext, clientContext
from umbcmail.send.tlspolicy import Rules, rulesFor
from umbcmail.send.transaction import Transaction


def _ipAddress(version: int) -> Kind:
    def parse(value: Any) -> str:
        try:
            address = ipaddress.ip_address(value if isinstance(value, str) else "")
        except ValueError:
            raise ValueError(f"{value!r} is not an IP address") from None
        if address.version != version:
            raise ValueError(f"an IPv{version} address is needed")
        return str(address)

    return Kind(f"an IPv{version} address", parse)


OPTIONS = (
    Option("connections", integer(1, 10000), 50, "The most connections to one next hop at the same time."),
    Option("messages", integer(1), 1000, "The most messages by one connection."),
    Option("idle", duration(0, 3600), "30s", "How long a connection that is not used is kept for the next message."),
    Option("recipients", integer(1, 10000), 100, "The most recipients of one transaction; more follow at once."),
    Option("hops", integer(1), 5, "The most next hops that are tried in one attempt."),
    Option(
        "tls",
        choice("none", "may", "encrypt", "verify"),
        "may",
        "TLS to next hops: never, when offered, always, or always and with a certificate that is checked.",
    ),
    Option("ca-file", PATH, None, "PEM file with the authorities for verify; not set: those of the system."),
    Option("attempt", duration(1), "20m", "How long one attempt may take over all next hops."),
    Option("connect-timeout", duration(1), "30s", "How long to wait for a connection."),
    Option("greeting-timeout", duration(1), "5m", "How long to wait for the greeting."),
    Option("command-timeout", duration(1), "5m", "How long to wait for the reply to EHLO, MAIL, RCPT or RSET."),
    Option("data-start-timeout", duration(1), "2m", "How long to wait for the reply to DATA."),
    Option("data-block-timeout", duration(1), "3m", "How long sending may stand still in the middle of a message."),
    Option("data-end-timeout", duration(1), "10m", "How long to wait for the reply to a whole message."),
    Option(
        "bdat",
        choice("never", "large", "always"),
        "large",
        "BDAT to next hops that offer it: never, for messages over 64 KiB, or always.",
    ),
    Option("bind-ipv4", _ipAddress(4), None, "Our address for connections to IPv4 addresses."),
    Option("bind-ipv6", _ipAddress(6), None, "Our address for connections to IPv6 addresses."),
)
"""What can be set for the SMTP and for the LMTP courier."""

_CHUNKS_FROM = {"never": NEVER, "large": LARGE, "always": 0}


def _values(settings: Mapping[str, Any]) -> dict[str, Any]:
    """All options, with defaults for those that are not set; what belongs to other
    kinds of couriers is passed over."""
    values = {o.name: None if o.default is None else o.kind.parse(o.default) for o in OPTIONS}
    return {name: settings.get(name, default) for name, default in values.items()}


@implementer(ICourier, IAsker)
class Courier:
    """Carries messages to next hops, by one dialect.

    @param reactor: connects (TCP and UNIX) and tells the time.
    @param heloName: who we are.
    @param settings: values by name of L{OPTIONS}, parsed; those that are missing
        have their defaults.
    @param context: gives the TLS context; made when it is needed first.
    @param inThread: C{deferToThread} or the like, for what takes long.
    @param policy: L{ITLSPolicy}, or L{None}.
    @param hosts: L{IHosts}, or L{None}.
    """

    dialect: ClassVar[Dialect]

    def __init__(
        self,
        reactor: Any,
        log: MailLog,
        heloName: str,
        settings: Mapping[str, Any] | None = None,
        context: Callable[[], SSL.Context] = clientContext,
        inThread: InThread = maybeDeferred,
        policy: ITLSPolicy | None = None,
        hosts: IHosts | None = None,
    ) -> None:
        values = _values(settings or {})
        self._reactor = reactor
        self._log = log
        self._limit = values["attempt"]
        self._batch = values["recipients"]
        self._hops = values["hops"]
        self._makeContext = context
        self._context: SSL.Context | None = None
        caFile = values["ca-file"]
        self._checkedContext = checkedContext(caFile) if caFile or values["tls"] == "verify" else None
        self._inThread = inThread
        self._policy = policy
        self._room = Room()
        self._setup = self._setupOf(heloName, values, hosts)
        self._pools: dict[tuple[Any, ...], Pool] = {}
        self._clearUntil: dict[tuple[str, int], float] = {}
        self._attempts: dict[Attempt, None] = {}
        self._tick: Any = None
        self._stopped: Deferred[None] | None = None

    def _setupOf(self, heloName: str, values: dict[str, Any], hosts: IHosts | None) -> Setup:
        limits = Limits(
            connect=values["connect-timeout"],
            greeting=values["greeting-timeout"],
            command=values["command-timeout"],
            dataStart=values["data-start-timeout"],
            dataBlock=values["data-block-timeout"],
            dataEnd=values["data-end-timeout"],
        )
        return Setup(
            clock=self._reactor,
            log=self._log,
            dialect=self.dialect,
            heloName=heloName,
            limits=limits,
            tls=TLSRule(values["tls"]),
            context=self._theContext,
            checkedContext=self._theCheckedContext,
            connections=values["connections"],
            idle=values["idle"],
            messages=values["messages"],
            chunksFrom=_CHUNKS_FROM[values["bdat"]],
            bind=(values["bind-ipv4"] or "", values["bind-ipv6"] or ""),
            hosts=hosts,
        )

    def _theContext(self) -> SSL.Context:
        if self._context is None:
            self._context = self._makeContext()
        return self._context

    def _theCheckedContext(self) -> SSL.Context:
        if self._checkedContext is None:
            self._checkedContext = checkedContext()
        return self._checkedContext

    def deliver(
        self, envelope: Envelope, content: IContent, recipients: list[Recipient], hops: tuple[Hop, ...]
    ) -> Deferred[list[Outcome]]:
        """See L{ICourier.deliver}."""
        if self._policy is not None or envelope.requireTLS:
            try:
                return self._ruled(envelope, content, recipients, hops[: self._hops])
            except Exception:
                return succeed(self._noRules(Failure(), envelope, len(recipients)))
        return self._attempted(envelope, content, recipients, hops)

    @inlineCallbacks
    def ask(self, recipient: Recipient, hops: tuple[Hop, ...]) -> Any:
        """See L{IAsker.ask}."""
        envelope, hops = Envelope("-", "", (recipient,), 0.0), hops[: self._hops]
        try:
            found: Deferred[dict[str, Rules]] = Deferred()  # others may wait for the same, so it must not be cancelled
            rulesFor(self._policy, [recipient.domain], hops, False).chainDeferred(found)
            rules = (yield found)[recipient.domain]
        except Exception:
            return self._noRules(Failure(), envelope, 1)[0]
        # Without rules of its own it goes by the connections that mail goes by.
        given = rules if any(rule is not None for rule in rules) else ()
        outcomes = yield self._attempted(envelope, MemoryContent(b""), [recipient], hops, given, Question)
        return outcomes[0]

    def _ruled(
        self, envelope: Envelope, content: IContent, recipients: list[Recipient], hops: tuple[Hop, ...]
    ) -> Deferred[list[Outcome]]:
        """One attempt for all recipients whose way is to be protected alike."""
        domains = list({recipient.domain for recipient in recipients})
        found = rulesFor(self._policy, domains, hops, envelope.requireTLS)
        return found.addCallbacks(
            self._split,
            self._noRules,
            callbackArgs=(envelope, content, recipients, hops),
            errbackArgs=(envelope, len(recipients)),
        )

    def _split(
        self,
        rules: dict[str, Rules],
        envelope: Envelope,
        content: IContent,
        recipients: list[Recipient],
        hops: tuple[Hop, ...],
    ) -> Deferred[list[Outcome]]:
        groups: dict[Rules, list[int]] = {}
        for at, recipient in enumerate(recipients):
            groups.setdefault(rules[recipient.domain], []).append(at)
        outcomes: dict[int, Outcome] = {}
        waits = [
            self._attempted(envelope, content, [recipients[at] for at in places], hops, alike).addCallback(
                lambda found, places: outcomes.update(zip(places, found, strict=True)), places
            )
            for alike, places in groups.items()
        ]
        return gatherResults(waits).addCallback(lambda _: [outcomes[at] for at in range(len(recipients))])

    def _noRules(self, failure: Failure, envelope: Envelope, count: int) -> list[Outcome]:
        self._log.trouble(envelope.id, "tls-policy", failure.getErrorMessage())
        return [Outcome(NO_POLICY, command="connect")] * count

    def _attempted(
        self,
        envelope: Envelope,
        content: IContent,
        recipients: list[Recipient],
        hops: tuple[Hop, ...],
        rules: Rules = (),
        transaction: type[Transaction] = Transaction,
    ) -> Deferred[list[Outcome]]:
        if self._stopped is not None:
            return succeed([Outcome(STOPPING)] * len(recipients))
        try:
            attempt = Attempt(
                envelope,
                content,
                recipients,
                hops[: self._hops],
                self._reactor.seconds() + self._limit,
                self._poolOf,
                self._ended,
                self._log,
                self._batch,
                self._room,
                self._inThread,
                rules,
                self._reactor.seconds,
                transaction,
            )
        except Exception:
            self._log.bug(envelope.id, "send", Failure())
            return succeed([Outcome(LOCAL_ERROR)] * len(recipients))
        self._attempts[attempt] = None
        if self._tick is None:
            self._tick = self._reactor.callLater(1.0, self._check)
        attempt.start()
        return attempt.done

    @property
    def census(self) -> Census:
        """How things stand, for who watches."""
        return censusOf([pool.census for pool in self._pools.values()], self._setup.traffic)

    def _poolOf(self, hop: Hop, rule: TLSRule | None) -> Pool:
        key: tuple[Any, ...] = (hop.address, hop.port)
        if rule is not None:
            key = (*key, rule, hop.name)
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = Pool(self._setup, hop, self._clearUntil, rule or self._setup.tls)
            if self._stopped is not None:
                pool.stop()
        return pool

    def _ended(self, attempt: Attempt) -> None:
        self._attempts.pop(attempt, None)

    def _check(self) -> None:
        """Once a second: look at all deadlines."""
        self._tick = None
        try:
            now = self._reactor.seconds()
            for key, pool in tuple(self._pools.items()):
                pool.check(now)
                if pool.isEmpty:
                    del self._pools[key]
            while self._attempts:
                oldest = next(iter(self._attempts))
                if oldest.deadline > now:
                    break
                del self._attempts[oldest]
                oldest.expire()
            for places in (self._clearUntil, self._setup.unchunkedUntil):
                for place in [place for place, until in places.items() if until <= now]:
                    del places[place]
        except Exception:
            self._log.bug("-", "send", Failure())
        if self._pools or self._attempts:
            self._tick = self._reactor.callLater(0.1 if self._stopped is not None else 1.0, self._check)
        elif self._stopped is not None and not self._stopped.called:
            self._stopped.callback(None)

    def stop(self) -> Deferred[None]:
        """See L{ICourier.stop}.  Attempts under way may finish what they have
        begun; nothing new is begun."""
        waiter: Deferred[None] = Deferred()
        if self._stopped is None:
            self._stopped = Deferred()
            for attempt in tuple(self._attempts):
                attempt.wrapUp()
            for pool in tuple(self._pools.values()):
                pool.stop()
            if self._tick is not None:
                self._tick.cancel()
            self._check()
        self._stopped.addCallback(lambda _: waiter.callback(None))
        return waiter
