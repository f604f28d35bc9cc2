"""The status page of a real program: by curl, by the HTTP client of Python, by
C{umbcmail status}, and by peers that are mad, slow or many."""

from __future__ import annotations

import http.client
import json
import random
import signal
import socket
import stat
import struct
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openMetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from tests.system.mailsystem import Umbcmail, route, running
from tests.system.peers import Conversation, Sink, send
from tests.system.programs import HOST, freePort, need, until

CONTENT = b"Subject: x\r\n\r\ntext\r\n"
CONNECTIONS = 64
LIFE = 20.0
"""Seconds; both as docs/watch.md says."""


class Watched(Umbcmail):
    """umbcmail with a status page on a TCP port.

    @ivar page: the port.
    """

    def __init__(self, folder: Path, sink: Sink, *sets: str) -> None:
        self.page = freePort()
        config = f'[watch]\nlisten = ["tcp:{self.page}:interface={HOST}"]\n'
        Umbcmail.__init__(self, folder, config + route("next.test", sink.port), sets)

    def ask(self, path: str, method: str = "GET", **fields: str) -> tuple[int, dict[str, str], str]:
        """Code, fields by name in lower case, and body."""
        connection = http.client.HTTPConnection(HOST, self.page, timeout=10)
        try:
            connection.request(method, path, headers=fields)
            answer = connection.getresponse()
            body = answer.read().decode()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body
        finally:
            connection.close()

    def status(self) -> Any:
        """The answer to /status."""
        return json.loads(self.ask("/status")[2])

    def samples(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """What Prometheus reads in /metrics."""
        families = plain(self.ask("/metrics")[2])
        return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}

    def figure(self, name: str, **labels: str) -> float:
        """One of them."""
        return self.samples()[f"umbcmail_{name}", frozenset(labels.items())]


@pytest.fixture()
def mail(tmp_path: Path, sink: Sink) -> Iterator[Watched]:
    """Runs while the test does."""
    mail = Watched(tmp_path, sink)
    with running(mail):
        yield mail


