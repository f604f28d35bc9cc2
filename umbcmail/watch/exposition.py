"""Figures as Prometheus reads them, by its own library: the text format 0.0.4, and
OpenMetrics 1.0.0 for who prefers it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector, CollectorRegistry

from umbcmail.figure import Figure
from umbcmail.watch.picture import metricName

PLAIN = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_QUALITY = re.compile(r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")


class _Figures(Collector):
    """Gives figures to the library, as families of one name."""

    def __init__(self, figures: Iterable[Figure]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        """See L{Collector}."""
        families: dict[str, tuple[list[str], CounterMetricFamily | GaugeMetricFamily]] = {}
        for figure in self._figures:
            name = metricName(figure.name)
            values = dict(figure.labels)
            labels = sorted(values)
            kind = CounterMetricFamily if figure.grows else GaugeMetricFamily
            # OpenMetrics has the family of a counter without its ending.
            key = name.removesuffix("_total")
            found = families.get(key)
            if found is None:
                found = families[key] = (labels, kind(name, figure.meaning, labels=labels))
            # A family is of one kind and has one set of labels; what else comes by its name has no place.
            if found[0] == labels and isinstance(found[1], kind):
                found[1].add_metric([values[label] for label in labels], figure.value)
        for _, family in families.values():
            yield family


def exposition(figures: Iterable[Figure], asOpenMetrics: bool) -> bytes:
    """The text for Prometheus."""
    registry = CollectorRegistry(auto_describe=False)
    collector = _Figures(figures)
    registry.register(collector)
    made: bytes = openmetrics.generate_latest(registry) if asOpenMetrics else generate_latest(registry)
    return made


def wantsOpenMetrics(accept: str) -> bool:
    """Whether somebody likes OpenMetrics 1.0 at least as much as plain text (RFC 9110
    section 12.5.1)."""
    quality = {True: 0.0, False: 0.0}
    for each in accept[:4096].lower().split(","):
        kind, *parameters = [word.strip() for word in each.split(";")]
        given = dict.fromkeys(parameters)
        q = next((float(found[1]) for word in given if (found := _QUALITY.fullmatch(word))), 1.0)
        if kind == "application/openmetrics-text":
            versions = [word for word in given if word.startswith("version=")]
            if versions in ([], ["version=1.0.0"], ["version=1.0"]):
                quality[True] = max(quality[True], q)
        elif kind in ("text/plain", "text/*"):
            quality[False] = max(quality[False], q)
    return quality[True] > 0 and quality[True] >= quality[False]
