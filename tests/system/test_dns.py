"""Mail by MX records, with name servers that are right, slow, wrong or gone."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from twisted.names import dns

from tests.system.dnsserver import NameServer
from tests.system.mailsystem import Umbcmail, route, running
from tests.system.peers import Conversation, Sink, send
from tests.system.programs import HOST, until

CONTENT = b"Subject: x\r\n\r\ntext\r\n"
QUICK = ['queue.remote.retry=["1s"]', 'queue.remote.poll="0.2s"']
OTHERS = ("127.0.0.2", "127.0.0.3")
"""Where mail hosts are, all on the same port; the first one is nobody."""


def system(folder: Path, names: NameServer, sink: Sink, *sets: str, config: str = "") -> Umbcmail:
    """umbcmail, which asks a name server; mail for z.test, of senders, goes to a sink without it."""
    mail = Umbcmail(folder, config + route("z.test", sink.port))
    dnsSets = [f'dns.servers=["{HOST}:{names.port}"]', 'dns.timeout="0.5s"', "dns.allow-loopback=true"]
    mail.sets = [*dnsSets, f"dns.mx-port={sink.port}", *QUICK, *sets]
    return mail


def bounce(sink: Sink) -> bytes:
    """Wait for the only bounce, and take it away."""
    return sink.arrived("s@z.test").content


def test_byMX(tmp_path: Path, names: NameServer, sink: Sink) -> None:
    """MX, address, delivered; aliases are followed, and 200 hosts that do not fit a datagram come over TCP."""
    names.addresses("m.test", HOST)
    names.exchanges("x.test", "gone.test", "m.test")
    names.records["alias.test"] = [dns.Record_CNAME(b"x.test")]
    names.addresses("alone.test", HOST)
    names.exchanges("big.test", *(f"{'m' if n == 2 else f'gone{n}'}.test" for n in range(200)))
    names.large.add("big.test")
    with running(system(tmp_path, names, sink)) as mail:
        for domain in ("x.test", "alias.test", "alone.test", "big.test"):
            assert send(mail.port, CONTENT, f"a@{domain}").startswith(b"250 2.0.0 OK, delivered"), domain
            sink.arrived(f"a@{domain}")
    assert names.overTCP == ["big.test"]
    assert names.asked.count("big.test") == 1


@pytest.mark.parametrize("how", ["fails", "refuses", "silent"])
def test_noAnswer(tmp_path: Path, names: NameServer, sink: Sink, how: str) -> None:
    """A server that fails, refuses or is silent delays the mail, which never goes to the domain's own address;
    when it answers again the mail goes its way."""
    names.addresses("m.test", HOST)
    names.records["x.test"] = [dns.Record_MX(10, b"m.test", ttl=0), dns.Record_A(HOST, ttl=0)]
    getattr(names, how).add("x.test")
    with running(system(tmp_path, names, sink)) as mail:
        assert b"queued" in send(mail.port, CONTENT, "a@x.test")
        (entry,) = mail.queue()
        assert entry["recipients"][0]["reply"].startswith("451 4.4.3 "), entry
        until(lambda: len(mail.events("delayed")) >= 2, "it is tried again")
        assert not sink.messages
        getattr(names, how).clear()
        sink.arrived("a@x.test")
        mail.emptied()


def test_secondServer(tmp_path: Path, names: NameServer, sink: Sink) -> None:
    """The first server is silent, the next one answers: the client waits for that and no more."""
    deaf = NameServer()
    deaf.silent.add("test")
    names.addresses("m.test", HOST)
    names.exchanges("x.test", "m.test")
    servers = f'dns.servers=["{HOST}:{deaf.port}", "{HOST}:{names.port}"]'
    with running(system(tmp_path, names, sink, servers)) as mail:
        assert send(mail.port, CONTENT, "a@x.test").startswith(b"250 2.0.0 OK, delivered")
        assert "x.test" in deaf.asked
    deaf.close()


def test_resolver(tmp_path: Path, names: NameServer, sink: Sink) -> None:
    """C{--resolver} goes over the configuration, and what is none is told before anything starts."""
    names.addresses("m.test", HOST)
    names.exchanges("x.test", "m.test")
    mail = system(tmp_path, names, sink, f'dns.servers=["{HOST}:9"]')
    done = mail.attempt("--resolver", "ns.test")
    assert done.returncode != 0 and "--resolver ns.test" in done.stdout + done.stderr
    with running(mail, "--resolver", f"{HOST}:{names.port}"):
        assert send(mail.port, CONTENT, "a@x.test").startswith(b"250 2.0.0 OK, delivered")


def test_timeToLive(tmp_path: Path, names: NameServer, sink: Sink) -> None:
    """An answer is remembered for as long as it says, by all who ask; 0 is asked for every time."""
    names.addresses("m.test", HOST)
    names.exchanges("long.test", "m.test", ttl=600)
    names.exchanges("short.test", "m.test", ttl=1)
    names.exchanges("never.test", "m.test")
    with running(system(tmp_path, names, sink)) as mail:
        with ThreadPoolExecutor(20) as threads:
            sent = list(threads.map(lambda n: send(mail.port, CONTENT, f"a{n}@long.test"), range(50)))
        assert all(answer.startswith(b"250 2.0.0 OK, delivered") for answer in sent)
        assert names.asked.count("long.test") == 1
        for times in (1, 2):
            send(mail.port, CONTENT, "a@short.test", "a@never.test")
            assert [names.asked.count(f"{name}.test") for name in ("short", "never")] == [times] * 2
            time.sleep(1.1)
        assert len(sink.recipients()) == 54


def test_changeOfMX(tmp_path: Path, names: NameServer, sink: Sink) -> None:
    """Mail that waits for a host which is down goes to the new one as soon as the records have changed."""
    nobody, new = OTHERS
    other = Sink(sink.port, host=new)
    names.addresses("old.test", nobody)
    names.addresses("new.test", new)
    names.exchanges("x.test", "old.test")
    with running(system(tmp_path, names, sink)) as mail:
        assert b"queued" in send(mail.port, CONTENT, "a@x.test")
        assert f"old.test[{nobody}]" in mail.logged(" delayed ")
        names.exchanges("x.test", "new.test")
        other.arrived("a@x.test")
        mail.emptied()
        assert f"new.test[{new}]" in mail.logged(" delivered ")
    other.close()


def test_secondLook(tmp_path: Path, names: NameServer, sink: Sink) -> None:
    """A domain that does not exist: the client hears that the message is queued, and its sender some time later,
    whatever the schedule says, in plain words, that there is no such domain."""
    with running(system(tmp_path, names, sink, 'dns.second-look="1s"', 'queue.remote.retry=["1h"]')) as mail:
        assert b"queued" in send(mail.port, CONTENT, "a@gone.test")
        text = bounce(sink)
        assert b"550 5.1.2 The domain gone.test does not exist" in text
        assert b"Status: 5.1.2" in text
        mail.emptied()
    assert len(mail.events("delayed")) == len(mail.events("failed")) == 1


def test_notBeforeTheSecondLook(tmp_path: Path, names: NameServer, sink: Sink) -> None:
    """Nothing is returned before, also when an operator has it tried again; the time of the first look is known
    after a restart, so the second one can be made then."""
    mail = system(tmp_path, names, sink, 'dns.second-look="1h"')
    with running(mail):
        assert b"queued" in send(mail.port, CONTENT, "a@gone.test")
        (entry,) = mail.queue()
        assert entry["recipients"][0]["reply"].startswith("450 4.1.2 The domain gone.test does not exist (")
        mail.tool("queue", "retry", "--all")
        until(lambda: len(mail.events("delayed")) == 2, "it has been tried again")
        mail.kill()
    mail.sets.append('dns.second-look="1s"')
    with running(mail):
        mail.tool("queue", "retry", "--all")
        assert b"550 5.1.2 The domain gone.test does not exist" in bounce(sink)
        mail.emptied()
    assert len(mail.events("delayed")) == 2


def test_thereAtTheSecondLook(tmp_path: Path, names: NameServer, sink: Sink) -> None:
    """A domain, or its mail host, that was away for a moment gets its mail, and nobody hears of it."""
    names.exchanges("half.test", "late.test")
    with running(system(tmp_path, names, sink, 'dns.second-look="1h"')) as mail:
        for domain in ("late.test", "half.test"):
            assert b"queued" in send(mail.port, CONTENT, f"a@{domain}")
        names.addresses("late.test", HOST)
        mail.tool("queue", "retry", "--all")
        for domain in ("late.test", "half.test"):
            sink.arrived(f"a@{domain}")
        mail.emptied()
    assert not mail.events("bounced") and not sink.messages


def test_atOnce(tmp_path: Path, names: NameServer, sink: Sink) -> None:
    """What the DNS says is there, and takes no mail, is refused while the client waits; what is not there too,
    where one look is enough by configuration."""
    names.records["null.test"] = [dns.Record_MX(0, b"", ttl=0), dns.Record_A(HOST, ttl=0)]
    names.addresses("own.test", "0.0.0.0")
    names.exchanges("loop.test", "own.test")
    names.exchanges("self.test", "mx.y.test", "m.test")
    names.addresses("m.test", HOST)
    sets = ["dns.allow-loopback=false", 'dns.second-look="0s"']
    with running(system(tmp_path, names, sink, *sets)) as mail:
        for domain, answer in (
            ("null.test", b"556 5.1.10 "),
            ("loop.test", b"554 5.4.6 "),
            ("self.test", b"554 5.4.6 "),
            ("m.test", b"554 5.4.6 "),
            ("gone.test", b"550 5.1.2 The domain gone.test does not exist"),
        ):
            assert send(mail.port, CONTENT, f"a@{domain}").startswith(answer), domain
        assert not mail.queue() and not sink.messages


def test_nextHopsWait(tmp_path: Path, names: NameServer, sink: Sink) -> None:
    """A configured next hop that does not exist, even where one look is enough, delays: an operator has said that
    mail goes there."""
    config = '[[route]]\ndomain = "x.test"\nnext-hops = ["hop.test"]\n'
    with running(system(tmp_path, names, sink, 'dns.second-look="0s"', config=config)) as mail:
        talk = Conversation(mail.port)
        talk.begin("a@x.test")
        assert b"queued" in talk.message(CONTENT)
        talk.close()
        until(lambda: len(mail.events("delayed")) >= 3, "it is tried again and again")
        assert not mail.events("failed")
