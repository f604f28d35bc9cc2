"""Tests of L{umbcmail.queue.spool.memory}."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from tests.contracts.spool import LEASE, SpoolContract
from umbcmail.queue.spool.memory import MemorySpool, MemoryStore


class MemorySpoolTests(SpoolContract, TestCase):
    """The spool in memory keeps the promises."""

    def makeSpool(self, owner: str) -> MemorySpool:
        """One that shares the store of this test."""
        if not hasattr(self, "store"):
            self.store = MemoryStore()
        return MemorySpool(owner, LEASE, self.store)

    def crash(self, spool: MemorySpool) -> None:
        """It does not live any more."""
        self.store.living.discard(spool.owner)
