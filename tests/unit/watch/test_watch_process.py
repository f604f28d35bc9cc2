"""Tests of `umbcmail.watch.process` and `umbcmail.watch.log`."""

from __future__ import annotations

import os
from unittest import mock

from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from umbcmail import reply
from umbcmail.envelope import Client
from umbcmail.figure import Figure
from umbcmail.interfaces import IWatched
from umbcmail.maillog import LogFile, MailLog
from umbcmail.watch.log import LogWatch
from umbcmail.watch.process import LATE, LOOKS, PERIOD, Lag, Process


class LagTests(SynchronousTestCase):
    """How late the event loop is."""

    def setUp(self) -> None:
        """Two clocks: the loop's, and one that nobody sets."""
        self.clock = Clock()
        self.time = 100.0
        self.lag = Lag(self.clock, lambda: self.time)
        self.lag.start()

    def tick(self, late: float = 0.0) -> None:
        """The next look, late."""
        self.time += PERIOD + late
        self.clock.advance(PERIOD)

    def largest(self) -> float:
        """The figure."""
        (figure,) = self.lag.figures()
        return figure.value

    def test_largest(self) -> None:
        """The largest delay of the last minute, which is forgotten after it."""
        verifyObject(IWatched, self.lag)
        self.assertEqual(self.largest(), 0.0)
        for late in (0.0, 0.25, 0.1):
            self.tick(late)
        self.assertEqual(self.largest(), 0.25)
        for _ in range(LOOKS - 2):
            self.tick()
        self.assertEqual(self.largest(), 0.25)
        self.tick()
        self.assertEqual(self.largest(), 0.1)

    def test_condition(self) -> None:
        """A loop that does not get to its work is a condition."""
        self.tick(LATE - 0.01)
        self.assertEqual(self.lag.condition(), "")
        self.tick(LATE + 1)
        self.assertEqual(self.lag.condition(), "what was due had to wait for 3.0 s")

    def test_stop(self) -> None:
        """Nothing is left behind, and what was never begun can be stopped."""
        self.lag.stop()
        self.lag.stop()
        Lag(self.clock).stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class ProcessTests(SynchronousTestCase):
    """Figures of this process."""

    def test_figures(self) -> None:
        """They are of this process."""
        process = Process(1234.0)
        verifyObject(IWatched, process)
        with open("/dev/null"):
            found = {figure.name: figure.value for figure in process.figures()}
            self.assertLessEqual(found["process_open_fds"], len(os.listdir("/proc/self/fd")))
        self.assertGreater(found["process_open_fds"], 3)
        self.assertGreaterEqual(found["process_max_fds"], found["process_open_fds"])
        self.assertEqual(found["process_start_time_seconds"], 1234.0)
        self.assertTrue(1 << 20 < found["process_resident_memory_bytes"] < found["process_virtual_memory_bytes"])
        self.assertGreater(found["process_cpu_seconds_total"], 0)
        self.assertEqual(process.condition(), "")

    def test_descriptors(self) -> None:
        """Few that are left are a condition; no limit is none."""
        folder = self.mktemp()
        os.makedirs(f"{folder}/fd")
        for number in range(11):  # one is that of the look itself
            open(f"{folder}/fd/{number}", "w").close()
        process = Process(0.0, folder)
        for limit, condition in ((10, "10 of 10"), (11, "10 of 11"), (12, ""), (-1, "")):
            with mock.patch("resource.getrlimit", return_value=(limit, limit)):
                told = process.condition()
            self.assertEqual(told, f"{condition} file descriptors are in use" if condition else "", limit)


class LogTests(SynchronousTestCase):
    """What has been logged."""

    def setUp(self) -> None:
        """A log in a file."""
        self.path = self.mktemp()
        self.file = LogFile(self.path)
        self.log = MailLog(self.file.write, Clock())
        self.watch = LogWatch(self.log, self.file)

    def value(self, name: str, label: str) -> float:
        """One figure."""
        (found,) = [f.value for f in self.watch.figures() if f.name == name and f.labels[0][1] == label]
        return found

    def test_events(self) -> None:
        """Each event counts once, by its kind, before it is written."""
        verifyObject(IWatched, self.watch)
        self.assertEqual(self.value("log_events_total", "bug"), 0)
        self.log.bug("-", "x", Failure(ValueError("x")))
        self.log.trouble("-", "x", "y")
        self.log.trouble("-", "x", "y")
        self.log.event("special", "-")
        found = [self.value("log_events_total", name) for name in ("bug", "trouble", "special", "accepted")]
        self.assertEqual(found, [1, 2, 1, 0])

    def test_logins(self) -> None:
        """Right, wrong, and not decided."""
        client = Client("192.0.2.1")
        self.log.authenticated("a", client, "ann", "PLAIN")
        self.log.authFailed("a", client, "ann", "PLAIN", reply.AUTH_FAILED, "wrong")
        for _ in range(2):
            self.log.authFailed("a", client, "ann", "PLAIN", reply.AUTH_LATER, "can't tell")
        found = [self.value("auth_logins_total", name) for name in ("ok", "no", "later")]
        self.assertEqual(found, [1, 1, 2])

    def test_notWritten(self) -> None:
        """A log that can't be written is a condition until it can."""
        os.mkdir(self.path)
        with mock.patch("sys.stderr"):
            self.log.trouble("-", "x", "y")
            self.log.flush()
        self.assertEqual(self.watch.condition(), f"can't be written: {self.path}: Is a directory")
        os.rmdir(self.path)
        self.log.trouble("-", "x", "y")
        self.log.flush()
        self.assertEqual(self.watch.condition(), "")

    def test_kinds(self) -> None:
        """All of them only grow."""
        self.assertTrue(all(isinstance(f, Figure) and f.grows for f in self.watch.figures()))
