"""Tests of selections, lanes, histories, and what an operator does to deliveries."""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from umbcmail.entry import Delivery, Entry, Status, attemptedOf, laneOf
from umbcmail.envelope import Envelope, Recipient
from umbcmail.outcome import Outcome
from umbcmail.reply import Reply
from umbcmail.selection import AGES, Selection, ageColumn

BUSY = Outcome(Reply(451, "4.7.1", ("Too many",)), host="mx.x.example[192.0.2.1]:25", command="MAIL FROM")


def entry(**values: object) -> Entry:
    """An entry with two waiting recipients and a failed one."""
    deliveries = (
        Delivery(Recipient("gone@w.example"), Status.FAILED),
        Delivery(Recipient("Ann@X.example"), outcome=BUSY, attempts=1),
        Delivery(Recipient("bob@y.example")),
    )
    envelope = Envelope("mx1-1", "From@S.example", tuple(d.recipient for d in deliveries), 100.0, size=4096)
    return replace(Entry("mx1-1.2", "remote", envelope, deliveries, 100.0, 200.0), **values)


class SelectionTests(SynchronousTestCase):
    """L{Selection.matches}."""

    def test_matches(self) -> None:
        """Each condition by itself: what it takes and what it does not."""
        whole = entry()
        bounce = replace(whole, envelope=replace(whole.envelope, sender="", agent="bounce", score=12.0))
        for conditions, isMeant, meansBounce in (
            ({}, True, True),
            ({"ids": ("mx1-1",)}, True, True),
            ({"ids": ("mx1-1.3",)}, False, False),
            ({"queues": ("slow",)}, False, False),
            ({"queues": ("slow", "remote")}, True, True),
            ({"sender": "from@s.EXAMPLE"}, True, False),
            ({"sender": "*@s.example"}, True, False),
            ({"sender": "<>"}, False, True),
            ({"recipient": "ann@x.example"}, True, True),
            ({"recipient": "*@y.example"}, True, True),
            ({"recipient": "gone@w.example"}, False, False),
            ({"domain": "x.example"}, True, True),
            ({"domain": "w.example"}, False, False),
            ({"held": True}, False, False),
            ({"claimed": False}, True, True),
            ({"createdBefore": 100.0}, False, False),
            ({"createdAfter": 100.0}, True, True),
            ({"sizeOver": 4095}, True, True),
            ({"sizeUnder": 4096}, False, False),
            ({"cause": "TOO many"}, True, True),
            ({"cause": "mx.x.example"}, True, True),
            ({"cause": "full"}, False, False),
            ({"bounces": True}, False, True),
            ({"scoreOver": 10.0}, False, True),
            ({"scoreOver": 12.0}, False, False),
            ({"domain": "x.example", "queues": ("slow",)}, False, False),
        ):
            selection = Selection(**conditions)  # type: ignore[arg-type]
            self.assertEqual((isMeant, meansBounce), (selection.matches(whole), selection.matches(bounce)), conditions)

    def test_lane(self) -> None:
        """The domain of the first recipient that waits; none when none waits."""
        self.assertEqual("x.example", entry().lane)
        self.assertEqual("", laneOf(entry().deliveries[:1]))

    def test_ageColumn(self) -> None:
        """A bound belongs to the column that it begins."""
        self.assertEqual([0, 0, 1, len(AGES)], [ageColumn(age) for age in (-5.0, 299.9, 300.0, 1e9)])


class DeliveryTests(SynchronousTestCase):
    """What an operator does to deliveries."""

    def test_givenUp(self) -> None:
        """What waits has failed, its attempts stay; what has failed keeps its outcome."""
        refused = Outcome(Reply(554, "5.7.1", ("Returned",)))
        found = [delivery.givenUp(refused, 7.0) for delivery in entry().deliveries]
        self.assertEqual([None, refused, refused], [delivery.outcome for delivery in found])
        self.assertEqual([0, 1, 0], [delivery.attempts for delivery in found])
        self.assertEqual({Status.FAILED}, {delivery.status for delivery in found})

    def test_readdressed(self) -> None:
        """One address, or a whole domain; the original stays known, and is never overwritten."""
        found = [delivery.readdressed("*@x.example", "*@z.example") for delivery in entry().deliveries]
        self.assertEqual(
            ["gone@w.example", "Ann@z.example", "bob@y.example"], [delivery.recipient.address for delivery in found]
        )
        self.assertEqual("rfc822;Ann@X.example", found[1].recipient.orcpt)
        again = found[1].readdressed("ann@z.example", "c@v.example")
        self.assertEqual(("c@v.example", "rfc822;Ann@X.example"), (again.recipient.address, again.recipient.orcpt))
        self.assertIs(found[0], found[0].readdressed("gone@w.example", "a@b"))

    def test_originalRecipient(self) -> None:
        """What can't stand for itself in xtext is written in hexadecimal, and what is beyond ASCII as RFC 6533 says."""
        self.assertEqual("rfc822;a+2Bb+3Dc@x", Recipient("a+b=c@x").readdressed("d@y").orcpt)
        self.assertEqual("utf-8;m\\x{FC}ller@x", Recipient("müller@x").readdressed("d@y").orcpt)

    def test_attemptedOf(self) -> None:
        """What was the same for several recipients is remembered once."""
        same = replace(entry().deliveries[2], outcome=BUSY)
        [found] = attemptedOf((*entry().deliveries[:2], same), 7.0)
        self.assertEqual((7.0, 2, "Ann@X.example", BUSY), (found.at, found.count, found.address, found.outcome))
