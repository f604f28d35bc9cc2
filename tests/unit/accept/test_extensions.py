"""What EHLO offers, and what becomes of it: whole conversations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.accept.test_session import SessionCase
from umbcmail.accept.leniency import LENIENCIES
from umbcmail.accept.offers import offers
from umbcmail.accept.parameters import futureRelease, releaseTime
from umbcmail.envelope import Client, Envelope, Recipient


class ReleaseTests(SynchronousTestCase):
    """When a message may go on."""

    def test_times(self) -> None:
        """After so many seconds, or at a time; what is past is at once."""
        self.assertEqual(releaseTime(60, None, 1000.0, 3600.0), 1060.0)
        self.assertEqual(releaseTime(None, 1500.5, 1000.0, 3600.0), 1500.5)
        for past in ((0, None), (None, 999.0), (None, 1000.0), (None, None)):
            self.assertEqual(releaseTime(*past, 1000.0, 3600.0), 0.0)

    def test_limits(self) -> None:
        """Up to the limit, and one of both only."""
        self.assertEqual(releaseTime(3600, None, 1000.0, 3600.0), 4600.0)
        for wrong in ((3601, None), (None, 4601.0), (1, 2.0), (0, 0.0)):
            self.assertRaises(ValueError, releaseTime, *wrong, 1000.0, 3600.0)

    def test_offer(self) -> None:
        """The limit in seconds, and as a date."""
        self.assertEqual(futureRelease(1764000000.0, 86400.0), "FUTURERELEASE 86400 2025-11-25T16:00:00Z")


class OfferTests(SessionCase):
    """Who is offered what."""

    limits = {"holdLimit": 3600.0, "errorLimit": 100}

    def keywords(self, **client: Any) -> list[str]:
        """The keywords for a client."""
        return [line.partition(" ")[0] for line in offers(self.rules, Client("192.0.2.7", **client))]

    def test_order(self) -> None:
        """The order is always the same; each is offered where it may be."""
        plain = ["PIPELINING", "SIZE", "8BITMIME", "SMTPUTF8", "CHUNKING", "DSN", "ENHANCEDSTATUSCODES", "LIMITS"]
        self.assertEqual(self.keywords(), plain)
        self.assertEqual(self.keywords(tls="TLSv1.3"), [*plain, "REQUIRETLS"])
        self.assertEqual(self.keywords(tls="TLSv1.3", login="ann"), [*plain, "REQUIRETLS", "FUTURERELEASE"])
        self.rules = replace(self.rules, holdLimit=0.0)
        self.assertNotIn("FUTURERELEASE", self.keywords(login="ann"))

    def test_limits(self) -> None:
        """LIMITS says what is configured (RFC 9422)."""
        self.assertIn("LIMITS RCPTMAX=100", offers(self.rules, Client()))
        self.rules = replace(self.rules, mailLimit=5)
        self.assertIn("LIMITS MAILMAX=5 RCPTMAX=100", offers(self.rules, Client()))

    def session(self, **client: Any) -> Any:
        """A session of such a client, after EHLO."""
        session = self.connect()
        dialogue = session._dialogue
        dialogue.client = replace(dialogue.client, **client)
        session.dataReceived(b"EHLO c.test\r\n")
        self.said(session)
        return session

    def send(self, session: Any, parameters: bytes, rcpt: bytes = b"") -> Envelope:
        """Send a message, and give the envelope that came of it."""
        session.dataReceived(
            b"MAIL FROM:<s@z.test> " + parameters + b"\r\nRCPT TO:<x@y.test> " + rcpt + b"\r\nDATA\r\n.\r\n"
        )
        self.assertEqual(self.codes(session), [250, 250, 354, 250])
        return self.intake.taken[-1][0]

    def refused(self, session: Any, parameters: bytes) -> int:
        """The code of MAIL; no transaction may be left."""
        session.dataReceived(b"MAIL FROM:<s@z.test> " + parameters + b"\r\nRCPT TO:<x@y.test>\r\n")
        code, next_ = self.codes(session)
        self.assertEqual(next_, 503)
        return code

    def test_kept(self) -> None:
        """What is said in MAIL and RCPT is in the envelope, for this message and not
        for the next of the session."""
        session = self.session(tls="TLSv1.3", login="ann")
        self.clock.advance(100)
        said = b"RET=HDRS ENVID=E+2B1 SMTPUTF8 BODY=8BITMIME REQUIRETLS HOLDFOR=60 SIZE=3"
        found = self.send(session, said, b"NOTIFY=SUCCESS,DELAY ORCPT=rfc822;root")
        self.assertEqual((found.ret, found.envid, found.smtputf8, found.body), ("HDRS", "E+2B1", True, "8BITMIME"))
        self.assertEqual((found.requireTLS, found.holdUntil), (True, 160.0))
        self.assertEqual(found.recipients, (Recipient("x@y.test", "SUCCESS,DELAY", "rfc822;root"),))
        self.assertEqual(Envelope.fromRecord(found.toRecord(), found.recipients), found)
        found = self.send(session, b"")
        self.assertEqual((found.ret, found.envid, found.smtputf8, found.body), ("", "", False, "7BIT"))
        self.assertEqual((found.requireTLS, found.holdUntil), (False, 0.0))
        self.assertEqual(found.recipients, (Recipient("x@y.test"),))

    def test_notOffered(self) -> None:
        """Who is not offered an extension can't use it."""
        session = self.session()
        for parameter in (b"REQUIRETLS", b"HOLDFOR=60", b"HOLDUNTIL=2027-01-01T00:00:00Z", b"BY=60;R", b"AUTH=<>"):
            self.assertEqual(self.refused(session, parameter), 555, parameter)
        self.assertEqual(self.refused(session, b"BODY=BINARYMIME"), 501)
        self.assertEqual(self.refused(self.session(login="ann"), b"REQUIRETLS"), 555)

    def test_heldTooLong(self) -> None:
        """Beyond the limit, or said twice, a release time is refused."""
        session = self.session(login="ann")
        for parameters in (
            b"HOLDFOR=3601",
            b"HOLDUNTIL=2027-01-01T00:00:00Z",
            b"HOLDFOR=1 HOLDUNTIL=1970-01-01T00:00:01Z",
        ):
            self.assertEqual(self.refused(session, parameters), 501, parameters)

    def test_afterHelo(self) -> None:
        """HELO offers nothing, also after EHLO."""
        session = self.session()
        session.dataReceived(b"HELO c.test\r\n")
        self.said(session)
        for parameter in (b"SIZE=1", b"BODY=7BIT", b"RET=FULL", b"SMTPUTF8"):
            self.assertEqual(self.refused(session, parameter), 555)

    def test_mailLimit(self) -> None:
        """Beyond MAILMAX a client must connect again."""
        self.limits = {"mailLimit": 2}
        self.setUp()
        one = b"MAIL FROM:<s@z.test>\r\nRSET\r\n"
        self.assertEqual(self.talk(b"EHLO c\r\n" + one * 3), [250, 250, 250, 250, 250, 421])

    def test_eightBitAddress(self) -> None:
        """A sender beyond ASCII needs SMTPUTF8, and the trace field tells of it."""
        session = self.session()
        session.dataReceived(b"MAIL FROM:<n\xc3\xa9@z.test> SMTPUTF8\r\nRCPT TO:<\xc3\xbc@y.test>\r\nDATA\r\n.\r\n")
        self.assertEqual(self.codes(session), [250, 250, 354, 250])
        envelope, data = self.intake.taken[0]
        self.assertEqual((envelope.sender, envelope.recipients[0].address), ("n\u00e9@z.test", "\u00fc@y.test"))
        self.assertIn(b" with UTF8SMTP id ", data)
        self.assertEqual(self.talk(b"EHLO c\r\nMAIL FROM:<n\xc3\xa9@z.test>\r\n"), [250, 501])

    def test_vrfy(self) -> None:
        """VRFY needs an argument, and does not touch the transaction."""
        text = b"EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<x@y.test>\r\n"
        asked = b"VRFY\r\nVRFY \xc3\xbc\r\nVRFY \xc3\xbc SMTPUTF8\r\n"
        self.assertEqual(self.talk(text + asked + b"DATA\r\n.\r\n"), [250, 250, 250, 501, 501, 252, 354, 250])


