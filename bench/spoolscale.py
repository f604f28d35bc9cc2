#!/usr/bin/env python3
"""How the spool behaves with very many entries: a million by default.

    bench/spoolscale.py [--entries N] [--domains N] [--keep FOLDER]

Fills a spool in SQLite through its own interface (each entry one message of a few
octets to one recipient; a tenth for one dead host, a tenth spread over the first
1,000 domains, the rest over all), then measures what runners, the status page and
the operator's tool do with it.  Prints one line for each, with the bounds that we
mean to keep.  Exits with 1 when one is missed.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from twisted.internet import reactor, task
from twisted.internet.defer import Deferred, gatherResults

from umbcmail.content import MemoryContent
from umbcmail.entry import Delivery, Draft, Order
from umbcmail.selection import Selection, Sort
from umbcmail.envelope import Envelope, Recipient
from umbcmail.outcome import Outcome
from umbcmail.queue.spool.sqlite import SqliteSpool
from umbcmail.reply import reply

TOGETHER = 2000
DELAYED = Outcome(reply(451, "4.4.1", "No answer from the host"), "mx.dead.example[192.0.2.1]:25", "connect")


def parsed() -> argparse.Namespace:
    """The command line; each step has a process of its own, so that its memory is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--domains", type=int, default=10_000)
    parser.add_argument("--keep", default="", help="folder of the spool, filled only if it is not there")
    parser.add_argument("--step", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


async def fill(folder: str, entries: int, domains: int) -> None:
    """Put entries in by commits, as agents do, without an attempt."""
    spool = SqliteSpool(folder, reactor, "fill")
    await spool.start()
    began = now = time.time()
    for first in range(0, entries, TOGETHER):
        waits = []
        for n in range(first, min(first + TOGETHER, entries)):
            domain = "dead.example" if n % 10 == 0 else f"d{n % (1000 if n % 10 == 1 else domains)}.example"
            envelope = Envelope(f"mx1-{n}", f"s{n % 5000}@example.org", (Recipient(f"u{n}@{domain}"),), now, size=5)
            delivery = Delivery(envelope.recipients[0]).after(DELAYED)
            age = (n * 7919) % 400_000
            draft = Draft("remote", (delivery,), now - (n % 3600) + 1800)
            waits.append(spool.commit(envelope, MemoryContent(b"a\r\nb\r"), [draft], now - age))
        await gatherResults(waits)
    print(f"filled        {entries / (time.time() - began):10.0f} entries a second")
    await spool.stop()


async def measured(spool: SqliteSpool) -> list[tuple[str, float, float]]:
    """Names, seconds, and bounds."""
    found: list[tuple[str, float, float]] = []

    async def timed(name: str, bound: float, call: Any) -> Any:
        began = time.perf_counter()
        result = await call()
        found.append((name, time.perf_counter() - began, bound))
        return result

    await timed("start", 3.0, spool.start)
    now = time.time()
    for order in Order:
        times = []
        for _ in range(21):
            began = time.perf_counter()
            claims = await spool.claim("remote", 100, now, order)
            times.append(time.perf_counter() - began)
            await gatherResults([spool.giveBack(claim, claim.entry.due) for claim in claims])
        found.append((f"claim of 100, order {order}", statistics.median(times), 0.010))
    await timed("nextDue", 0.1, lambda: spool.nextDue("remote"))
    await timed("counts", 3.0, lambda: spool.counts(now))
    await timed("summary of 20 destinations", 3.0, lambda: spool.summary(Selection(), 20, now))
    page = await timed("first page of 100", 3.0, lambda: spool.listing(Selection(), 100))
    await timed("next page of 100", 3.0, lambda: spool.listing(Selection(), 100, Sort.AGE, page[-1].id))
    await timed("page of 100 by cause", 10.0, lambda: spool.listing(Selection(cause="no answer"), 100))
    await timed("hasten 100 of one destination", 0.1, lambda: spool.hasten("remote", ["dead.example"], 100, 0.0))
    await timed("what is too old", 1.0, lambda: spool.count(Selection(queues=("remote",), createdBefore=now - 399_990)))
    await timed("move of 1,000", 5.0, lambda: spool.move(Selection(queues=("remote",), domain="d11.example"), "slow"))
    await timed("stop", 3.0, spool.stop)
    return found


def shown(results: list[tuple[str, float, float]]) -> int:
    """Print what was measured.  @return: exit status."""
    missed = 0
    for name, seconds, bound in results:
        missed += seconds > bound
        print(f"{name:32} {seconds * 1000:10.1f} ms   bound {bound * 1000:8.0f} ms{'  MISSED' * (seconds > bound)}")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    missed += memory > 200
    print(f"{'memory at most':32} {memory:10.0f} MiB  bound      200 MiB{'  MISSED' * (memory > 200)}")
    return 1 if missed else 0


async def main(what: str, folder: str, options: argparse.Namespace) -> None:
    if what == "fill":
        await fill(folder, options.entries, options.domains)
    else:
        raise SystemExit(shown(await measured(SqliteSpool(folder, reactor, "measure"))))


if __name__ == "__main__":
    options = parsed()
    if options.step:
        what, folder = options.step
        task.react(lambda _: Deferred.fromCoroutine(main(what, folder, options)))
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or os.path.join(scratch, "spool")
        again = [
            sys.executable,
            __file__,
            "--entries",
            str(options.entries),
            "--domains",
            str(options.domains),
            "--step",
        ]
        if not os.path.exists(folder):
            subprocess.run([*again, "fill", folder], check=True)
        raise SystemExit(subprocess.run([*again, "measure", folder]).returncode)
