"""Tests of `umbcmail.watch.exposition`: what Prometheus's own parsers read."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openMetrics
from prometheus_client.parser import text_string_to_metric_families as plain
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.figure import Figure
from umbcmail.watch.exposition import exposition, wantsOpenMetrics

FIGURES = [
    Figure("a_now", 1.5, "A gauge.", (("port", "mx"), ("state", "x"))),
    Figure("a_now", 2, "A gauge.", (("state", "y"), ("port", "mx"))),
    Figure("b_total", 3, "A counter.", (), True),
    Figure("process_open_fds", 7, "Of the process."),
]


def samples(figures: list[Figure]) -> list[dict[tuple[str, tuple[tuple[str, str], ...]], float]]:
    """What both parsers read, by name and labels."""
    found = []
    for parse, asOpen in ((plain, False), (openMetrics, True)):
        families = parse(exposition(figures, asOpen).decode())
        found.append({(s.name, tuple(sorted(s.labels.items()))): s.value for f in families for s in f.samples})
    return found


class ExpositionTests(SynchronousTestCase):
    """Both formats."""

    def test_samples(self) -> None:
        """Names begin with C{umbcmail_} but for those of the process; labels in any order are of one family."""
        wanted = {
            ("umbcmail_a_now", (("port", "mx"), ("state", "x"))): 1.5,
            ("umbcmail_a_now", (("port", "mx"), ("state", "y"))): 2.0,
            ("umbcmail_b_total", ()): 3.0,
            ("process_open_fds", ()): 7.0,
        }
        self.assertEqual(samples(FIGURES), [wanted, wanted])

    def test_text(self) -> None:
        """Each family has one HELP and one TYPE; OpenMetrics ends with EOF."""
        text = exposition(FIGURES, False).decode()
        self.assertIn("# HELP umbcmail_b_total A counter.\n# TYPE umbcmail_b_total counter\n", text)
        self.assertEqual(text.count("# TYPE umbcmail_a_now gauge\n"), 1)
        self.assertTrue(exposition(FIGURES, True).endswith(b"\n# EOF\n"))
        self.assertIn(b"# TYPE umbcmail_b counter\n", exposition(FIGURES, True))

    def test_nothing(self) -> None:
        """No figures are no error."""
        self.assertEqual((exposition([], False), exposition([], True)), (b"", b"# EOF\n"))

    def test_misfits(self) -> None:
        """What would make the whole text invalid is left out: other labels, another kind, under one name."""
        figures = [*FIGURES, Figure("a_now", 9, "Other labels."), Figure("b", 9, "The family of b_total, as a gauge.")]
        self.assertEqual(samples(figures), samples(FIGURES))

    def test_notFinite(self) -> None:
        """Infinity and NaN are numbers for Prometheus."""
        for found in samples([Figure("a", math.inf, "A."), Figure("b", -math.inf, "B."), Figure("c", math.nan, "C.")]):
            self.assertEqual(found["umbcmail_a", ()], math.inf)
            self.assertEqual(found["umbcmail_b", ()], -math.inf)
            self.assertTrue(math.isnan(found["umbcmail_c", ()]))

    @given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), st.text(st.characters(codec="ascii")))
    def test_anyLabel(self, value: str, meaning: str) -> None:
        """Whatever stands in a label comes out again, and whatever stands in a text breaks nothing."""
        families = plain(exposition([Figure("a", 1, meaning.replace("\r", ""), (("x", value),))], False).decode())
        found = [s.labels["x"] for f in families for s in f.samples]
        self.assertEqual(found, [value])


class AcceptTests(SynchronousTestCase):
    """Which format is wanted."""

    def test_prometheus(self) -> None:
        """What Prometheus sends (2.x and 3.x) gets OpenMetrics."""
        for accept in (
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
                "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
            ),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
                "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4,*/*;q=0.2"
            ),
            "application/openmetrics-text",
            "Application/OpenMetrics-Text; version=1.0.0",
        ):
            self.assertTrue(wantsOpenMetrics(accept), accept)

    def test_others(self) -> None:
        """Everybody else gets plain text, and so does nonsense."""
        for accept in (
            "",
            "*/*",
            "text/html,*/*;q=0.8",
            "text/plain",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=0.000,text/plain;q=0.1",
            "application/openmetrics-text;q=0.3,text/plain;q=0.5",
            "application/openmetrics-text;version=0.0.1",
            "application/openmetrics-text;version=2.0.0",
            ";;;,,,q=,application/openmetrics-textual",
            ",".join(["x"] * 9000) + ",application/openmetrics-text",
        ):
            self.assertFalse(wantsOpenMetrics(accept), accept)

    @given(st.text())
    def test_garbage(self, accept: str) -> None:
        """Nothing breaks it."""
        self.assertIn(wantsOpenMetrics(accept), (True, False))
