"""C{kill -9} at the worst moments: nothing is lost after C{250}, nothing comes twice
but what was in the air.

The client does what RFC 5321 section 4.5.4.1 asks of it: a message without a
C{250} is sent again.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.mailsystem import Umbcmail, route
from tests.system.peers import Conversation, Sink, send, stuffed
from tests.system.programs import freePort, until

KILLPOINT = Path(__file__).with_name("killpoint.py")
QUICK = ['queue.remote.retry=["1s"]', 'queue.remote.poll="0.2s"', "agent.delivery.load=0"]
BACKGROUND = 'agent.delivery.mode="background"'
COMMITTED = "umbcmail.queue.intake:Intake._committed"
BEGUN = "umbcmail.queue.intake:Intake._begun"
TRIED = "umbcmail.queue.intake:Intake._tried"
RECORD = "umbcmail.queue.settlement:Settlement._record"

Start = Callable[..., Umbcmail]


@pytest.fixture()
def sink() -> Iterator[Sink]:
    """The next hop."""
    sink = Sink()
    yield sink
    sink.close()


@pytest.fixture()
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts umbcmail, to be killed at the N-th passage of a point, or not."""
    started: list[Umbcmail] = []

    def begin(port: int, *sets: str, point: str = "", which: int = 1) -> Umbcmail:
        mail = Umbcmail(tmp_path, route("next.test", port), [*QUICK, *sets])
        started.append(mail)
        twistd = mail.twistd
        if point:
            mail.twistd = (sys.executable, str(KILLPOINT), point, str(which))
        mail.start()
        mail.twistd = twistd
        return mail

    yield begin
    for mail in started:
        if not mail.running.ended:
            mail.stop()
        assert not mail.events("bug")


def _content(name: str) -> bytes:
    return f"Subject: {name}\r\n\r\n".encode() + b"text\r\n" * 500


def _try(mail: Umbcmail, name: str) -> bool:
    """Send a message.  @return: there was a C{250}."""
    try:
        return send(mail.port, _content(name), f"{name}@next.test").startswith(b"250")
    except (OSError, AssertionError):
        return False


def _died(mail: Umbcmail) -> None:
    assert mail.running.process.wait(20) == -signal.SIGKILL


def _settled(mail: Umbcmail, sink: Sink, wanted: set[str]) -> Counter[str]:
    """When all is delivered: how often each message has come."""
    until(lambda: {r.partition("@")[0] for r in sink.recipients()} >= wanted, "all have arrived", 30)
    mail.emptied(30)
    found = Counter(recipient.partition("@")[0] for recipient in sink.recipients())
    for message in sink.messages:
        assert message.content.endswith(_content(message.recipients[0].partition("@")[0]))
    return found


def test_duringData(start: Start, sink: Sink) -> None:
    """A message that was half there has not been accepted and leaves nothing."""
    mail = start(sink.port)
    talks = []
    for size in (1000, 1_000_000):  # in memory, and in a file
        talk = Conversation(mail.port)
        talk.begin("a@next.test")
        talk.socket.sendall(b"x" * 70 + b"\r\n" + b"y" * size)
        talks.append(talk)
    until(lambda: list((mail.folder / "spool" / "incoming").rglob("*-1")), "the large one goes to a file")
    mail.kill()
    for talk in talks:
        with contextlib.suppress(OSError):
            assert talk.reply() == b""
        talk.close()
    mail.start()
    assert _try(mail, "a")
    assert _settled(mail, sink, {"a"}) == {"a": 1}


@pytest.mark.parametrize("mode", ["interactive", "background"])
def test_afterCommitBefore250(start: Start, mode: str) -> None:
    """What was committed is delivered, and the client sends it again: twice at most."""
    port = freePort()  # the next hop is down
    background = mode == "background"
    mail = start(port, *[BACKGROUND] * background, point=BEGUN if background else COMMITTED, which=3)
    answers = {name: _try(mail, name) for name in ("a", "b", "c")}
    assert answers == {"a": True, "b": True, "c": False}
    _died(mail)
    mail.start()
    assert len(mail.queue()) == 3
    assert _try(mail, "c")
    sink = Sink(port)
    assert _settled(mail, sink, {"a", "b", "c"}) == {"a": 1, "b": 1, "c": 2}
    sink.close()


