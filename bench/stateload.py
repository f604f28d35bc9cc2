"""How many adds a second the roster takes, and how long each waits for its answer.

    python bench/stateload.py [--rate 10000] [--seconds 10] [--addresses 50000] [--url sqlite:/FOLDER]

Offers sightings at a steady rate straight to the state, without DRAC before it, and asks
for an address now and then, as relay rules do.
"""

from __future__ import annotations

import argparse
import glob
import os
import random
import tempfile
import time
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import deferLater, react

from umbcmail.config import load
from umbcmail.sections import sections
from umbcmail.sighting import Sighting
from umbcmail.storage import openState

STEP = 0.002
"""Seconds between two portions."""


def percentile(times: list[float], share: float) -> str:
    """Milliseconds."""
    return f"{sorted(times)[min(len(times) - 1, int(len(times) * share))] * 1000:.2f} ms" if times else "-"


async def load_(given: argparse.Namespace, url: str) -> None:
    """Offer, wait for the last answer, and print."""
    state = openState(load(sections(), None, [f"state.url={url}"]), reactor)
    await state.start()
    waits: list[float] = []
    hits: list[float] = []
    failures: list[Any] = []
    begun, offered = time.perf_counter(), 0
    cpu = time.process_time()
    while (passed := time.perf_counter() - begun) < given.seconds:
        while offered < passed * given.rate:
            offered += 1
            number = random.randrange(given.addresses)
            address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
            now, at = time.time(), time.perf_counter()
            added = state.roster.add(Sighting(address, now + 1800, "192.0.2.1"), now)
            added.addCallback(lambda _, at=at: waits.append(time.perf_counter() - at)).addErrback(failures.append)
        at = time.perf_counter()
        found = state.roster.find(address, time.time())
        if isinstance(found, Deferred):
            found.addCallback(lambda _, at=at: hits.append(time.perf_counter() - at)).addErrback(failures.append)
        await deferLater(reactor, STEP)
    while len(waits) + len(failures) < offered and time.perf_counter() < begun + given.seconds + 30:
        await deferLater(reactor, STEP)
    took = time.perf_counter() - begun
    log = next(iter(glob.glob(url.partition(":")[2] + "/*-wal")), None)
    print(f"{url}: {len(waits)} of {offered} adds in {took:.2f} s: {len(waits) / took:.0f} a second")
    print(f"  add: p50 {percentile(waits, 0.5)}, p99 {percentile(waits, 0.99)}, longest {percentile(waits, 1)}")
    print(f"  find of what is not known yet: p50 {percentile(hits, 0.5)}, p99 {percentile(hits, 0.99)}")
    print(f"  {(time.process_time() - cpu) / max(len(waits), 1) * 1e6:.0f} us of CPU for each add; failed: {len(failures)}")
    if log:
        print(f"  write-ahead log: {os.path.getsize(log) / 1e6:.0f} MB")
    print(f"  {[(each.name, each.value) for each in state.figures()]} {state.condition()}")
    await state.stop()


def main(reactor: Any) -> Deferred[None]:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rate", type=int, default=10000, help="adds a second")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--addresses", type=int, default=50000, help="how many different ones there are")
    parser.add_argument("--url", help="of the state; without one a folder that is removed in the end")
    given = parser.parse_args()
    if given.url:
        return ensureDeferred(load_(given, given.url))
    folder = tempfile.TemporaryDirectory(prefix="umbcmail-bench-")
    done = ensureDeferred(load_(given, f"sqlite:{folder.name}/state"))
    return done.addBoth(lambda result: (folder.cleanup(), result)[1])


if __name__ == "__main__":
    react(main)
