"""Tests of L{umbcmail.state.sqlite}: what a disk adds to the contract."""

from __future__ import annotations

import os
import shutil
import tempfile

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from tests.contracts.state import StateContract
from umbcmail.state.sqlite import SqliteState


class SqliteStateTests(StateContract, TestCase):
    """The state in a folder keeps the promises, and some more."""

    timeout = 30

    def makeState(self) -> SqliteState:
        """One that shares the folder of this test."""
        if not hasattr(self, "folder"):
            place = tempfile.mkdtemp(prefix="umbcmail-test-")
            self.addCleanup(shutil.rmtree, place)
            self.folder = os.path.join(place, "lib", "state")
        return SqliteState(self.folder, reactor)
