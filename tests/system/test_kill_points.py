"""Killed after each step in the life of a message, and each step failing as with a broken or
a full disk: what had a C{250} is never lost, it comes once more at most, and not again when
it was logged as removed; what had none leaves nothing."""

from __future__ import annotations

import contextlib
import errno
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.faults import Disk
from tests.system.localusers import LDA, LocalUsers, running
from tests.system.mailsystem import Umbcmail, route
from tests.system.peers import Conversation, Sink, send
from tests.system.programs import until
from tests.system.servers import KnownUsers

KILLPOINT = Path(__file__).with_name("killpoint.py")
QUICK = ['queue.remote.retry=["1s"]', 'queue.remote.poll="0.2s"', "agent.delivery.load=0"]
BACKGROUND = 'agent.delivery.mode="background"'
SIZES = {"small": 10, "large": 60_000}
"""Lines of a message; the large one goes to a file."""
RECORD = "umbcmail.queue.settlement:Settlement._record"

Start = Callable[..., Umbcmail]


def _content(name: str, lines: int) -> bytes:
    return f"Subject: {name}\r\n\r\n".encode() + b"text\r\n" * lines


@pytest.fixture()
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts umbcmail, to be killed at the first passage of a point, or not."""
    started: list[Umbcmail] = []

    def begin(config: str, *sets: str, point: str = "", disk: Disk | None = None) -> Umbcmail:
        mail = Umbcmail(tmp_path, config, [*QUICK, *sets])
        started.append(mail)
        twistd = mail.twistd
        if point:
            mail.twistd = (sys.executable, str(KILLPOINT), point, "1")
        if disk is not None:
            mail.twistd = twistd = disk.under(twistd)
        mail.start()
        mail.twistd = twistd
        return mail

    yield begin
    for mail in started:
        if not mail.running.ended:
            mail.stop()
        assert not mail.events("bug"), mail.log()[-3000:]


@pytest.fixture()
def disk(tmp_path: Path) -> Disk:
    """That of the spool."""
    place = tmp_path / "faults"
    place.mkdir()
    return Disk(tmp_path / "spool", place)


def _try(mail: Umbcmail, name: str, lines: int) -> bytes:
    """Send a message.  @return: the reply to it, C{b""} when there was none."""
    try:
        return send(mail.port, _content(name, lines), f"{name}@next.test")
    except (OSError, AssertionError):
        return b""


def _died(mail: Umbcmail) -> None:
    assert mail.running.process.wait(20) == -signal.SIGKILL


def _files(mail: Umbcmail, *folders: str) -> list[str]:
    """The files in the spool."""
    found = [(mail.folder / "spool" / folder).rglob("*") for folder in folders or ("content", "incoming")]
    return [path.name for paths in found for path in paths if path.is_file()]


def _came(sink: Sink, name: str, lines: int) -> int:
    """How often a message has come, whole each time."""
    found = [message for message in sink.messages if message.recipients == [f"{name}@next.test"]]
    assert all(message.content.endswith(_content(name, lines)) for message in found)
    return len(found)


def _steps(calls: list[str], *omitted: str) -> list[tuple[str, int]]:
    """What is tried of some calls.

    @param omitted: kinds that are not.
    @return: calls, and which of those that are alike: the first and one near to the last, since
        their number differs a little from one message to the next.
    """
    numbers = {call: calls.count(call) for call in calls if not call.startswith(omitted)}
    return [(call, at) for call, number in numbers.items() for at in sorted({1, number - number // 5})]


def _life(mail: Umbcmail, disk: Disk, lines: int) -> tuple[list[str], list[str]]:
    """The calls in the life of a message: until it is committed, and afterwards."""
    disk.arm()
    assert _try(mail, "first", lines).startswith(b"250")
    isTaken = "sync spool.db-wal" in disk.calls()
    until(lambda: mail.events("removed"), "it has gone")
    mail.emptied()
    disk.disarm()
    calls = [" ".join(part.split("/")[0] for part in call.split(" ")) for call in disk.calls()]
    after = calls.index("sync spool.db-wal") + 1
    assert isTaken and calls.count("sync spool.db-wal") == 2, calls
    return calls[:after], calls[after:]


def _underway(mail: Umbcmail, sink: Sink, name: str, lines: int) -> None:
    """Have a message, and wait until the next hop has it and has not said so yet."""
    sink.stalled.clear()
    sink.goOn.clear()
    sink.stall.add(".")
    assert _try(mail, name, lines).startswith(b"250")
    assert sink.stalled.wait(20)
    sink.stall.clear()


@pytest.mark.parametrize("size", SIZES)
def test_killedBefore250(start: Start, disk: Disk, sink: Sink, size: str) -> None:
    """After each call that changes the disk: the client sends it again, so a message that had
    been committed comes twice, and all others once."""
    lines = SIZES[size]
    mail = start(route("next.test", sink.port), BACKGROUND, disk=disk)
    calls, _ = _life(mail, disk, lines)
    if size == "large":
        kinds = ["open incoming", "close incoming", "sync incoming", "link content", "sync content"]
        assert [call for call in calls if call in kinds] == kinds and calls.index(kinds[-1]) < len(calls) - 2, calls
    for at, (call, number) in enumerate(_steps(calls)):
        disk.arm(call, number)
        assert _try(mail, f"m{at}", lines) == b""
        _died(mail)
        assert disk.disarm(), call
        mail.start()
        assert _try(mail, f"m{at}", lines).startswith(b"250"), call
        until(lambda at=at: len(mail.events("removed")) > at + 1, "it is gone")  # type: ignore[misc]
        until(lambda: not mail.queue(), "the queue is empty")
        assert _came(sink, f"m{at}", lines) == (2 if call == calls[-1] else 1), (call, number)
    assert not _files(mail, "incoming")
    # What was to get a row is removed by `recover` when it is an hour old.
    until(lambda: len(_files(mail, "content")) <= calls.count("link content") * len(_steps(calls)), "files are gone")


@pytest.mark.parametrize("size", SIZES)
def test_killedAfterwards(start: Start, disk: Disk, sink: Sink, size: str) -> None:
    """While it is recorded that the next hop has it: it comes once more, unless that had been
    written.  What was logged as removed does not come again."""
    lines = SIZES[size]
    mail = start(route("next.test", sink.port), BACKGROUND, disk=disk)
    _, calls = _life(mail, disk, lines)
    assert size == "small" or calls[-1] == "unlink content"
    times = []
    for at, (call, number) in enumerate(_steps(calls)):
        _underway(mail, sink, f"m{at}", lines)
        removed = len(mail.events("removed"))
        disk.arm(call, number)
        sink.goOn.set()
        _died(mail)
        assert disk.disarm(), call
        isRemoved = len(mail.events("removed")) > removed
        mail.start()
        until(lambda: not mail.queue(), "the queue is empty")
        times.append(_came(sink, f"m{at}", lines))
        assert times[-1] <= (1 if isRemoved else 2), call
    assert times == sorted(times, reverse=True) and set(times) == {2, 1}, (times, calls)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
def test_brokenDisk(start: Start, disk: Disk, sink: Sink, size: str, error: int) -> None:
    """Each call before the C{250} fails once: C{451 4.3.0}, or C{452 4.3.1} when there is no
    room; nothing is left, the session goes on, and the message is taken when it comes again.
    What is taken comes, once."""
    lines = SIZES[size]
    mail = start(route("next.test", sink.port), BACKGROUND, disk=disk)
    calls, _ = _life(mail, disk, lines)
    talk = Conversation(mail.port)
    # What can't be removed is left; `recover` tries again.
    for at, (call, number) in enumerate(_steps(calls, "unlink")):
        disk.arm(call, number, error)
        talk.begin(f"m{at}@next.test")
        answer = talk.message(_content(f"m{at}", lines))
        if number > 1 and answer.startswith(b"250"):
            # There were fewer calls than in the first message's life.
            disk.disarm()
            until(lambda at=at: len(mail.events("removed")) > at + 1, "it has come")  # type: ignore[misc]
            assert _came(sink, f"m{at}", lines) == 1, (call, number)
            continue
        assert disk.disarm(), call
        # SQLite does not tell why a file can't be synced, so that is an error like others.
        isFull = error == errno.ENOSPC and call != calls[-1]
        assert answer.startswith(b"452 4.3.1" if isFull else b"451 4.3.0"), (call, number)
        until(lambda: not _files(mail), "no file is left")
        talk.begin(f"m{at}@next.test")
        assert talk.message(_content(f"m{at}", lines)).startswith(b"250")
        until(lambda at=at: len(mail.events("removed")) > at + 1, "it has come")  # type: ignore[misc]
        assert _came(sink, f"m{at}", lines) == 1, (call, number)
    talk.close()
    assert not mail.queue() and mail.events("trouble")


def test_brokenAfterwards(start: Start, disk: Disk, sink: Sink) -> None:
    """The record of what was delivered can't be written, at each call: it is written later, and
    the message does not come again."""
    lines = SIZES["large"]
    mail = start(route("next.test", sink.port), BACKGROUND, disk=disk)
    _, calls = _life(mail, disk, lines)
    for at, (call, number) in enumerate(_steps(calls, "unlink")):
        _underway(mail, sink, f"m{at}", lines)
        disk.arm(call, number, errno.EIO)
        sink.goOn.set()
        until(lambda at=at: len(mail.events("removed")) > at + 1, "it is recorded", 40)  # type: ignore[misc]
        assert disk.disarm() and _came(sink, f"m{at}", lines) == 1, call
    mail.emptied()


def test_after250(start: Start, sink: Sink) -> None:
    """Killed when the client has its C{250} and the next hop greets: it comes, once."""
    mail = start(route("next.test", sink.port), BACKGROUND, point="umbcmail.send.client:Client.dataReceived")
    assert _try(mail, "a", 60_000).startswith(b"250")
    _died(mail)
    mail.start()
    until(lambda: _came(sink, "a", 60_000), "it has come")
    mail.emptied()
    assert _came(sink, "a", 60_000) == 1


def _boxed(folder: Path, name: str) -> int:
    """How many messages are in a mailbox."""
    new = folder / "maildirs" / name / "new"
    return len(list(new.iterdir())) if new.exists() else 0


@pytest.fixture()
def mailboxes(start: Start, tmp_path: Path) -> tuple[Umbcmail, Disk]:
    """Maildirs, which the next hops wait for."""
    for folder in ("maildirs", "faults"):
        (tmp_path / folder).mkdir()
    disk = Disk(tmp_path / "maildirs", tmp_path / "faults")
    config = (
        '[[route]]\ndomain = "next.test"\ncourier = "maildir"\n[courier.maildir]\nbase = "{folder}/maildirs/%user"\n'
    )
    return start(config, 'queue.remote.retry=["1h"]', disk=disk), disk


def _delivery(mail: Umbcmail, disk: Disk, lines: int) -> list[str]:
    """The calls of a delivery into a mailbox that is not there yet."""
    disk.arm()
    assert _try(mail, "first", lines).startswith(b"250")
    disk.disarm()
    calls = ["/".join(call.split("/")[:2]) for call in disk.calls()]
    kinds = ["open first/tmp", "sync first/tmp", "rename first/new", "sync first/new"]
    assert [call for call in calls if call in kinds] == kinds, calls
    return calls


@pytest.mark.parametrize("size", SIZES)
def test_brokenMailbox(mailboxes: tuple[Umbcmail, Disk], tmp_path: Path, size: str) -> None:
    """Each call fails once: the message waits, with the reason; nothing is left of it, and the
    next attempt delivers it."""
    (mail, disk), lines = mailboxes, SIZES[size]
    calls, names = _delivery(mail, disk, lines), list[str]()
    for call, number in _steps(calls, "close"):  # what was synced is there
        for error, why in ((errno.EIO, "451 4.2.0"), (errno.ENOSPC, "452 4.3.1")):
            name = f"m{len(names)}"
            disk.arm(call.replace("first", name), number, error)
            assert _try(mail, name, lines).startswith(b"250")  # from now on it is in the queue
            assert disk.disarm(), (call, number)
            assert why in mail.logged(f"recipient=<{name}@next.test>"), (call, number)
            assert not [p for p in (tmp_path / "maildirs" / name).rglob("*") if p.is_file()], (call, number)
            names.append(name)
    mail.tool("queue", "retry", "--all")
    until(lambda: all(_boxed(tmp_path, name) for name in names), "all are in their mailboxes")
    mail.emptied()
    assert all(_boxed(tmp_path, name) == 1 for name in names)


@pytest.mark.parametrize("size", SIZES)
def test_killedAtMailbox(mailboxes: tuple[Umbcmail, Disk], tmp_path: Path, size: str) -> None:
    """Killed after each call, with the client waiting, which sends it again."""
    (mail, disk), lines = mailboxes, SIZES[size]
    calls = _delivery(mail, disk, lines)
    for at, (call, number) in enumerate(_steps(calls)):
        disk.arm(call.replace("first", f"m{at}"), number)
        assert not _try(mail, f"m{at}", lines)
        _died(mail)
        isThere = _boxed(tmp_path, f"m{at}")
        assert disk.disarm(), call
        mail.start()
        assert _try(mail, f"m{at}", lines).startswith(b"250")
        assert _boxed(tmp_path, f"m{at}") == isThere + 1 <= 2, (call, number)


def test_afterLMTP(start: Start) -> None:
    """Dovecot has it, and that has not been written down: it comes once more."""
    dovecot = KnownUsers("a@next.test")
    new = dovecot.homes / "a" / "Maildir" / "new"
    try:
        mail = start(route("next.test", f"unix:{dovecot.socket}", "lmtp"), BACKGROUND, point=RECORD)
        assert _try(mail, "a", 10).startswith(b"250")
        _died(mail)
        assert len(list(new.iterdir())) == 1
        mail.start()
        until(lambda: len(list(new.iterdir())) == 2, "it has come once more")
        mail.emptied()
        assert len(list(new.iterdir())) == 2
    finally:
        dovecot.stop()


@pytest.mark.parametrize("duplicates", [False, True], ids=["twice", "known"])
def test_afterLDA(tmp_path: Path, duplicates: bool) -> None:
    """The local delivery agent has delivered it, and that has not been written down: it comes
    once more, or is known there."""
    with contextlib.closing(LocalUsers()) as users:
        name = users.add("ann")
        lda = LDA(tmp_path, 'duplicates = "1d"\n' if duplicates else "")
        with running(lda):
            mail = lda.mail
            mail.sets = [BACKGROUND]
            twistd, mail.twistd = mail.twistd, (sys.executable, str(KILLPOINT), RECORD, "1")
            mail.start()
            mail.twistd = twistd
            content = b"Message-ID: <1@z.test>\r\n" + _content("a", 10)
            assert send(mail.port, content, f"{name}@y.test").startswith(b"250")
            _died(mail)
            assert len(users.new("ann")) == 1
            mail.start()
            until(lambda: mail.events("removed"), "it has been delivered once more")
            mail.emptied()
            assert len(users.new("ann")) == (1 if duplicates else 2)
