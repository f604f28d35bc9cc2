"""Where umbcmail meets other people's programs: one with a port of each kind, and a
next hop of ours behind it that keeps what arrives."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.system.mailsystem import Umbcmail, route
from tests.system.peers import Message, Sink
from tests.system.programs import HOST, freePort

LOGIN = "ann"
PASSWORD = "open sesame"
MECHANISMS = {"plain": "PLAIN", "login": "LOGIN", "scram": "SCRAM-SHA-256", "cram": "CRAM-MD5"}
OFFERS = (b"PIPELINING", b"8BITMIME", b"SIZE", b"SMTPUTF8", b"DSN")
CONTENT = (
    b"Date: Tue, 25 Nov 2025 10:00:00 +0000\r\n"
    b"Message-ID: <1@z.test>\r\n"
    b"From: <s@z.test>\r\n"
    b"X-Odd:   folded \r\n\t  twice, and trailing blanks  \r\n"
    b"MIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=iso-8859-1\r\n"
    b"Content-Transfer-Encoding: 8bit\r\n"
    b"Subject: all that may go wrong\r\n"
    b"\r\n"
    b".\r\n..\r\n.dot\r\n ..\r\n"
    b"From here on\r\n>From there on\r\n"
    b"gr\xfc\xdfe \xff\xfe \r\n\t \r\n"
    b"\x01\x7f\x1b control\r\n" + b"long " * 190 + b"\r\n"
    b"QUIT\r\n.\r\n\r\n\r\n"
)
"""Octets that a system may be tempted to mend."""
UTF8 = (
    "Date: Tue, 25 Nov 2025 10:00:00 +0000\r\nMessage-ID: <1@z.test>\r\n"
    "From: J\u00fcrgen <j\u00fcrgen@z.test>\r\nSubject: \u30e1\u30fc\u30eb\r\n\r\ntext \u2713\r\n"
).encode()
"""Needs SMTPUTF8."""

_TRACE = re.compile(rb"(?:Received:[^\n]*\n(?:[ \t][^\n]*\n)*)+")


@dataclass(frozen=True)
class Way:
    """How a program sends to us, or to a next hop.

    @ivar domain: of the recipients.
    @ivar how: C{clear}, C{starttls}, C{first} (TLS from the first octet), a key of
        L{MECHANISMS} (to log in, after STARTTLS), or one with C{first} before it.
    """

    domain: str
    port: int
    how: str

    @property
    def isFirst(self) -> bool:
        """TLS comes first."""
        return self.how.startswith("first")

    @property
    def mechanism(self) -> str:
        """Name of the mechanism to log in by; empty: not at all."""
        return mechanism(self.how)


def mechanism(how: str) -> str:
    """Name of the mechanism; empty: there is no log-in."""
    return MECHANISMS.get(how.removeprefix("first"), "")


class Meeting:
    """The mail system and its next hop; to be started by the test.

    The mail of everything below C{next.test} goes to the next hop.

    @ivar submission: port that wants TLS and a log-in.
    @ivar submissions: the same, with TLS from the first octet.
    @ivar first: port with TLS from the first octet and no more.
    @ivar filters: port where others are told by XCLIENT.
    """

    def __init__(self, folder: Path, pem: tuple[Path, Path], config: str = "") -> None:
        self.sink = Sink(offers=OFFERS)
        self.pem = pem
        self.first, self.filters, self.submission, self.submissions = freePort(), freePort(), freePort(), freePort()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "users").write_text(f"{LOGIN}:{{PLAIN}}{PASSWORD}\n")
        names = {"{pem}": pem[0], "{key}": pem[1], "{host}": HOST, "{first}": self.first, "{filters}": self.filters}
        names |= {"{submission}": self.submission, "{submissions}": self.submissions}
        text = _CONFIG
        for name, value in names.items():
            text = text.replace(name, str(value))
        self.mail = Umbcmail(folder, route("*.next.test", self.sink.port) + text + config)

    def port(self, how: str) -> int:
        """Where one has to go to for a L{Way}."""
        if how == "first":
            return self.first
        if how.startswith("first"):
            return self.submissions
        return self.submission if mechanism(how) else self.mail.port

    def arrived(self, recipient: str, content: bytes, hops: int = 1) -> tuple[Message, str]:
        """Wait for the only message to somebody, which has to be that content octet
        for octet with trace fields on top.

        @return: what the next hop got, and the trace fields.
        """
        message = self.sink.arrived(recipient)
        got = message.content
        assert got.endswith(content), f"{content!r} became {got!r}"
        top = got[: len(got) - len(content)]
        assert _TRACE.fullmatch(top), f"{top!r} is more than trace fields"
        assert top.count(b"Received:") == hops, top
        return message, top.decode()

    def checkWay(self, how: str, trace: str) -> None:
        """Received says how the message came in, and the log the mechanism."""
        ((protocol, session),) = re.findall(r"\bby mx\.y\.test with (\w+) id (\w+)-", trace)
        kind = {"clear": "ESMTP", "starttls": "ESMTPS", "first": "ESMTPS"}.get(how, "ESMTPSA")
        # msmtp 1.8.28 declares all mail as SMTPUTF8.
        assert protocol.replace("UTF8SMTP", "ESMTP") == kind, trace
        if mechanism(how):
            assert f" login={LOGIN} mechanism={mechanism(how)}" in self.mail.logged(f" authenticated id={session} ")

    def close(self) -> None:
        """No next hop any more."""
        self.sink.close()


def parameters(commands: Sequence[str]) -> list[set[str]]:
    """What stands behind the addresses of MAIL and RCPT, without SIZE."""
    return [{word for word in c.partition(">")[2].split() if not word.startswith("SIZE=")} for c in commands]


_CONFIG = """
[tls]
certificate = "{pem}"
key = "{key}"
[auth]
checkers = ["file:{folder}/users"]
mechanisms = ["PLAIN", "LOGIN", "SCRAM-SHA-256", "CRAM-MD5"]
delay = "0.1s"
[agent.delivery.port.first]
endpoint = "tcp:{first}:interface={host}"
tls = "first"
[agent.delivery.port.filters]
endpoint = "tcp:{filters}:interface={host}"
xclient = ["{host}"]
[agent.delivery.port.submission]
endpoint = "tcp:{submission}:interface={host}"
tls = "require"
auth = "require"
submission = true
relay = ["auth"]
[agent.delivery.port.submissions]
endpoint = "tcp:{submissions}:interface={host}"
tls = "first"
auth = "require"
submission = true
relay = ["auth"]
"""
