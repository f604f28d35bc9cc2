"""The sample messages, and whether one has arrived as it was sent.  Pure.

C{__main__.py} sends them.  Each has a C{Message-ID} of its own, by which it is
found again wherever it went.
"""

from __future__ import annotations

import base64
import random
import re
from dataclasses import dataclass, field

LOCAL, INTERNAL, REMOTE, DOWN = "campus.test", "lab.test", "away.test", "down.test"
MAILDIR = "Maildir"
ANN = f"ann@{LOCAL}"
NOBODY = (f"nobody@{REMOTE}", f"noone@{REMOTE}")
"""Addresses that the next hop refuses."""

# In pieces, so that scanners don't find them here.
EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*\r\n"
GTUBE = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*" + b"GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\r\n"
"""Strings that the module C{pattern} finds; it is no scanner."""

_ID = re.compile(rb"^Message-ID: <([^>]+)>", re.MULTILINE)
_TRACE = re.compile(rb"(?:(?:Return-Path|Delivered-To|Received|X-Virus-Status): [^\n]*\n(?:[ \t][^\n]*\n)*)+")


@dataclass
class Sample:
    """One message.

    @ivar shape: what is special about it.
    @ivar content: header and body, with CRLF.
    @ivar recipients: envelope recipients.
    @ivar reply: how the reply to the client must begin.
    @ivar agent: which agent it is given to.
    @ivar body8: it has octets over 127.
    """

    shape: str
    content: bytes
    recipients: list[str]
    reply: bytes = b"250 2.0.0 OK, delivered as "
    agent: str = "delivery"
    body8: bool = False
    sender: str = ANN
    id: str = field(init=False)

    def __post_init__(self) -> None:
        self.id = messageId(self.content)

    def expected(self, isDown: bool = True) -> list[tuple[str, str]]:
        """The places where it must arrive, and for whom there.

        @param isDown: whether the host of C{down.test} is.
        """
        if self.reply.startswith(b"5"):
            return []
        wanted = [(placeOf(recipient), recipient) for recipient in self.recipients if recipient not in NOBODY]
        return [pair for pair in wanted if not (isDown and pair[0] == DOWN)]


def placeOf(recipient: str) -> str:
    """Where the mail of a recipient belongs: a Maildir, or the host of its domain."""
    domain = recipient.rpartition("@")[2]
    return MAILDIR if domain == LOCAL else domain


def messageId(content: bytes) -> str:
    """The C{Message-ID} of a message, C{""} without one."""
    found = _ID.search(content[: 1 << 16])
    return found[1].decode("ascii", "replace") if found else ""


def isIntact(sent: bytes, arrived: bytes) -> bool:
    """Whether a message is what it was, octet for octet, and nothing but trace
    fields has been put on top of it."""
    return arrived.endswith(sent) and bool(_TRACE.fullmatch(arrived[: len(arrived) - len(sent)]))


def samples() -> list[Sample]:
    """All of them, in the order in which they are sent."""
    friend = [f"friend@{REMOTE}"]
    crowd = [f"user{n}@{(LOCAL, INTERNAL, REMOTE, REMOTE, REMOTE)[n % 5]}" for n in range(200)]
    return [
        Sample("plain text", _message("plain", b"Hello,\r\n\r\nthis is a message.\r\n"), friend),
        Sample("multipart, attachment", _multipart("attachment", random.Random(1).randbytes(30_000)), friend),
        Sample("8-bit text", _message("eight", _eightBit()), [f"lee@{INTERNAL}"], body8=True),
        Sample("long folded header", _message("header", b"See above.\r\n", _references()), friend),
        Sample("long lines", _message("lines", b"".join(b"x" * n + b"\r\n" for n in (998, 5_000, 70_000))), friend),
        Sample("dots at line starts", _message("dots", b".\r\n..\r\n...\r\n.a\r\n\r\n.\r\n"), friend),
        Sample("no body at all", _message("empty", b""), friend),
        Sample("12 MiB attachment", _multipart("large", random.Random(2).randbytes(9_200_000)), friend),
        Sample("to a local user", _message("local", b"Into a Maildir.\r\n"), [f"Ben+list@{LOCAL}"]),
        Sample("200 recipients", _message("crowd", b"To all.\r\n"), crowd),
        Sample(
            "by the relay agent",
            _message("relay", b"First to disk, then on.\r\n"),
            friend,
            b"250 2.0.0 OK, queued as ",
            "relay",
        ),
        Sample(
            "one of two refused",
            _message("partly", b"One will bounce.\r\n"),
            [*friend, NOBODY[0]],
            b"250 2.0.0 OK, queued as ",
        ),
        Sample("all recipients refused", _message("refused", b"Nobody wants it.\r\n"), [NOBODY[1]], b"550 5.1.1 "),
        Sample("the test virus", _message("virus", EICAR), friend, b"550 5.7.1 Message infected: EICAR"),
        Sample("the test spam", _message("spam", GTUBE), friend, b"550 5.7.1 This is spam: GTUBE"),
        Sample("next hop is down", _message("down", b"Later.\r\n"), [f"patient@{DOWN}"], b"250 2.0.0 OK, queued as "),
    ]


def _message(name: str, body: bytes, more: bytes = b"") -> bytes:
    header = (
        f"Message-ID: <{name}.demo@{LOCAL}>\r\nFrom: Ann <{ANN}>\r\nTo: somebody\r\n"
        f"Subject: A sample: {name}\r\nDate: Mon, 2 Nov 2026 10:00:00 +0000\r\n"
    )
    return header.encode() + more + b"\r\n" + body


def _multipart(name: str, data: bytes) -> bytes:
    kind = b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="next"\r\n'
    attached = base64.encodebytes(data).replace(b"\n", b"\r\n")
    return _message(
        name,
        b"--next\r\nContent-Type: text/plain\r\n\r\nSee the attachment.\r\n"
        b"--next\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + attached
        + b"--next--\r\n",
        kind,
    )


def _eightBit() -> bytes:
    """UTF-8, and octets that are not."""
    return "Grüße, žluťoučký kůň, 日本語\r\n".encode() + bytes(range(128, 256)) + b"\r\n"


def _references() -> bytes:
    """One field of 500 lines, about 20 KiB."""
    return b"References: " + b"\r\n\t".join(b"<%08d.of.a.long.thread@away.test>" % n for n in range(500)) + b"\r\n"
