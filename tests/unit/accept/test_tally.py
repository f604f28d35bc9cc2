"""Tests of `umbcmail.accept.tally`: what a port tells of itself."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from umbcmail.accept.tally import Doors, Tally
from umbcmail.interfaces import IWatched


class FakeFactory:
    """As much of a factory as is asked."""

    def __init__(self) -> None:
        self.tally = Tally(1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
        self.sessions = 11
        self.isFull = False


class DoorsTests(SynchronousTestCase):
    """All ports."""

    def test_figures(self) -> None:
        """Each number comes out under its name, with its port."""
        doors = Doors({"delivery.mx": FakeFactory()})
        verifyObject(IWatched, doors)
        found = {(f.name, *(value for _, value in f.labels)): f.value for f in doors.figures()}
        self.assertEqual(
            found,
            {
                ("accept_connections_total", "delivery.mx"): 1,
                ("accept_turned_away_total", "delivery.mx"): 2,
                ("accept_tls_total", "delivery.mx"): 3,
                ("accept_messages_total", "delivery.mx", "accepted"): 4,
                ("accept_messages_total", "delivery.mx", "refused"): 5,
                ("accept_messages_total", "delivery.mx", "delayed"): 6,
                ("accept_recipients_total", "delivery.mx"): 7,
                ("accept_bytes_total", "delivery.mx"): 8,
                ("accept_commands_refused_total", "delivery.mx", "refused"): 9,
                ("accept_commands_refused_total", "delivery.mx", "delayed"): 10,
                ("accept_sessions", "delivery.mx"): 11,
            },
        )

    def test_full(self) -> None:
        """A port without a place is a condition, named."""
        factories = {"delivery.mx": FakeFactory(), "relay.mx": FakeFactory(), "delivery.other": FakeFactory()}
        doors = Doors(factories)
        self.assertEqual(doors.condition(), "")
        factories["relay.mx"].isFull = factories["delivery.other"].isFull = True
        self.assertEqual(doors.condition(), "no further client has a place at relay.mx, delivery.other")
