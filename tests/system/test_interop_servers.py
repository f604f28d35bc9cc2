"""Postfix and Exim send to umbcmail in all ways that they know, and take from it."""

from __future__ import annotations

import contextlib
import email
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.exim import Exim
from tests.system.interop import CONTENT, UTF8, Meeting, Way, parameters
from tests.system.mailsystem import route, running
from tests.system.peers import Conversation, Message
from tests.system.postfix import Postfix

WAYS = {
    "postfix": ["clear", "starttls", "first", "plain", "login", "scram", "cram", "firstplain"],
    # It has SCRAM in another package only.
    "exim": ["clear", "starttls", "first", "plain", "login", "cram", "firstplain"],
}
BOTH = pytest.mark.parametrize("pair", ["postfix", "exim"], indirect=True)
_POLICIES = """
[courier.smtp]
ca-file = "{pem}"
[[tls-policy]]
domain = "verify.peer.test"
level = "verify"
names = ["mx.y.test"]
[[tls-policy]]
domain = "other.peer.test"
level = "verify"
names = ["other.test"]
"""


class Pair(Meeting):
    """umbcmail and another system.

    @ivar peer: it sends the mail for C{how.next.test} to umbcmail in this way; what
        umbcmail has for C{clear.peer.test} and C{offer.peer.test} goes to its ports.
    """

    def __init__(self, name: str, folder: Path, pem: tuple[Path, Path]) -> None:
        self.peer: Postfix | Exim
        super().__init__(folder, pem, "")
        ways = [Way(f"{how}.next.test", self.port(how), how) for how in WAYS[name]]
        ways += [Way(f"{port}.peer.test", self.sink.port, "clear") for port in ("clear", "offer", "verify", "narrow")]
        self.peer = Postfix(pem, ways) if name == "postfix" else Exim(pem, ways)
        config = route("clear.peer.test", self.peer.clear) + route("offer.peer.test", self.peer.offer)
        config += "".join(route(f"{port}.peer.test", self.peer.offer) for port in ("verify", "other"))
        config += _POLICIES.replace("{pem}", str(pem[0]))
        if isinstance(self.peer, Postfix):
            config += route("narrow.peer.test", self.peer.narrow)
        with self.mail.config.open("a") as file:
            file.write(config)

    def arrived(self, recipient: str, content: bytes, hops: int = 2) -> tuple[Message, str]:
        """Here there are two hops."""
        try:
            return super().arrived(recipient, content, hops)
        except AssertionError:
            sys.stderr.write(self.peer.output()[-6000:])
            raise

    def close(self) -> None:
        """Both have ended."""
        self.peer.stop()
        super().close()

    def say(self, port: int, content: bytes, mail: str, rcpt: str) -> None:
        """A transaction with given words behind MAIL FROM and RCPT TO."""
        talk = Conversation(port)
        talk.expect(b"EHLO c.test", b"250")
        talk.expect(b"MAIL FROM:" + mail.encode(), b"250")
        talk.expect(b"RCPT TO:" + rcpt.encode(), b"250")
        talk.expect(b"DATA", b"354")
        answer = talk.message(content)
        assert answer.startswith(b"250"), answer
        talk.expect(b"QUIT", b"221")
        talk.close()


Pairs = Callable[[str], Pair]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory, pem: tuple[Path, Path]) -> Iterator[Pairs]:
    """They are started when they are needed, and run until the last test has ended."""
    started: dict[str, Pair] = {}
    with contextlib.ExitStack() as stack:

        def pair(name: str) -> Pair:
            if name not in started:
                started[name] = found = Pair(name, tmp_path_factory.mktemp("umbcmail"), pem)
                stack.callback(found.close)
                stack.enter_context(running(found.mail))
            return started[name]

        yield pair


@pytest.fixture()
def pair(request: pytest.FixtureRequest, pairs: Pairs) -> Pair:
    """Both run."""
    return pairs(request.param)


@pytest.mark.parametrize("pair, how", [(name, how) for name in WAYS for how in WAYS[name]], indirect=["pair"])
def test_fromPeer(pair: Pair, how: str) -> None:
    """It sends in clear, by STARTTLS, with TLS from the first octet, and logs in."""
    recipient = f"a@{how}.next.test"
    pair.say(pair.peer.clear, CONTENT, "<s@z.test> BODY=8BITMIME", f"<{recipient}>")
    message, trace = pair.arrived(recipient, CONTENT)
    assert message.sender == "s@z.test"
    pair.checkWay(how, trace)
    if isinstance(pair.peer, Exim):
        assert pair.peer.usedChunks(recipient)


