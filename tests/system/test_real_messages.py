"""Messages that others have made, to test mail software with, arrive as they are.

Every message of CPython's C{test.test_email.data} and the two samples of
SpamAssassin go by a raw socket and by swaks, through umbcmail, to four kinds of
next hops.  What arrives is the message octet for octet, with trace fields on top.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.system.mailsystem import Umbcmail, route, running
from tests.system.peers import Conversation, Sink, stuffed
from tests.system.programs import HOST, missing, need, until
from tests.system.servers import Dovecot, SmtpSink

_TRACE = re.compile(
    rb"(?:(?:Received|Return-Path|Delivered-To|X-(?:Client-Addr|Client-Proto|Helo-Args|Mail-Args|Rcpt-Args)):"
    rb"[^\n]*\n(?:[ \t][^\n]*\n)*)+"
)
SAMPLES = Path("/usr/share/doc/spamassassin/examples")
Messages = dict[str, bytes]
Arrived = Callable[[], dict[str, bytes]]


def _normal(data: bytes) -> bytes:
    """As a client must send it: every line ends with CRLF (RFC 5321 section 2.3.8)."""
    data = re.sub(rb"\r\n|\r|\n", b"\r\n", data)
    return data if data.endswith(b"\r\n") else data + b"\r\n"


def _folder() -> Path:
    found = importlib.util.find_spec("test.test_email")
    if found is None or found.origin is None:
        missing("CPython's own tests are not installed (script/bootstrap --dev as root)")
    return Path(found.origin).parent / "data"


@pytest.fixture(scope="module")
def messages() -> Messages:
    """By the user that each goes to."""
    found = sorted(_folder().glob("msg_*.txt"))
    assert len(found) > 40
    samples = sorted(SAMPLES.glob("sample-*.txt"))
    if len(samples) != 2:
        missing("SpamAssassin's samples are not installed (script/bootstrap --dev as root)")
    return {f"u{n}": _normal(path.read_bytes()) for n, path in enumerate(found + samples)}


@pytest.fixture(scope="module")
def attachments() -> Messages:
    """The rest of the folder: pictures and sounds, as bodies that are not text."""
    found = [path for path in sorted(_folder().iterdir()) if path.is_file() and not path.name.startswith("msg_")]
    return {f"a{n}": b"Subject: x\r\n\r\n" + _normal(path.read_bytes()) for n, path in enumerate(found)}


# What goes in


def _bySocket(port: int, messages: Messages, domain: str) -> None:
    """All of them in one session."""
    talk = Conversation(port)
    for user, content in messages.items():
        talk.begin(f"{user}@{domain}", parameters=b" BODY=8BITMIME")
        assert talk.message(content).startswith(b"250 2.0.0 OK, delivered"), user
    talk.expect(b"QUIT", b"221")
    talk.close()


def _bySwaks(port: int, messages: Messages, domain: str, folder: Path) -> None:
    """Each by a process of its own, some at the same time."""
    swaks = need("swaks")

    def one(user: str) -> None:
        path = folder / f"{user}.eml"
        path.write_bytes(stuffed(messages[user]).removesuffix(b"\r\n"))
        argv = [
            swaks,
            "--server",
            f"{HOST}:{port}",
            "--from",
            "s@z.test",
            "--to",
            f"{user}@{domain}",
            "--helo",
            "c.test",
        ]
        argv += ["--data", f"@{path}", "--no-data-fixup"]
        done = subprocess.run(argv, capture_output=True, timeout=60)
        assert done.returncode == 0 and b"250 2.0.0 OK, delivered" in done.stdout, (user, done.stdout, done.stderr)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(one, messages))


# What comes out


def _check(messages: Messages, arrived: dict[str, bytes], lineEnd: bytes = b"\n") -> None:
    assert arrived.keys() == messages.keys()
    for user, sent in messages.items():
        got, wanted = arrived[user], sent.replace(b"\r\n", lineEnd)
        assert got.endswith(wanted), f"{user}: {wanted!r} became {got!r}"
        top = got[: len(got) - len(wanted)]
        assert top.count(b"\tby mx.y.test with ESMTP id ") == 1, top
        assert _TRACE.fullmatch(top), f"{user}: {top!r} is more than trace fields"


def _inMaildirs(homes: Path, below: str = "") -> dict[str, bytes]:
    """The one message of each user."""
    arrived = {}
    for home in homes.iterdir():
        (path,) = (home / below / "new").iterdir()
        arrived[home.name] = path.read_bytes()
    return arrived


@pytest.fixture(params=["socket", "swaks"])
def push(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Umbcmail, Messages], None]:
    """Sends messages to users of next.test."""

    def sent(mail: Umbcmail, messages: Messages) -> None:
        if request.param == "socket":
            _bySocket(mail.port, messages, "next.test")
        else:
            _bySwaks(mail.port, messages, "next.test", tmp_path)

    return sent


Push = Callable[[Umbcmail, Messages], None]


@pytest.fixture()
def sink() -> Iterator[Sink]:
    """A next hop of our own."""
    sink = Sink()
    yield sink
    sink.close()


def test_ourSink(tmp_path: Path, messages: Messages, push: Push, sink: Sink) -> None:
    """By SMTP not an octet changes, dots and line ends included."""
    with running(Umbcmail(tmp_path, route("next.test", sink.port))) as mail:
        push(mail, messages)
        mail.emptied()
    assert len(sink.messages) == len(messages)
    arrived = {message.recipients[0].partition("@")[0]: message.content for message in sink.messages}
    _check(messages, arrived, b"\r\n")


def test_smtpSink(tmp_path: Path, messages: Messages, push: Push) -> None:
    """Postfix's test server gets them all."""
    sink = SmtpSink(tmp_path / "sink")
    try:
        with running(Umbcmail(tmp_path, route("next.test", sink.port))) as mail:
            push(mail, messages)
        until(lambda: sink.count() == len(messages), "smtp-sink has counted them")
    finally:
        sink.stop()
    arrived = {}
    for path in sink.dump.iterdir():
        data = path.read_bytes()
        (user,) = re.findall(rb"\AX-Client-Addr:.*?^X-Rcpt-Args: <(.*?)@next\.test>$", data, re.M | re.S)
        # The dump ends with an empty line of its own.
        arrived[user.decode()] = data.removesuffix(b"\n")
    assert len(arrived) == len(list(sink.dump.iterdir()))
    _check(messages, arrived)


