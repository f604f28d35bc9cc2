#!/usr/bin/env python3
"""How fast fresh mail flows while very much waits for hosts that are dead.

    bench/queueload.py [--modes interactive,background] [--kinds refused,mute] [--rounds N]
    bench/queueload.py --million

Two real processes (`twistd umbcmail run`, spool in SQLite), one with an empty spool, one
with 100,000 messages for one dead host and 100,000 for 1,000 dead domains, each with a
host of its own, all of them due at the start.  The hosts refuse connections, or nobody
answers there (a socket that is never asked for its connections).  Then fresh mail by
smtp-source to smtp-sink, in turns: one round through each, again and again, from the
first second on; who is not measured is stopped meanwhile (SIGSTOP).  With --million: how
long a start and `umbcmail queue summary` take with a million entries, and how much
memory.  Prints a line for each figure, with the bound that we mean to keep.  Exits with
1 when one is missed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import harness
from twisted.internet import reactor, task
from twisted.internet.defer import Deferred, gatherResults

from umbcmail.content import MemoryContent
from umbcmail.entry import Delivery, Draft
from umbcmail.envelope import Envelope, Recipient
from umbcmail.queue.spool.sqlite import SqliteSpool

ROOT = Path(__file__).resolve().parent.parent
DOMAINS = 1000
TOGETHER = 2000
CONFIG = """
[host]
name = "mx.example.org"
[networks]
trusted = ["127.0.0.0/8"]
[spool]
url = "sqlite:{folder}/spool"
[state]
url = "sqlite:{folder}/state"
[log]
file = "{folder}/mail.log"
[agent.delivery]
mode = "{mode}"
load = 0
connections-per-client = 1000
[agent.delivery.port.mx]
endpoint = "tcp:{port}:interface=127.0.0.1:backlog=1000"
[[route]]
domain = "*"
next-hops = ["127.0.0.1:{sink}"]
[[route]]
domain = "dead.example"
next-hops = ["127.0.0.2:{dead}"]
"""
ROUTE = """
[[route]]
domain = "d{n}.example"
next-hops = ["127.1.{high}.{low}:{dead}"]
"""


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modes", default="interactive,background")
    parser.add_argument("--kinds", default="refused,mute")
    parser.add_argument("--entries", type=int, default=100_000, help="for the dead host, and as many for the domains")
    parser.add_argument("--rounds", type=int, default=20, help="of each process")
    parser.add_argument("--messages", type=int, default=2000, help="of each round")
    parser.add_argument("--million", action="store_true")
    parser.add_argument("--fill", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


async def fill(folder: str, entries: int) -> None:
    """Messages for the dead, by commits, as agents do it; none of them has been tried."""
    spool = SqliteSpool(folder, reactor, "fill")
    await spool.start()
    now = time.time()
    for first in range(0, 2 * entries, TOGETHER):
        waits = []
        for n in range(first, min(first + TOGETHER, 2 * entries)):
            domain = "dead.example" if n % 2 else f"d{n // 2 % DOMAINS}.example"
            envelope = Envelope(f"mx1-{n}", f"s{n % 5000}@example.org", (Recipient(f"u{n}@{domain}"),), now, size=5)
            draft = Draft("remote", (Delivery(envelope.recipients[0]),), now - 60)
            waits.append(spool.commit(envelope, MemoryContent(b"a\r\nb\r"), [draft], now - 3600))
        await gatherResults(waits)
    await spool.stop()


class Server:
    """One process of umbcmail."""

    def __init__(self, folder: str, mode: str, port: int, sink: int, dead: int) -> None:
        self.folder, self.port = folder, port
        os.makedirs(folder, exist_ok=True)
        text = CONFIG.format(folder=folder, mode=mode, port=self.port, sink=sink, dead=dead)
        text += "".join(ROUTE.format(n=n, high=n >> 8, low=n & 255, dead=dead) for n in range(DOMAINS))
        self.config = os.path.join(folder, "umbcmail.toml")
        Path(self.config).write_text(text)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """@return: seconds until it greets."""
        began = time.perf_counter()
        twistd = os.path.join(os.path.dirname(sys.executable), "twistd")
        with open(os.path.join(self.folder, "out"), "wb") as out:
            self.process = subprocess.Popen(
                [twistd, "-n", "--pidfile=", "umbcmail", "run", "--config", self.config],
                env=dict(os.environ, PYTHONPATH=str(ROOT)), cwd=self.folder, stdout=out, stderr=out,
            )
        if not harness.wait_port(self.port, 60):
            raise SystemExit(Path(self.folder, "out").read_text())
        return time.perf_counter() - began

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    @property
    def memory(self) -> float:
        """MiB at most so far."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
        return 0.0

    @property
    def cpu(self) -> float:
        """Seconds."""
        words = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / harness.TICK


