"""Draws what a run has shown: what waits, how long it takes, and what is tried."""

from __future__ import annotations

from collections import defaultdict

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

from tests.simulation.report import QUEUES, percentile
from tests.simulation.run import Result
from tests.simulation.world import BEGIN, DAY, HEALTHY

COLOURS = {"local": "tab:green", "internal": "tab:blue", "remote": "tab:orange", "bulk": "tab:red"}


def draw(result: Result, path: str) -> None:
    """Write a PNG."""
    rows = 2 + len(QUEUES)
    figure, axes = pyplot.subplots(rows, 1, figsize=(10, 2.1 * rows), sharex=True, layout="constrained")
    days = [at / DAY for at, _ in result.depth]
    for queue in QUEUES:
        axes[0].plot(days, [depth[queue] for _, depth in result.depth], label=queue, color=COLOURS[queue], lw=1)
    axes[0].set_ylabel("in the spool")
    axes[0].set_yscale("symlog")
    axes[0].legend(ncols=len(QUEUES), fontsize="small", loc="upper left")
    axes[0].set_title(f"{result.messages:,} messages", fontsize="medium")
    minutes: defaultdict[int, int] = defaultdict(int)
    for second, count in result.rate.items():
        minutes[(second - int(BEGIN)) // 60] += count
    axes[1].plot([m / 1440 for m in sorted(minutes)], [minutes[m] for m in sorted(minutes)], color="black", lw=0.5)
    axes[1].set_ylabel("attempts/min")
    axes[1].set_yscale("symlog")
    for axis, queue in zip(axes[2:], QUEUES, strict=True):
        _delays(axis, result, queue)
    axes[-1].set_xlabel("days")
    figure.savefig(path, dpi=80, metadata={"Software": None})
    pyplot.close(figure)


def _delays(axis: object, result: Result, queue: str) -> None:
    """Percentiles of the delay of what was sent in each hour."""
    hours: defaultdict[int, list[float]] = defaultdict(list)
    good: defaultdict[int, list[float]] = defaultdict(list)
    for (each, kind, hour), delays in result.delays.items():
        if each == queue:
            hours[hour] += delays
            if kind in HEALTHY:
                good[hour] += delays
    for some, style, name in ((hours, ":", "all"), (good, "-", "healthy")):
        for share, colour in ((0.5, "tab:green"), (0.9, "tab:blue"), (0.99, "tab:red")):
            at = sorted(some)
            values = [percentile(sorted(some[hour]), share) for hour in at]
            label = f"{share:.0%} {name}"
            axis.plot([h / 24 for h in at], values, style, color=colour, lw=1, label=label)  # type: ignore[attr-defined]
    axis.set_yscale("log")  # type: ignore[attr-defined]
    axis.set_ylabel(f"{queue}: seconds")  # type: ignore[attr-defined]
    axis.legend(ncols=6, fontsize="x-small", loc="upper left")  # type: ignore[attr-defined]
