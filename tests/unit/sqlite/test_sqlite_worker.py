"""The thread that works off jobs: L{umbcmail.sqlite.worker}."""

from __future__ import annotations

import threading
from typing import Any
from unittest import mock

from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.trial.unittest import TestCase

from umbcmail.sqlite.worker import Job, Worker


class PauseTests(TestCase):
    """What comes soon after a round waits for the others."""

    async def test_pause(self) -> None:
        """The first job is done at once; those that follow come together in one round."""
        groups: list[int] = []
        waits: list[float] = []
        isOver = threading.Event()

        def work(connection: Any, jobs: list[Job]) -> None:
            groups.append(len(jobs))

        def sleep(seconds: float) -> None:
            waits.append(seconds)
            isOver.wait(30)

        worker = Worker("test", reactor, mock.Mock, work, lambda why: why, self.fail, pause=1000.0)
        with mock.patch("umbcmail.sqlite.worker.sleep", sleep):
            await worker.start()
            await worker.put(Job(lambda connection: None))
            self.assertEqual((groups, waits), ([1], []))
            done = [worker.put(Job(lambda connection: None)) for _ in range(10)]
            isOver.set()
            await gatherResults(done)
            await worker.stop()
        self.assertEqual(groups, [1, 10])
        self.assertTrue(900 < waits[0] <= 1000)