def test_duringInteractiveAttempt(start: Start, sink: Sink) -> None:
    """Before the next hop had the message: the client sends it again, it comes once."""
    sink.stall.add("RCPT")
    mail = start(sink.port)
    talk = Conversation(mail.port)
    talk.begin("a@next.test")
    talk.socket.sendall(stuffed(_content("a")))
    assert sink.stalled.wait(20)
    mail.kill()
    with contextlib.suppress(OSError):
        assert talk.reply() == b""
    talk.close()
    sink.stall.clear()
    sink.goOn.set()
    mail.start()
    assert not mail.queue()
    assert _try(mail, "a")
    assert _settled(mail, sink, {"a"}) == {"a": 1}


@pytest.mark.parametrize("stall", ["CONNECT", "RCPT"])
def test_duringAttemptFromTheQueue(start: Start, stall: str) -> None:
    """The claim of the dead process is free at once, and the message comes once; that it was
    looking whether the host answers again keeps nobody from the host for long."""
    port = freePort()
    mail = start(port)
    assert _try(mail, "a") and _try(mail, "b")
    sink = Sink(port)
    sink.stall.add(stall)
    assert sink.stalled.wait(20)
    mail.kill()
    sink.stall.clear()
    sink.goOn.set()
    mail.start()
    assert _settled(mail, sink, {"a", "b"}) == {"a": 1, "b": 1}
    assert mail.events("recovered")
    sink.close()


def test_afterNextHops250Interactive(start: Start, sink: Sink) -> None:
    """The next hop has it and the client does not know: it alone comes twice."""
    mail = start(sink.port, point=TRIED, which=3)
    answers = {name: _try(mail, name) for name in ("a", "b", "c")}
    assert answers == {"a": True, "b": True, "c": False}
    _died(mail)
    mail.start()
    assert _try(mail, "c")
    assert _settled(mail, sink, {"a", "b", "c"}) == {"a": 1, "b": 1, "c": 2}


def test_afterNextHops250BeforeItIsRecorded(start: Start) -> None:
    """From the queue, one at a time: of twenty messages one comes twice."""
    port = freePort()
    mail = start(port, BACKGROUND, "queue.remote.concurrency=1", 'queue.remote.retry=["1h"]')
    names = {f"m{n}" for n in range(20)}
    assert all(_try(mail, name) for name in sorted(names))
    until(lambda: len(mail.events("delayed")) == 20, "all have been tried")
    assert mail.stop() == 0
    twistd = mail.twistd
    mail.twistd = (sys.executable, str(KILLPOINT), RECORD, "10")
    sink = Sink(port)
    mail.start()
    mail.tool("queue", "retry", "--all")
    _died(mail)
    assert len(sink.messages) == 10
    mail.twistd = twistd
    mail.start()
    mail.tool("queue", "retry", "--all")
    found = _settled(mail, sink, names)
    assert sorted(found.values()) == [1] * 19 + [2]
    sink.close()


@pytest.mark.parametrize("mode", ["interactive", "background"])
def test_atAnyMoment(start: Start, mode: str, sink: Sink) -> None:
    """Killed three times under load: all that had a C{250} arrives, and no more
    comes twice than was in the air at the kills."""
    mail = start(sink.port, *[BACKGROUND] * (mode == "background"), "queue.remote.concurrency=5")
    sessions, each = 5, 40
    answered: list[str] = []

    def client(number: int) -> None:
        for n in range(each):
            name = f"c{number}-{n}"
            while not _try(mail, name):
                threading.Event().wait(0.02)
            answered.append(name)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(sessions)]
    for thread in threads:
        thread.start()
    for share in (50, 100, 150):
        until(lambda share=share: len(answered) >= share, f"{share} messages are accepted", 60)  # type: ignore[misc]
        mail.kill()
        mail.start()
    for thread in threads:
        thread.join(60)
    assert len(set(answered)) == sessions * each
    found = _settled(mail, sink, set(answered))
    # At each kill: one message of each session, and one in each place of the queue.
    assert sum(found.values()) - len(found) <= 3 * (sessions + 5)
    assert max(found.values()) <= 4
