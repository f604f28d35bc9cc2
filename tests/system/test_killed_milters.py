"""A filter is killed in each state of a message: what becomes of it at both agents."""

from __future__ import annotations

import signal
import sys
from concurrent.futures import ThreadPoolExecutor

from tests.system.mailsystem import MailCase, Umbcmail, environment
from tests.system.milterdaemons import answersAt
from tests.system.peers import Conversation, send
from tests.system.programs import ROOT, Program, freePort, until

CONFIG = """
[networks]
trusted = ["127.0.0.1"]
[agent.delivery]
filters = ["unix:{folder}/milter"]
[agent.delivery.port.mx]
endpoint = "tcp:{port}:interface=127.0.0.1"
[agent.relay]
filters = ["unix:{folder}/milter"]
[agent.relay.port.mx]
endpoint = "tcp:{relay}:interface=127.0.0.1"
"""
CONTENT = b"Subject: s\r\n\r\ntext\r\n"


class KilledTests(MailCase):
    """The delivery agent takes nothing without its filter, the relay agent all."""

    def setUp(self) -> None:
        """Both agents."""
        MailCase.setUp(self)
        self.relay = freePort()
        config = CONFIG.replace("{relay}", str(self.relay)).replace("{port}", str(freePort()))
        self.mail: Umbcmail = self.start(config)
        self.reached = self.folder / "reached"

    def filter(self, letter: str) -> Program:
        """A filter that stalls at a command."""
        socket = self.folder / "milter"
        socket.unlink(missing_ok=True)
        self.reached.unlink(missing_ok=True)
        argv = [sys.executable, "-m", "tests.system.stallingmilter", str(socket), letter, str(self.reached)]
        program = Program(argv, self.folder / "milter.log", cwd=ROOT, env=environment())
        self.addCleanup(program.stop, signal.SIGKILL)
        until(lambda: answersAt(socket) or program.ended, "the filter is up")
        return program

    def transaction(self, talk: Conversation) -> bytes:
        """@return: the first refusal, or the reply to the dot."""
        for line in (b"MAIL FROM:<s@z.test>", b"RCPT TO:<ann@y.test>", b"DATA"):
            answer = talk.say(line)
            if answer[:1] not in b"23":
                return answer
        return talk.message(CONTENT)

    def killed(self, port: int, letter: str) -> bytes:
        """What is said to a message whose filter is killed at a command; the same session
        then has a message that passes another filter."""
        program = self.filter(letter)
        talk = Conversation(port)
        try:
            talk.say(b"EHLO client.test")
            with ThreadPoolExecutor(1) as pool:
                future = pool.submit(self.transaction, talk)
                until(self.reached.exists, f"the filter has come to {letter}")
                program.stop(signal.SIGKILL)
                answer = future.result(30)
            talk.say(b"RSET")
            another = self.filter("Z")
            # Who could not be reached is not tried again at once.
            until(
                lambda: self.transaction(talk).startswith(b"250 2") or talk.say(b"RSET") == b"",
                f"passes after {letter}",
            )
            self.mail.arrived("ann")
            another.stop(signal.SIGKILL)
            return answer
        finally:
            talk.close()

    def test_delivery(self) -> None:
        """451 at the command that the filter had not answered, and nobody has the mail."""
        for letter in "OCHMRTLNBE":
            answer = self.killed(self.mail.ports["mx"], letter)
            self.assertEqual(answer, b"451 4.7.1 Service unavailable, try again later\r\n", letter)
        until(lambda: len(self.mail.events("filter-failed")) == 10, "each is in the log, once")

    def test_relay(self) -> None:
        """The mail is taken without the filter."""
        for letter in "OCHMRTLNBE":
            program = self.filter(letter)
            talk = Conversation(self.relay)
            talk.say(b"EHLO client.test")
            with ThreadPoolExecutor(1) as pool:
                future = pool.submit(self.transaction, talk)
                until(self.reached.exists, f"the filter has come to {letter}")
                program.stop(signal.SIGKILL)
                self.assertTrue(future.result(30).startswith(b"250 2.0.0"), letter)
            self.assertTrue(self.mail.arrived("ann").endswith(b"\n\ntext\n"))
            talk.close()

    def test_slowReader(self) -> None:
        """A large message is read from its file as fast as the filter takes it, and changed
        in a file: it is never in memory.  Others go on meanwhile."""
        self.filter("-")
        port = self.mail.ports["mx"]
        send(port, CONTENT, "ann@y.test")
        self.mail.arrived("ann")
        before = self.mail.memory("VmHWM")
        lines = b"0123456789" * 7 + b"\r\n"
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(send, port, b"Subject: s\r\n\r\n" + lines * 500_000, "big@y.test")
            self.assertTrue(send(port, CONTENT, "ann@y.test").startswith(b"250"))
            self.assertTrue(future.result(60).startswith(b"250"))
        self.assertLess(self.mail.memory("VmHWM") - before, 20 * 1024 * 1024)
        octets = self.mail.arrived("big")
        self.assertTrue(octets.endswith(lines.replace(b"\r\n", b"\n") * 500_000))
        self.assertIn(b"\nSubject: s\nX-Seen: yes\n\n", octets)
        self.mail.emptied()

    def test_notThere(self) -> None:
        """The same where nobody listens."""
        talk = Conversation(self.mail.ports["mx"])
        talk.say(b"EHLO client.test")
        self.assertEqual(talk.say(b"MAIL FROM:<s@z.test>"), b"451 4.7.1 Service unavailable, try again later\r\n")
        talk.close()
        self.assertTrue(send(self.relay, CONTENT, "ann@y.test").startswith(b"250"))
        self.mail.arrived("ann")
        self.mail.logged("filter-failed")
        self.assertIn("policy=accept", self.mail.log())