class Load:
    """smtp-source and smtp-sink."""

    def __init__(self, folder: str) -> None:
        self.group = harness.Group("queueload")
        self.port = harness.fixed_ports(1, 22000)[0]
        self.sink = harness.Sink(self.group, self.port, folder)

    def rate(self, server: Server, messages: int) -> float:
        """Messages a second, until the sink has the last one."""
        target, began = self.sink.count() + messages, time.perf_counter()
        source = harness.source(self.group, server.port, messages, 20, 4096, "a@good.test", True)
        while self.sink.count() < target:
            if time.perf_counter() - began > 120:
                raise SystemExit(f"only {self.sink.count() - target + messages} of {messages} messages have come")
            time.sleep(0.01)
        took = time.perf_counter() - began
        source.communicate()
        return messages / took

    def close(self) -> None:
        self.sink.close()
        self.group.close()


def deadPort(kind: str) -> tuple[int, socket.socket | None]:
    """A port that refuses connections, or one where they are never taken."""
    listener = socket.socket()
    listener.bind(("0.0.0.0", 0))
    port: int = listener.getsockname()[1]
    if kind == "mute":
        listener.listen(1)
        return port, listener
    listener.close()
    return port, None


def filled(folder: str, entries: int) -> None:
    """Fill a spool in a process of its own."""
    began = time.perf_counter()
    subprocess.run([sys.executable, __file__, "--fill", folder, str(entries)], check=True)
    print(f"    {2 * entries} messages queued in {time.perf_counter() - began:.0f} s", flush=True)


def compared(scratch: str, mode: str, kind: str, options: argparse.Namespace) -> bool:
    """One mode, one kind of dead hosts.  @return: fresh mail flows."""
    print(f"{mode}, hosts {kind}; load of the machine before: {os.getloadavg()[0]:.1f}", flush=True)
    folder = os.path.join(scratch, f"{mode}-{kind}")
    port, listener = deadPort(kind)
    load = Load(scratch)
    ports = harness.fixed_ports(2, 23000)
    empty = Server(os.path.join(folder, "empty"), mode, ports[0], load.port, port)
    full = Server(os.path.join(folder, "full"), mode, ports[1], load.port, port)
    filled(os.path.join(full.folder, "spool"), options.entries)
    try:
        empty.start()
        load.rate(empty, options.messages)
        empty.signal(signal.SIGSTOP)
        print(f"    start with them: {full.start():.2f} s", flush=True)
        began = time.perf_counter()
        rates: dict[Server, list[float]] = {empty: [], full: []}
        for _ in range(options.rounds):
            for server, other in ((full, empty), (empty, full)):
                other.signal(signal.SIGSTOP)
                server.signal(signal.SIGCONT)
                time.sleep(0.5)
                rates[server].append(load.rate(server, options.messages))
            at = time.perf_counter() - began
            print(f"    after {at:4.0f} s: {rates[full][-1]:6.0f} a second, and {rates[empty][-1]:6.0f}", flush=True)
            full.signal(signal.SIGCONT)
        cpu = full.cpu
        full.signal(signal.SIGCONT)
        time.sleep(10)
        idle = (full.cpu - cpu) / 10
        share = statistics.median(rates[full]) / statistics.median(rates[empty])
        print(f"    memory {full.memory:.0f} MiB; without fresh mail {idle:.0%} of a core")
        print(f"    fresh mail at {share:.0%} of the rate of an empty queue; bound 90%{'' if share >= 0.9 else '  MISSED'}")
        return share >= 0.9
    finally:
        for server in (empty, full):
            server.stop()
        load.close()
        if listener is not None:
            listener.close()
        shutil.rmtree(folder)


def million(scratch: str) -> bool:
    """Start, summary and memory with a million entries."""
    port, _ = deadPort("refused")
    load = Load(scratch)
    server = Server(os.path.join(scratch, "million"), "background", harness.fixed_ports(1, 23000)[0], load.port, port)
    filled(os.path.join(server.folder, "spool"), 500_000)
    try:
        figures = [("start", server.start(), 3.0, "s")]
        time.sleep(5)
        command = [sys.executable, "-m", "umbcmail", "queue", "summary", "--config", server.config]
        began = time.perf_counter()
        subprocess.run(command, check=True, env=dict(os.environ, PYTHONPATH=str(ROOT)), stdout=subprocess.DEVNULL)
        figures.append(("umbcmail queue summary", time.perf_counter() - began, 3.0, "s"))
        time.sleep(30)
        figures.append(("memory at most", server.memory, 200.0, "MiB"))
    finally:
        server.stop()
        load.close()
    for name, value, bound, unit in figures:
        print(f"{name:32}{value:10.2f} {unit:4} bound {bound:6.0f} {unit}{'  MISSED' * (value > bound)}")
    return all(value <= bound for _, value, bound, _ in figures)


def main(options: argparse.Namespace) -> int:
    """@return: exit status."""
    with tempfile.TemporaryDirectory(prefix="umbcmail-queueload-") as scratch:
        os.chmod(scratch, 0o755)
        if options.million:
            return 0 if million(scratch) else 1
        kept = [
            compared(scratch, mode, kind, options)
            for mode in options.modes.split(",")
            for kind in options.kinds.split(",")
        ]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    options = parsed()
    if options.fill:
        folder, entries = options.fill
        task.react(lambda _: Deferred.fromCoroutine(fill(folder, int(entries))))
    raise SystemExit(main(options))