def _curl(*words: str) -> str:
    argv = [need("curl"), "--silent", "--show-error", "--max-time", "10", "--noproxy", "*", *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


# Pages


def test_mailIsCounted(mail: Watched, sink: Sink) -> None:
    """Mail that goes through, is refused and is queued can be read in the figures, and nothing is counted
    before."""
    assert mail.figure("accept_messages_total", port="delivery.mx", result="accepted") == 0
    sink.refuse["no@next.test"] = b"550 5.1.1 nobody"
    sink.refuse["later@next.test"] = b"450 4.2.0 not now"
    assert b"delivered" in send(mail.port, CONTENT, "a@next.test", "b@next.test")
    assert send(mail.port, CONTENT, "no@next.test").startswith(b"550")
    assert b"queued" in send(mail.port, CONTENT, "later@next.test")
    before = {
        ("accept_messages_total", "accepted"): 2,
        ("accept_messages_total", "refused"): 1,
        ("attempts_recipients_total", "sent"): 2,
        ("attempts_recipients_total", "failed"): 1,
        ("attempts_recipients_total", "delayed"): 1,
    }
    for (name, result), number in before.items():
        where = {"port": "delivery.mx"} if name.startswith("accept") else {"queue": "-"}
        assert mail.figure(name, result=result, **where) == number, (name, result)
    assert mail.figure("accept_bytes_total", port="delivery.mx") > 2 * len(CONTENT)  # with trace fields
    until(lambda: mail.figure("accept_sessions", port="delivery.mx") == 0, "all sessions are over", 10)
    assert mail.figure("log_events_total", event="queued") == 1
    until(lambda: mail.figure("queue_entries", queue="remote", state="waiting") == 1, "the queue is seen", 10)
    record = mail.status()
    assert record["queues"]["remote"]["waiting"] == 1
    assert record["doors"]["delivery.mx"] == {"address": f"{HOST}:{mail.port}", "open": True, "sessions": 0}


def test_pages(mail: Watched) -> None:
    """What each page is, for a client of HTTP/1.1 and for curl."""
    for path, body in (("/live", "alive\n"), ("/ready", "ready\n"), ("/health", "ready\n")):
        assert mail.ask(path)[::2] == (200, body)
        assert _curl(f"http://{HOST}:{mail.page}{path}") == body
        assert mail.ask(path, "HEAD")[::2] == (200, "")
    record = mail.status()
    assert (record["status"], record["degraded"], record["ready"]) == ("ok", [], True)
    assert (record["host"], record["pid"]) == ("mx.y.test", mail.running.process.pid)
    assert set(record["roles"]) >= {"delivery", "relay", "queue", "schedule", "watch"}
    text = _curl(f"http://{HOST}:{mail.page}/")
    assert text.startswith("status: ok\nhost: mx.y.test\n")
    code, fields, page = mail.ask("/", Accept="text/html,application/xhtml+xml,*/*;q=0.8")
    assert (code, fields["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.startswith("<!DOCTYPE html>") and "delivery.mx" in page
    assert _curl("--head", "--http1.0", f"http://{HOST}:{mail.page}/status").startswith("HTTP/1.0 200 OK\n")


def test_metrics(mail: Watched) -> None:
    """Both formats parse by Prometheus's own parsers, have the same families, and say which they are."""
    url = f"http://{HOST}:{mail.page}/metrics"
    code, fields, text = mail.ask("/metrics")
    assert (code, fields["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
    opened = _curl("-H", f"Accept: {accept}", url)
    assert opened.endswith("# EOF\n")
    names = [{family.name for family in parse(text)} for parse, text in ((plain, text), (openMetrics, opened))]
    assert names[0] == names[1] >= {"umbcmail_ready", "umbcmail_accept_messages", "process_cpu_seconds"}
    written = (Path(__file__).parents[2] / "docs" / "watch.md").read_text()
    missing = [name for name in names[0] if f"`{name}`" not in written and f"`{name}_total`" not in written]
    assert not missing


def test_limits(mail: Watched) -> None:
    """As documented: GET and HEAD, these pages, and no more."""
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        code, fields, _ = mail.ask("/status", method)
        assert (code, fields["allow"]) == (405, "GET, HEAD")
    for path in ("/nothing", "/status/", "/../etc/passwd", "/static/../status", "/%2e%2e/status"):
        assert mail.ask(path)[0] == 404
        url = f"http://{HOST}:{mail.page}{path}"
        assert _curl("--path-as-is", "-o", "/dev/null", "-w", "%{http_code}", url) == "404"
    for path in ("/", "/status", "/metrics", "/live", "/nothing"):
        fields = mail.ask(path)[1]
        assert (fields["connection"], fields["cache-control"], fields["server"]) == ("close", "no-store", "umbcmail")


def test_unixSocket(tmp_path: Path, sink: Sink) -> None:
    """A UNIX socket with the mode that was given, for curl and for C{umbcmail status}; one that a killed program
    has left behind is no obstacle."""
    mail = Watched(tmp_path, sink)
    path = tmp_path / "watch"
    mail.sets.append(f'watch.listen=["unix:{path}:mode=600"]')
    with running(mail):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert _curl("--unix-socket", str(path), "http://localhost/ready") == "ready\n"
        assert mail.tool("status").startswith("status: ok\n")
        mail.kill()
    assert path.exists()
    mail.tool("status", status=75)
    with running(mail):
        assert _curl("--unix-socket", str(path), "http://localhost/live") == "alive\n"
    assert not path.exists()


# How it is


def test_degraded(tmp_path: Path, sink: Sink) -> None:
    """What is degraded shows in all places, mail goes on being accepted, and it is over when it is over."""
    mail = Watched(tmp_path, sink, "agent.delivery.connections=1")
    with running(mail):
        talk = Conversation(mail.port)
        until(lambda: mail.status()["degraded"] == ["accept"], "it is degraded", 10)
        assert mail.ask("/ready")[0] == mail.ask("/status")[0] == 200
        assert mail.figure("part_degraded", part="accept") == 1
        assert mail.figure("ready") == 1
        assert mail.tool("status", status=1).startswith("status: degraded\n")
        talk.close()
        until(lambda: mail.status()["status"] == "ok", "it is well again", 10)
        assert mail.figure("part_degraded", part="accept") == 0


def test_notReady(tmp_path: Path, sink: Sink) -> None:
    """Without room for the spool no mail is accepted, and the pages for load balancers say so."""
    mail = Watched(tmp_path, sink, 'spool.reserve="900000GiB"')
    with running(mail):
        for path in ("/ready", "/health"):
            assert mail.ask(path)[::2] == (503, "not ready\n")
        assert mail.ask("/live")[0] == 200
        record = mail.status()
        assert (record["ready"], record["degraded"]) == (False, ["spool"])
        assert "new mail is answered 452" in record["not_ready"]
        assert mail.figure("ready") == 0


def test_stopping(mail: Watched, sink: Sink) -> None:
    """While it stops and a session goes on, the pages say that no mail is accepted."""
    sink.stall.add(".")
    with ThreadPoolExecutor() as threads:
        answer = threads.submit(send, mail.port, CONTENT, "a@next.test")
        assert sink.stalled.wait(20)
        mail.running.process.send_signal(signal.SIGTERM)
        until(lambda: mail.ask("/ready")[0] == 503, "it is not ready", 10)
        assert mail.status()["not_ready"] == "program: is stopping"
        sink.goOn.set()
        assert answer.result(20).startswith(b"250 2.0.0 OK, delivered")
        assert mail.running.process.wait(20) == 0


def test_command(tmp_path: Path, sink: Sink) -> None:
    """C{umbcmail status}: 0 when all is well, 75 when nobody answers or it is somebody else, 78 when there is no
    way to ask.  (1 is in L{test_degraded}.)"""
    mail = Watched(tmp_path, sink)
    with running(mail):
        assert mail.tool("status").startswith("status: ok\nhost: mx.y.test\n")
        assert json.loads(mail.tool("status", "--json"))["pid"] == mail.running.process.pid
        mail.sets = [f'watch.listen=["tcp:{freePort()}", "tcp:{mail.page}"]']
        mail.tool("status")
        for other in (mail.port, sink.port):
            mail.sets = [f'watch.listen=["tcp:{other}"]']
            mail.tool("status", status=75)
        mail.sets = ["watch.listen=[]"]
        mail.tool("status", status=78)
        mail.sets = []
    mail.tool("status", status=75)


# Peers


def test_garbage(mail: Watched, sink: Sink) -> None:
    """Whatever is thrown at the page, it goes on, and so does the mail; no bug is met."""
    dice = random.Random(20261126)
    words = [b"GET ", b"POST ", b"/status", b"/metrics", b"?", b" HTTP/1.1", b" HTTP/1.0", b" HTTP/9.9", b"\r\n"]
    words += [b"\n", b"\0", b"\xff", b"Host: x", b"Content-Length: 9", b"Content-Length: -1", b": ", b"\r\n\r\n"]
    words += [b"Transfer-Encoding: chunked", b"Expect: 100-continue", b"Upgrade: h2c", b"Accept: ", b"fffffffff"]
    words += [b"Content-Type: multipart/form-data; boundary=x", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01"]
    begin = mail.memory()
    for turn in range(300):
        some = b"".join(dice.choices(words, k=dice.randint(1, 40)))
        if turn % 3 == 0:
            some = b"POST /status HTTP/1.1\r\n" + some
        _thrown(mail.page, some)
    _thrown(mail.page, b"GET /" + b"x" * 5_000_000)
    _thrown(mail.page, b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 500_000)
    _thrown(mail.page, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50000000\r\n\r\n" + b"x" * 5_000_000)
    until(lambda: mail.ask("/ready")[0] == 200, "there is a place again", 30)
    assert mail.status()["status"] == "ok"
    assert b"delivered" in send(mail.port, CONTENT, "a@next.test")
    assert mail.memory() - begin < 20 << 20


def _thrown(port: int, octets: bytes) -> None:
    """Send, stop sending, and go away; by a reset, so that nothing is left to wait for."""
    with socket.create_connection((HOST, port), 10) as connection:
        connection.settimeout(0.2)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        try:
            connection.sendall(octets)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(65536)
        except OSError:
            pass  # it had enough


def test_slowAndMany(mail: Watched) -> None:
    """There are 64 places.  Who takes them, and is silent or sends a field now and then, has lost them after 20
    seconds; who comes meanwhile is turned away at once, and the mail goes on."""
    begin = time.monotonic()
    places = [_Slow(mail.page, kind % 2 == 0) for kind in range(CONNECTIONS)]
    for _ in range(20):
        with pytest.raises((http.client.HTTPException, OSError)):
            mail.ask("/live")
    mail.tool("status", status=75)
    assert b"delivered" in send(mail.port, CONTENT, "a@next.test")
    while time.monotonic() < begin + LIFE - 3:
        for place in places:
            place.goOn()
        time.sleep(0.5)
    assert all(place.lives() for place in places) or time.monotonic() - begin > LIFE
    until(lambda: not any(place.lives() for place in places), "all are cut off", 15)
    assert mail.ask("/ready")[::2] == (200, "ready\n")
    for place in places:
        place.close()


class _Slow:
    """A peer of the page that is silent, or sends a field now and then."""

    def __init__(self, port: int, isSilent: bool) -> None:
        self._isSilent = isSilent
        self._socket = socket.create_connection((HOST, port), 10)
        if not isSilent:
            self._socket.sendall(b"GET /status HTTP/1.1\r\n")

    def goOn(self) -> None:
        """One more field."""
        if not self._isSilent:
            self._socket.sendall(b"X: y\r\n")

    def lives(self) -> bool:
        """Whether the other side has not closed: the state in tcp_info is 1
        (ESTABLISHED); unlike reading, a look waits for nothing."""
        return self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == 1

    def close(self) -> None:
        """Go."""
        self._socket.close()
