"""L{umbcmail.accept.mailing}: recipients that are discarded, or put on hold."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import succeed

from tests.unit.accept.test_session import SessionCase
from umbcmail import reply
from umbcmail.accept.body import MEMORY_LIMIT
from umbcmail.envelope import Client, Recipient
from umbcmail.verdict import discard, hold, permit, refuse

HELLO = b"EHLO c.test\r\nMAIL FROM:<s@z.test>\r\n"
RULED = {
    "away": discard("it is unwanted"),
    "wait": hold("it is odd"),
    "queer": hold("it is queer"),
    "no": refuse(reply.RELAYING_DENIED, "no"),
}


class Policy:
    """Goes by the user; C{late-USER} is answered by a Deferred."""

    def judge(self, client: Client, sender: str, recipient: Recipient) -> Any:
        """See L{IRelayPolicy}."""
        user = recipient.address.partition("@")[0]
        verdict = RULED.get(user.removeprefix("late-"), permit("yes"))
        return succeed(verdict) if user.startswith("late-") else verdict


class VerdictTests(SessionCase):
    """More than yes and no."""

    limits = {"recipientLimit": 4, "policy": Policy()}

    def mail(self, *users: str, end: bytes = b"DATA\r\nx\r\n.\r\n") -> list[int]:
        """The codes from the first RCPT on."""
        rcpts = b"".join(f"RCPT TO:<{user}@y.test>\r\n".encode() for user in users)
        return self.talk(HELLO + rcpts + end)[2:]

    def logged(self, event: str) -> list[str]:
        """The lines of an event, from the id on."""
        self.log.flush()
        lines = b"".join(self.lines).decode().splitlines()
        return [line.split(" ", 2)[2] for line in lines if line.split(" ")[1] == event]

    def taken(self) -> list[tuple[list[str], str, tuple[str, ...]]]:
        """The messages of the intake: recipients, why on hold, for whom."""
        return [([r.address for r in e.recipients], e.hold, e.heldFor) for e, _ in self.intake.taken]

    def test_allDiscarded(self) -> None:
        """The client hears what it would hear for mail that is queued, nobody gets
        the message, and the log says so."""
        for users in (["away"], ["late-away"], ["away", "late-away"]):
            session = self.connect()
            self.said(session)
            rcpts = b"".join(f"RCPT TO:<{user}@y.test>\r\n".encode() for user in users)
            session.dataReceived(HELLO + rcpts + b"DATA\r\nx\r\n.\r\nMAIL FROM:<>\r\n")
            said = self.said(session).split(b"\r\n")
            self.assertIn(reply.RECIPIENT_OK.wire.strip(), said)
            id = f"{session._dialogue.id}-1"
            self.assertIn(reply.queued(id).wire.strip(), said)
            self.assertEqual(b"250 2.1.0 Sender OK", said[-2])
            lines = [f'id={id} recipient=<{user}@y.test> why="it is unwanted"' for user in users]
            self.assertEqual(lines, [line for line in self.logged("discarded") if line.startswith(f"id={id} ")])
        self.assertEqual([], self.intake.taken)
        self.assertEqual([], self.logged("rejected"))

    def test_someDiscarded(self) -> None:
        """The others get it."""
        self.assertEqual([250, 250, 250, 354, 250], self.mail("a", "away", "b"))
        self.assertEqual([(["a@y.test", "b@y.test"], "", ())], self.taken())
        self.assertEqual(1, len(self.logged("discarded")))

    def test_notTaken(self) -> None:
        """Nothing is discarded of a message that the client keeps."""
        self.intake.answer = reply.LOCAL_ERROR
        self.assertEqual([250, 250, 354, 451], self.mail("a", "away"))
        self.assertEqual([], self.logged("discarded"))

    def test_discardedInChunks(self) -> None:
        """By BDAT too."""
        self.assertEqual([250, 250, 250], self.mail("away", end=b"BDAT 3\r\nabcBDAT 2 LAST\r\n\r\n"))
        self.assertEqual([], self.intake.taken)
        self.assertEqual(1, len(self.logged("discarded")))

    def test_largeIsDiscarded(self) -> None:
        """What has been written of it is given up."""
        body = b"0123456789" * (MEMORY_LIMIT // 10 + 10) + b"\r\n.\r\n"
        self.assertEqual([250, 354, 250], self.mail("away", end=b"DATA\r\n" + body))
        self.assertEqual(1, len(self.discarded))

    def test_wrongInItself(self) -> None:
        """What no recipient could get is refused all the same."""
        self.assertEqual([250, 354, 550], self.mail("away", end=b"DATA\r\nx\ny\r\n.\r\n"))
        self.assertEqual([250, 354, 554], self.mail("away", end=b"DATA\r\n" + b"Received: x\r\n" * 101 + b"\r\n.\r\n"))
        self.assertEqual([], self.logged("discarded"))

    def test_limitCountsAll(self) -> None:
        """Recipients that are discarded count as others do."""
        self.assertEqual([250, 250, 250, 250, 452, 354, 250], self.mail("away", "a", "away", "b", "c"))

    def test_nextTransaction(self) -> None:
        """Nothing is left of it for the next one, after RSET or the end."""
        self.assertEqual([250, 250, 250, 503], self.mail("away", end=b"RSET\r\nMAIL FROM:<>\r\nDATA\r\n"))
        again = b"DATA\r\nx\r\n.\r\nMAIL FROM:<>\r\nDATA\r\nRCPT TO:<a@y.test>\r\nDATA\r\nx\r\n.\r\n"
        self.assertEqual([250, 250, 354, 250, 250, 503, 250, 354, 250], self.mail("away", "wait", end=again))
        self.assertEqual([(["wait@y.test"], "it is odd", ()), (["a@y.test"], "", ())], self.taken())

    def test_refused(self) -> None:
        """A no among them is a no."""
        self.assertEqual([550, 503], self.mail("no", end=b"DATA\r\n"))
        self.assertEqual([550, 250, 354, 250], self.mail("no", "away"))

    def test_hold(self) -> None:
        """The message goes to the intake with the reason, and for whom it is."""
        for users, expected in (
            (["wait"], ("it is odd", ())),
            (["late-wait", "wait"], ("it is odd", ())),
            (["wait", "queer"], ("it is odd; it is queer", ())),
            (["a", "wait"], ("it is odd", ("wait@y.test",))),
            (["queer", "a", "late-wait"], ("it is queer; it is odd", ("queer@y.test", "late-wait@y.test"))),
            (["wait", "away"], ("it is odd", ())),
            (["a", "wait", "a"], ("it is odd", ("wait@y.test",))),
        ):
            self.intake.taken.clear()
            self.assertEqual([*[250] * len(users), 354, 250], self.mail(*users))
            [(_, *found)] = self.taken()
            self.assertEqual(expected, tuple(found))
