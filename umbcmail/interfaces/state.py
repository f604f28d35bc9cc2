"""What processes and hosts share, and how a part tells how it is.

See L{umbcmail.interfaces}, which has all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from twisted.internet.defer import Deferred

    from umbcmail.figure import Figure
    from umbcmail.hoststatus import HostStatus
    from umbcmail.sighting import Sighting


class IRoster(Interface):
    """Who may relay since a POP or IMAP host has seen a login (POP-before-SMTP);
    shared by all processes, and by all hosts where the state is.

    Addresses are as C{umbcmail.clientaddress.clientAddress} writes them.  Times are
    seconds since 1970, given by the caller.  Deferreds fire in the reactor's thread
    and fail with C{StateError} of C{umbcmail.sighting}.
    """

    def add(sighting: Sighting, now: float) -> Deferred[bool]:
        """Remember it: when the Deferred fires it survives a crash, by the rules of
        the store.  An entry that is there is renewed, and never made shorter.

        @return: L{Deferred} of whether the address was not there, or had expired.
        """

    def find(address: str, now: float) -> Sighting | Deferred[Sighting | None] | None:
        """What is known of an address and has not expired.

        @return: C{Sighting}, or L{None}, or a L{Deferred} of one of them, which
            fails when that can't be told: the store can't be asked, and what is
            remembered of it does not have the address.
        @raise StateError: the state is not open.
        """

    def remove(address: str) -> Deferred[bool]:
        """Forget an address.  @return: L{Deferred} of whether it was there."""

    def listing(now: float) -> Deferred[list[Sighting]]:
        """@return: L{Deferred} of a list of what has not expired, by address."""


class ICounters(Interface):
    """Numbers that fade: each halves in the time that its caller gives.  Shared as
    the roster is; what can't be shared now is counted by each process for itself.
    """

    def add(name: str, key: str, number: float, halfLife: float, now: float) -> Deferred[float]:
        """Add to a number, or take away; it never goes below 0.  Adding 0 asks what it
        is, and changes nothing.

        @param name: what is counted, C{"auth.login"}.
        @param key: of whom.
        @param halfLife: seconds; the same at each call for a name.
        @return: L{Deferred} of what it is now, of all that count; fails with
            C{StateError}.
        """

    def forget(name: str, key: str) -> Deferred[None]:
        """It is 0 now.  @return: L{Deferred}; fails with C{StateError}."""


class IHosts(Interface):
    """Which next hops do not answer, known to all processes, and to all hosts where
    the state is (Sendmail's host status).  What a process says it knows at once, all
    others within two seconds.  What can't be shared now (also before the start and
    after the end) is known to the process alone until it can be: C{failed},
    C{answered}, C{claimProbe} and C{prolongProbe} do not fail for that.

    A host is what is connected to, C{"mx.example[192.0.2.1]:25"} as L{str} of C{Hop}
    gives it, or C{"unix:/path"}.
    """

    waits = Attribute("C{Waits}: for how long a host is left alone; may be set.")

    def find(host: str, now: float) -> HostStatus | None:
        """What is known of a host, L{None} when nothing is wrong with it.  Answers at
        once, from a copy."""

    def whenBack(call: Callable[[str], None]) -> None:
        """Have a function called with each host that nothing is wrong with any more: it
        has answered, or has been resumed, whoever has found that out."""

    def failed(host: str, why: str, now: float) -> Deferred[HostStatus]:
        """It could not be reached, or broke off: a fault of transport, and no reply.

        @return: L{Deferred} of what is known now (C{HostStatus.afterFailure}).
        """

    def answered(host: str, now: float) -> Deferred[HostStatus | None]:
        """It has answered: nothing is wrong with it any more.  One that is suspended
        stays so.

        @return: L{Deferred} of what was known before, L{None} for nothing.
        """

    def claimProbe(host: str, now: float, seconds: float) -> Deferred[bool]:
        """Try to become the one who looks whether it answers again, for so many
        seconds at most.  @return: L{Deferred} of whether the caller is it."""

    def prolongProbe(host: str, now: float, seconds: float) -> Deferred[None]:
        """Who looks goes on, for so many seconds from now; nothing changes where nobody
        looks any more."""

    def suspend(host: str, why: str, now: float) -> Deferred[None]:
        """An operator wants no attempt at it.

        @param why: for other operators, not empty.
        @return: L{Deferred}; fails with C{StateError} when that can't be kept.
        """

    def resume(host: str) -> Deferred[bool]:
        """Forget what is known, a suspension too.  @return: L{Deferred} of whether
        anything was known; fails with C{StateError}."""

    def listing(now: float) -> Deferred[list[HostStatus]]:
        """@return: L{Deferred} of a list of all that something is wrong with, by
        name; fails with C{StateError}."""


class IState(Interface):
    """What processes and hosts share, in one store.  All that is asked before the
    start or after the end fails with C{StateError}."""

    roster = Attribute("L{IRoster}.")
    counters = Attribute("L{ICounters}.")
    hosts = Attribute("L{IHosts}.")

    def start() -> Deferred[None]:
        """Open it.  A store on another host that can't be reached is no failure,
        it is a condition (L{IWatched}).

        @return: L{Deferred}; fails with C{StateError}.
        """

    def stop() -> Deferred[None]:
        """Finish what has been asked for and close; nothing when it is not open.
        @return: L{Deferred}"""


class IWatched(Interface):
    """A part that tells how it is, for the status page and the metrics."""

    name = Attribute("One word: C{'state'}, C{'drac'}.")

    def condition() -> str:
        """@return: C{""} when all is well, or what is degraded and what that means,
        a line for the operator.  Never waits."""

    def figures() -> Iterable[Figure]:
        """@return: iterable of C{Figure}.  Never waits."""
