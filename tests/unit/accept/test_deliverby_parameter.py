"""DELIVERBY in sessions (RFC 2852): who is offered it, and what becomes of BY."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.accept.test_session import SessionCase
from umbcmail.accept.grammar import CommandError, parseMail
from umbcmail.accept.offers import offers
from umbcmail.accept.parameters import By, deliverBy, deliveryTime
from umbcmail.deliverby import DeliverBy
from umbcmail.envelope import Client, Envelope

OFFERED = frozenset(("DELIVERBY",))


class GrammarTests(SynchronousTestCase):
    """RFC 2852 section 4."""

    def test_right(self) -> None:
        """A time with a sign or without, a mode, perhaps a trace; in any case."""
        for value, wanted in (
            ("120;R", By(120, True, False)),
            ("+999999999;rt", By(999_999_999, True, True)),
            ("-999999999;N", By(-999_999_999, False, False)),
            ("0;nT", By(0, False, True)),
            ("000000001;R", By(1, True, False)),
        ):
            self.assertEqual(parseMail(f"FROM:<a@b.test> BY={value}", OFFERED).deliverBy, wanted, value)

    def test_wrong(self) -> None:
        """All else is refused with 501: also mode R that has no time, and BY twice."""
        for parameters in (
            "BY", "BY=", "BY=120", "BY=120;", "BY=;R", "BY=120;X", "BY=120;TR", "BY=120;RTT", "BY=1.5;R", "BY=+-1;N",
            "BY=1234567890;R", "BY=0;R", "BY=-1;R", "BY=+0;RT", "BY=120;R;T", "BY=120;R BY=120;R", "BY=\u0661;R",
        ):  # fmt: skip
            error = self.assertRaises(CommandError, parseMail, f"FROM:<a@b.test> {parameters}", OFFERED)
            self.assertEqual((error.reply.code, error.reply.enhanced), (501, "5.5.4"), parameters)

    def test_notOffered(self) -> None:
        """Without the offer it is not known."""
        error = self.assertRaises(CommandError, parseMail, "FROM:<a@b.test> BY=120;R", frozenset(("DSN",)))
        self.assertEqual(error.reply.code, 555)

    @given(st.one_of(st.text(), st.text("+-0123456789;NRTnrt", max_size=14)))
    def test_any(self, value: str) -> None:
        """Whatever is said is a value of the grammar or a C{ValueError}."""
        isRight = re.fullmatch(r"[+-]?[0-9]{1,9};[NRnr][Tt]?", value, re.ASCII)
        try:
            _, by = deliverBy(value)
        except ValueError:
            self.assertTrue(
                isRight is None or (value.partition(";")[2][0] in "rR" and int(value.partition(";")[0]) <= 0)
            )
        else:
            assert isinstance(by, By)
            self.assertIsNotNone(isRight)
            self.assertTrue(-(10**9) < by.seconds < 10**9 and (by.seconds > 0 or not by.returns))

    def test_time(self) -> None:
        """The least time, and the time of release, are for mode R only."""
        self.assertEqual(deliveryTime(By(60, True, True), 1000.0, 60.0, 0.0), DeliverBy(1060.0, True, True))
        self.assertRaises(ValueError, deliveryTime, By(59, True, False), 1000.0, 60.0, 0.0)
        self.assertEqual(deliveryTime(By(-5, False, False), 1000.0, 60.0, 0.0), DeliverBy(995.0, False))
        self.assertRaises(ValueError, deliveryTime, By(60, True, False), 1000.0, 60.0, 1060.0)
        self.assertEqual(deliveryTime(By(60, False, False), 1000.0, 60.0, 2000.0), DeliverBy(1060.0, False))


class SessionTests(SessionCase):
    """Whole conversations."""

    limits = {"deliverBy": 60.0, "holdLimit": 3600.0, "errorLimit": 100}

    def session(self, login: str) -> Any:
        """A session of such a login, after EHLO."""
        session = self.connect()
        dialogue = session._dialogue
        dialogue.client = replace(dialogue.client, login=login)
        session.dataReceived(b"EHLO c.test\r\n")
        return session

    def test_offer(self) -> None:
        """To logins only, with the least time, and not at all when it is switched off."""
        self.assertIn(b"\r\n250-DELIVERBY 60\r\n", self.said(self.session("ann")))
        self.assertNotIn(b"DELIVERBY", self.said(self.session("")))
        self.assertIn("DELIVERBY 2", offers(replace(self.rules, deliverBy=1.5), Client(login="ann")))
        for line in offers(replace(self.rules, deliverBy=0.0), Client(login="ann")):
            self.assertNotIn("DELIVERBY", line)

    def test_kept(self) -> None:
        """The time is absolute from MAIL on, and of this message only."""
        session = self.session("ann")
        self.said(session)
        self.clock.advance(100.5)
        rest = b"RCPT TO:<x@y.test>\r\nDATA\r\n.\r\n"
        session.dataReceived(b"MAIL FROM:<s@z.test> BY=120;RT\r\n" + rest)
        self.clock.advance(5)
        session.dataReceived(b"MAIL FROM:<s@z.test> BY=-7;n\r\n" + rest + b"MAIL FROM:<s@z.test>\r\n" + rest)
        self.assertEqual(self.codes(session), [250, 250, 354, 250] * 3)
        found = [envelope for envelope, _ in self.intake.taken]
        self.assertEqual([envelope.deliverBy for envelope in found], ["220.5;RT", "98.5;N", ""])
        self.assertEqual(Envelope.fromRecord(found[0].toRecord(), found[0].recipients), found[0])

    def test_refused(self) -> None:
        """Too soon, or before it may go on, is refused; and no transaction is left."""
        session = self.session("ann")
        self.said(session)
        for parameters, code in ((b"BY=59;R", 555), (b"BY=120;R HOLDFOR=120", 555), (b"BY=0;R", 501), (b"BY=1;N", 250)):
            session.dataReceived(b"MAIL FROM:<s@z.test> " + parameters + b"\r\n")
            self.assertEqual(self.codes(session), [code], parameters)

    def test_noLogin(self) -> None:
        """Who has not been offered it can't use it."""
        session = self.session("")
        self.said(session)
        session.dataReceived(b"MAIL FROM:<s@z.test> BY=120;R\r\n")
        self.assertEqual(self.codes(session), [555])
