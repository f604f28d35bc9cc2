"""Tests of `umbcmail.send.census`: connections to next hops, as they are told."""

from __future__ import annotations

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.fakes import FakeLog
from umbcmail.interfaces import IWatched
from umbcmail.send.census import Census, Couriers, censusOf
from umbcmail.send.pool import Traffic
from umbcmail.send.smtp import SMTPCourier


class FakeCourier:
    """One with connections."""

    def __init__(self, census: object) -> None:
        self.census = census


class CensusTests(SynchronousTestCase):
    """What is told."""

    def test_figures(self) -> None:
        """Each number under its name; who has no connections is left out."""
        census = censusOf([(5, 2, 1, 0), (3, 0, 1, 7)], Traffic(90, 4))
        couriers = Couriers({"smtp": FakeCourier(census), "maildir": object(), "odd": FakeCourier("census")})
        verifyObject(IWatched, couriers)
        self.assertEqual(couriers.condition(), "")
        found = {(f.name, *(value for _, value in f.labels)): f.value for f in couriers.figures()}
        self.assertEqual(
            found,
            {
                ("send_connections_now", "smtp", "busy"): 6,
                ("send_connections_now", "smtp", "idle"): 2,
                ("send_connections_now", "smtp", "connecting"): 2,
                ("send_waiting", "smtp"): 7,
                ("send_connections_total", "smtp"): 90,
                ("send_connections_failed_total", "smtp"): 4,
            },
        )

    def test_courier(self) -> None:
        """A courier without a connection has a census of zeros."""
        courier = SMTPCourier(MemoryReactorClock(), FakeLog(), "mx.y.test")  # type: ignore[arg-type]
        self.assertEqual(courier.census, Census(0, 0, 0, 0, Traffic()))