def test_dovecot(tmp_path: Path, messages: Messages, push: Push) -> None:
    """Dovecot's LMTP puts them into Maildirs."""
    dovecot = Dovecot()
    try:
        with running(Umbcmail(tmp_path, route("next.test", f"unix:{dovecot.socket}", "lmtp"))) as mail:
            push(mail, messages)
        _check(messages, _inMaildirs(dovecot.homes, "Maildir"))
    except BaseException:
        print(dovecot.output()[-3000:])
        raise
    finally:
        dovecot.stop()


def _maildirRoute(homes: Path) -> str:
    return f'[courier.maildir]\nbase = "{homes}/%user"\n[[route]]\ndomain = "next.test"\ncourier = "maildir"\n'


def test_maildir(tmp_path: Path, messages: Messages, push: Push) -> None:
    """Our own courier puts them into Maildirs."""
    homes = tmp_path / "homes"
    homes.mkdir()
    with running(Umbcmail(tmp_path, _maildirRoute(homes))) as mail:
        push(mail, messages)
    _check(messages, _inMaildirs(homes))


def test_eightBit(tmp_path: Path, attachments: Messages, sink: Sink) -> None:
    """Bodies with NUL, all 8-bit octets and lines of any length pass unchanged."""
    homes = tmp_path / "homes"
    homes.mkdir()
    config = route("sink.test", sink.port) + _maildirRoute(homes)
    with running(Umbcmail(tmp_path, config)) as mail:
        _bySocket(mail.port, attachments, "next.test")
        _bySocket(mail.port, attachments, "sink.test")
    arrived = {message.recipients[0].partition("@")[0]: message.content for message in sink.messages}
    _check(attachments, arrived, b"\r\n")
    _check(attachments, _inMaildirs(homes))
