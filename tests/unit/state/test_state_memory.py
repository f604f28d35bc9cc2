"""Tests of L{umbcmail.state.memory}."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from tests.contracts.state import StateContract
from umbcmail.state.memory import MemoryState, MemoryStore


class MemoryStateTests(StateContract, TestCase):
    """The state in memory keeps the promises."""

    def makeState(self) -> MemoryState:
        """One that shares the store of this test."""
        if not hasattr(self, "store"):
            self.store = MemoryStore()
        return MemoryState(self.store)