class LenientSessionTests(SessionCase):
    """Leniencies of a port."""

    limits = {"leniencies": frozenset(LENIENCIES)}

    def test_taken(self) -> None:
        """Mistakes are taken, go on as they should have been written, and the log
        tells of each once."""
        text = b"EHLO c\r\nMAIL FROM: s@z.test\r\nRCPT TO: <.x@y.test>\r\nRCPT TO:<x..z@y.test>\r\nDATA\r\n.\r\n"
        self.assertEqual(self.talk(text), [250, 250, 250, 250, 354, 250])
        envelope = self.intake.taken[0][0]
        self.assertEqual(envelope.sender, "s@z.test")
        self.assertEqual([r.address for r in envelope.recipients], ['".x"@y.test', '"x..z"@y.test'])
        self.log.flush()
        log = b"".join(self.lines)
        for name in LENIENCIES:
            self.assertEqual(log.count(f" lenient id=c0 client=192.0.2.7 helo=c leniency={name}\n".encode()), 1)

    def test_strict(self) -> None:
        """Without them all is refused."""
        self.limits = {}
        self.setUp()
        text = b"EHLO c\r\nMAIL FROM: <s@z.test>\r\nMAIL FROM:s@z.test\r\nMAIL FROM:<.s@z.test>\r\n"
        self.assertEqual(self.talk(text), [250, 501, 501, 501])


class FuzzTests(SessionCase):
    """Whatever a client sends."""

    limits = {"errorLimit": 1000, "commandLimit": 1000, "leniencies": frozenset(LENIENCIES), "sizeLimit": 200}

    words = st.sampled_from(
        [
            b"EHLO c", b"HELO c", b"MAIL FROM:", b"RCPT TO:", b"DATA", b"BDAT ", b"VRFY ", b"RSET", b"NOOP", b"5", b"0",
            b" LAST", b"<s@z.test>", b"<x@y.test>", b" ", b"<>", b"..", b" SIZE=", b" NOTIFY=", b" RET=FULL",
            b" SMTPUTF8", b"\xc3\xa9", b"\xff", b"\0", b"\r", b"\n", b"\r\n", b"\r\n", b"\r\n", b"\r\n.\r\n", b"\t",
            b"x" * 30,
        ]
    )  # fmt: skip

    @settings(max_examples=400, deadline=None)
    @given(st.lists(words, max_size=40), st.lists(st.integers(1, 30), max_size=30))
    def test_neverABug(self, parts: list[bytes], sizes: list[int]) -> None:
        """Any mix of words gets replies and no bug, the same however it is cut."""
        found = []
        for cuts in ([], sizes):
            text = b"EHLO c\r\n" + b"".join(parts)
            self.setUp()
            session = self.connect()
            self.said(session)
            for size in [*cuts, len(text)]:
                chunk, text = text[:size], text[size:]
                if chunk:
                    session.dataReceived(chunk)
            found.append((self.said(session), [data for _, data in self.intake.taken]))
            self.log.flush()
            self.assertNotIn(b" bug ", b"".join(self.lines))
        self.assertEqual(*found)
