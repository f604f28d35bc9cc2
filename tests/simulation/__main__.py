"""C{python -m tests.simulation}: see C{script/simulate}."""

from __future__ import annotations

import argparse
import gc
import sys
import time
from multiprocessing import get_context
from typing import Any

from tests.simulation.report import findings, shown
from tests.simulation.run import Result, Run


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="script/simulate", description="Five days of the queues in minutes.")
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--destinations", type=int, default=10_000)
    parser.add_argument("--days", type=float, default=5.0, help="in which the messages arrive")
    parser.add_argument("--scale", type=float, default=1.0, help="of messages and destinations, for a shorter run")
    parser.add_argument("--processes", type=int, default=1, help="that share the spool and the state")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting, as of umbcmail")
    parser.add_argument("--plot", default="", metavar="FILE", help="where the PNG goes; without it there is none")
    return parser.parse_args()


def _run(options: argparse.Namespace, isWithout: bool) -> Result:
    name = "without" if isWithout else "with"

    def tell(text: str) -> None:
        print(f"[{name}] {text}", file=sys.stderr, flush=True)

    # There are many objects that live for long: a look at all of them pays seldom.
    gc.set_threshold(200_000, 20, 100)
    scale = options.scale
    return Run(
        round(options.messages * scale), max(100, round(options.destinations * scale)), options.days, options.seed,
        isWithout, options.processes, options.set, tell,
    ).run()  # fmt: skip


def _send(pipe: Any, options: argparse.Namespace) -> None:
    pipe.send(_run(options, True))


def main() -> int:
    """Both runs, at the same time where there are two cores.  @return: exit status."""
    options = parsed()
    began = time.monotonic()
    context = get_context("fork")
    ours, theirs = context.Pipe(False)
    other = context.Process(target=_send, args=(theirs, options))
    other.start()
    theirs.close()
    result = _run(options, False)
    without = ours.recv()
    other.join()
    print(shown(result, without))
    print(f"{time.monotonic() - began:.0f} s")
    if options.plot:
        from tests.simulation.plot import draw

        draw(result, options.plot)
    return 0 if all(finding.isKept for finding in findings(result, without)) else 1


if __name__ == "__main__":
    sys.exit(main())
