"""One attempt to deliver a message: goes through the hops until all recipients
have an outcome, or no hop or no time is left.

Made by the courier for each C{deliver}.  A pool gives it connections, and each
transaction is read when it is over.  A recipient whose fate is unknown after the
final dot is never sent elsewhere; one that was told "later" is tried at one more
hop; a fault of a hop sends its recipients to the next.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from umbcmail.content import InThread
from umbcmail.deliverby import parsed
from umbcmail.destination import Hop, TLSRule
from umbcmail.envelope import Envelope, Recipient
from umbcmail.interfaces import IContent
from umbcmail.outcome import Outcome
from umbcmail.reply import LOCAL_ERROR, Reply
from umbcmail.send.commands import actionOfRecipient, dsnOfMail, dsnOfRecipient, wireAddress
from umbcmail.send.fitting import Fitting, Room
from umbcmail.send.passing import Passing
from umbcmail.send.problems import (
    BAD_RECIPIENT,
    BAD_SENDER,
    NEEDS_REQUIRETLS,
    NO_HOPS,
    NO_TLS,
    OUT_OF_TIME,
    STOPPING,
    UNVERIFIED,
    WAITED_TOO_LONG,
    telling,
    timedOut,
)
from umbcmail.send.session import Letter
from umbcmail.send.transaction import Transaction

if TYPE_CHECKING:
    from umbcmail.maillog import MailLog
    from umbcmail.send.client import Client
    from umbcmail.send.pool import Pool


class Attempt:
    """One attempt.

    @ivar id: of the message.
    @ivar deadline: seconds of the reactor's clock.
    @ivar done: fires with the outcomes; soon, when it is cancelled.
    @param poolOf: gives the pool of a hop and a rule for TLS, L{None} for the common one.
    @param onEnd: called right before C{done} fires.
    @param batch: the most recipients of one transaction.
    @param hops: those that may be tried.
    @param room: memory for conversions.
    @param rules: for TLS, one for each hop; empty for the common one.
    @param now: gives seconds since 1970.
    @param transaction: what is made for each connection.
    """

    def __init__(
        self,
        envelope: Envelope,
        content: IContent,
        recipients: list[Recipient],
        hops: tuple[Hop, ...],
        deadline: float,
        poolOf: Callable[[Hop, TLSRule | None], Pool],
        onEnd: Callable[[Attempt], None],
        log: MailLog,
        batch: int,
        room: Room,
        inThread: InThread,
        rules: tuple[TLSRule | None, ...] = (),
        now: Callable[[], float] = time.time,
        transaction: type[Transaction] = Transaction,
    ) -> None:
        self.id = envelope.id
        self.deadline = deadline
        self.done: Deferred[list[Outcome]] = Deferred(lambda _: self.expire())
        self._transaction = transaction
        self._poolOf = poolOf
        self._onEnd = onEnd
        self._log = log
        self._batch = batch
        self._hops = hops
        self._rules = rules
        self._now = now
        self._room = room
        self._inThread = inThread
        self._fitting: Fitting | None = None
        self._hop = 0
        self._pool: Pool | None = None
        self._client: Client | None = None
        self._outcomes: list[Outcome | None] = [None] * len(recipients)
        self._here: list[int] = []
        self._elsewhere: list[int] = []
        self._told: set[int] = set()
        self._last: Reply | None = None
        self._over = False
        self._prepare(envelope, content, recipients)

    def _prepare(self, envelope: Envelope, content: IContent, recipients: list[Recipient]) -> None:
        sender = wireAddress(envelope.sender) if envelope.sender else b""
        addresses = [wireAddress(recipient.address) for recipient in recipients]
        if sender is None:
            self._outcomes = [Outcome(BAD_SENDER)] * len(addresses)
            return
        wide = envelope.smtputf8 or not sender.isascii()
        for number, address in enumerate(addresses):
            if address is None:
                self._outcomes[number] = Outcome(BAD_RECIPIENT)
                continue
            self._here.append(number)
            wide = wide or not address.isascii()
        self._letter = letter = Letter(sender, addresses, content, envelope.body == "8BITMIME", wide, self._theFitting)
        if envelope.smtputf8 or envelope.requireTLS or envelope.body == "BINARYMIME":
            letter.utf8 = envelope.smtputf8
            letter.requireTLS = envelope.requireTLS
            letter.binary = envelope.body == "BINARYMIME"
        if envelope.deliverBy and (by := parsed(envelope.deliverBy)) is not None:
            letter.by = Passing(by, self._now)
        if envelope.ret or envelope.envid:
            letter.dsn = dsnOfMail(envelope.ret, envelope.envid)
        for recipient in recipients:
            if recipient.notify or recipient.orcpt:
                letter.wishes = [dsnOfRecipient(each.notify, each.orcpt) for each in recipients]
                letter.success = frozenset(n for n, each in enumerate(recipients) if "SUCCESS" in each.notify)
                break

        for recipient in recipients:
            if recipient.origin is not None and recipient.origin.action:
                origins = [each.origin for each in recipients]
                letter.actions = [actionOfRecipient(o.action) if o is not None else b"" for o in origins]
                break

    def _theFitting(self) -> Fitting:
        if self._fitting is None:
            letter = self._letter
            self._fitting = Fitting(self.id, letter.content, letter.binary, self._room, self._inThread, self._log)
        return self._fitting

    def start(self) -> None:
        """Begin with the first hop."""
        if self._here and not self._hops:
            self._note(self._here, Outcome(NO_HOPS))
            self._here = []
        self._advance()

    def _advance(self, fresh: bool = False) -> None:
        """Do what is to be done next."""
        if self._last is not None:
            self._note(self._here, self._own(self._last))
            self._here = self._elsewhere = []
        if not self._here and self._elsewhere and self._hop + 1 < len(self._hops):
            self._hop += 1
            self._here, self._elsewhere = sorted(self._elsewhere), []
        if self._here:
            self._pool = self._poolOf(self._hops[self._hop], self._rules[self._hop] if self._rules else None)
            self._pool.acquire(self, fresh)
        else:
            self._end()

    def _end(self) -> None:
        if self._over:
            return
        self._over = True
        missing = Outcome(LOCAL_ERROR)
        outcomes = [missing if outcome is None else outcome for outcome in self._outcomes]
        if self._fitting is not None:
            self._fitting.release()
        self._onEnd(self)
        self.done.callback(outcomes)

    # For the pool
    def connected(self, client: Client) -> None:
        """There is a connection."""
        try:
            pool, self._pool = self._pool, None
            if self._last is not None and pool is not None:
                pool.released(client)
                self._advance()
                return
            self._client = client
            numbers = self._here[: self._batch]
            del self._here[: self._batch]
            client.begin(self, self._transaction(self._letter, numbers))
        except Exception:
            self._log.bug(self.id, "send", Failure())
            client.close()
            self.broken()

    def unreachable(self, outcome: Outcome) -> None:
        """The hop does not take mail."""
        try:
            self._pool = None
            if self._letter.requireTLS and outcome.reply in (NO_TLS, UNVERIFIED):
                outcome = Outcome(NEEDS_REQUIRETLS, outcome.host, outcome.command)
            self._note(self._here, outcome)
            self._elsewhere += self._here
            self._here = []
            self._advance()
        except Exception:
            self._log.bug(self.id, "send", Failure())
            self.broken()

    # For the client
    def transacted(self, transaction: Transaction) -> None:
        """A transaction is over."""
        try:
            self._client = None
            if self._over:
                return
            for number, outcome in transaction.final:
                self._outcomes[number] = outcome
            if transaction.stale and self._last is None:
                self._here = transaction.numbers + self._here
                self._advance(fresh=True)
                return
            self._read(transaction)
            self._advance(fresh=transaction.fresh)
        except Exception:
            self._log.bug(self.id, "send", Failure())
            self.broken()

    def _read(self, transaction: Transaction) -> None:
        for number, outcome in transaction.soft:
            self._note([number], outcome)
            if number not in self._told:
                self._told.add(number)
                self._elsewhere.append(number)
        if transaction.problem is not None:
            self._note(transaction.open, transaction.problem)
            self._elsewhere += transaction.open
        if transaction.rest:
            self._here = transaction.rest + self._here

    def broken(self, transaction: Transaction | None = None) -> None:
        """A bug, which has been logged: whoever has no outcome is tried later.

        @param transaction: was under way; where its dot may have left us, its
            recipients may have the message.
        """
        self._client = None
        if self._over:
            return
        if transaction is not None:
            outcome = Outcome(LOCAL_ERROR, uncertain=transaction.dotted)
            for number in transaction.numbers:
                if self._outcomes[number] is None:
                    self._outcomes[number] = outcome
        self._end()

    # For the courier
    def wrapUp(self) -> None:
        """Begin nothing more."""
        self._last = STOPPING

    def expire(self) -> None:
        """No time is left: end with what is known."""
        self._last = OUT_OF_TIME
        if self._client is not None:
            self._client.giveUp()
            return
        if self._pool is not None:
            waited = self._pool.withdraw(self)
            self._note(self._here, self._own(WAITED_TOO_LONG if waited else timedOut("connect")))
        self._advance()

    def _own(self, own: Reply) -> Outcome:
        return Outcome(own, str(self._hops[self._hop]), "connect")

    def _note(self, numbers: list[int], outcome: Outcome) -> None:
        """Keep a problem, unless a more telling one is known."""
        for number in numbers:
            if telling(self._outcomes[number]) < telling(outcome):
                self._outcomes[number] = outcome