@pytest.mark.parametrize("how", ["clear", "starttls", "first"])
@BOTH
def test_fromPeerInAHurry(pair: Pair, how: str) -> None:
    """Exim sends QUIT and closes its side together with the end of a message: it gets
    the reply for all that, or it would send the message again and again."""
    recipient = f"hurry@{how}.next.test"
    pair.sink.stalled.clear()
    pair.sink.stall.add(".")
    try:
        pair.say(pair.peer.clear, CONTENT, "<s@z.test> BODY=8BITMIME", f"<{recipient}>")
        assert pair.sink.stalled.wait(20)
        time.sleep(0.3)
    finally:
        pair.sink.stall.clear()
        pair.sink.goOn.set()
    pair.arrived(recipient, CONTENT)
    line = pair.mail.logged(f" recipient=<{recipient}> ")
    session = line.partition(" id=")[2].partition("-")[0]
    assert "why=quit" in pair.mail.logged(f" disconnected id={session} ")
    pair.sink.goOn.clear()


@pytest.mark.parametrize("port", ["clear", "offer", "verify"])
@BOTH
def test_toPeer(pair: Pair, port: str) -> None:
    """It takes mail from us, in clear and by STARTTLS, with its certificate checked where
    that is asked for, octet for octet."""
    recipient = f"a@{port}.peer.test"
    pair.say(pair.mail.port, CONTENT, "<s@z.test> BODY=8BITMIME", f"<{recipient}>")
    message, trace = pair.arrived(recipient, CONTENT)
    assert message.sender == "s@z.test"
    assert ("with ESMTPS id" in trace or "with esmtps " in trace) == (port != "clear"), trace


@BOTH
def test_toPeerOfOtherName(pair: Pair) -> None:
    """Where its certificate has to have another name nothing is sent, and the message waits."""
    pair.say(pair.mail.port, CONTENT, "<s@z.test> BODY=8BITMIME", "<a@other.peer.test>")
    line = pair.mail.logged(" recipient=<a@other.peer.test> ")
    assert " delayed id=" in line and "certificate" in line, line
    assert "a@other.peer.test" not in pair.sink.recipients()


@pytest.mark.parametrize("pair", ["postfix"], indirect=True)
def test_toPeerWithout8BITMIME(pair: Pair) -> None:
    """A server that does not offer 8BITMIME gets the same text in seven bits (RFC 6152 section 3)."""
    recipient = "a@narrow.peer.test"
    pair.say(pair.mail.port, CONTENT, "<s@z.test> BODY=8BITMIME", f"<{recipient}>")
    content = pair.sink.arrived(recipient).content
    assert content.isascii()
    got, sent = email.message_from_bytes(content), email.message_from_bytes(CONTENT)
    assert got["Content-Transfer-Encoding"] in ("quoted-printable", "base64")
    assert got.get_payload(decode=True) == sent.get_payload(decode=True)
    assert [got[name] for name in ("X-Odd", "Content-Type", "Subject")] == [
        sent[name] for name in ("X-Odd", "Content-Type", "Subject")
    ]


@BOTH
def test_fromPeerSMTPUTF8(pair: Pair) -> None:
    """Addresses and header in UTF-8 come in by it (RFC 6531)."""
    recipient = "gr\u00f6\u00dfe@clear.next.test"
    pair.say(pair.peer.clear, UTF8, "<j\u00fcrgen@z.test> SMTPUTF8 BODY=8BITMIME", f"<{recipient}>")
    message, trace = pair.arrived(recipient, UTF8)
    assert message.sender == "j\u00fcrgen@z.test"
    assert "SMTPUTF8" in message.commands[0]
    assert "by mx.y.test with UTF8SMTP id" in trace


@BOTH
def test_toPeerSMTPUTF8(pair: Pair) -> None:
    """Addresses and header in UTF-8 go out to it (RFC 6531)."""
    recipient = "gr\u00f6\u00dfe@offer.peer.test"
    pair.say(pair.mail.port, UTF8, "<j\u00fcrgen@z.test> SMTPUTF8 BODY=8BITMIME", f"<{recipient}>")
    message, _ = pair.arrived(recipient, UTF8)
    assert message.sender == "j\u00fcrgen@z.test"


@pytest.mark.parametrize("direction", ["from", "to"])
@BOTH
def test_dsn(pair: Pair, direction: str) -> None:
    """What the sender wants to be told of goes through both (RFC 3461)."""
    recipient = "dsn@starttls.next.test" if direction == "from" else "dsn@offer.peer.test"
    mail = {"RET=HDRS", "ENVID=QQ+2B314159"}
    rcpt = {"NOTIFY=SUCCESS,DELAY", "ORCPT=rfc822;old+2Bname@z.test"}
    port = pair.peer.clear if direction == "from" else pair.mail.port
    pair.say(
        port,
        CONTENT,
        " ".join(["<s@z.test>", "BODY=8BITMIME", *sorted(mail)]),
        " ".join([f"<{recipient}>", *sorted(rcpt)]),
    )
    message, _ = pair.arrived(recipient, CONTENT)
    got = parameters(message.commands)
    assert got[0] - {"BODY=8BITMIME"} == mail
    assert got[1] == rcpt
