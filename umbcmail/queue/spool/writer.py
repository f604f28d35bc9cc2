"""What one group commit of the spool does: commits and records in a few statements.

Several processes write to one spool, in turn.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from umbcmail.entry import SpoolFull, StaleClaim
from umbcmail.queue.spool import rows
from umbcmail.queue.spool.room import Room
from umbcmail.queue.spool.rows import Package, RecordRows
from umbcmail.sqlite.group import GroupCommit
from umbcmail.sqlite.turn import Turn
from umbcmail.sqlite.worker import Job


class CommitJob(Job):
    """Commit a message; gives its claims."""

    __slots__ = ("package",)

    def __init__(self, package: Package) -> None:
        super().__init__(_notAlone)
        self.package = package


class RecordJob(Job):
    """Record an attempt; gives the files that can be removed now."""

    __slots__ = ("record",)

    def __init__(self, record: RecordRows) -> None:
        super().__init__(_notAlone)
        self.record = record


def _notAlone(connection: sqlite3.Connection) -> Any:
    raise AssertionError("commits and records are done together")


class Transactions(GroupCommit):
    """Does groups of jobs."""

    def __init__(self, owner: str, turn: Turn, room: Room) -> None:
        super().__init__()
        self._owner = owner
        self._turn = turn
        self._room = room

    def work(self, connection: sqlite3.Connection, jobs: list[Job]) -> None:
        """See L{umbcmail.sqlite.worker.Work}."""
        with self._turn:
            jobs = self._affordable(connection, jobs)
            if jobs:
                self.commit(connection, jobs)

    def _affordable(self, connection: sqlite3.Connection, jobs: list[Job]) -> list[Job]:
        """Without new messages when there is no room for them."""
        if not any(isinstance(job, CommitJob) for job in jobs) or self._room.isLeft(connection):
            return jobs
        for job in jobs:
            if isinstance(job, CommitJob):
                job.fail(SpoolFull("the disk has less room than is to be kept free"))
        return [job for job in jobs if not isinstance(job, CommitJob)]

    def do(self, connection: sqlite3.Connection, jobs: list[Job]) -> None:
        """See L{GroupCommit.do}."""
        many: list[CommitJob | RecordJob] = []
        for job in jobs:
            if isinstance(job, (CommitJob, RecordJob)):
                many.append(job)
                continue
            _together(connection, many, self._owner)
            many = []
            job.result = job.run(connection)
        _together(connection, many, self._owner)


def _together(connection: sqlite3.Connection, jobs: list[CommitJob | RecordJob], owner: str) -> None:
    """Do commits and records in a few statements."""
    if not jobs:
        return
    records = [job for job in jobs if isinstance(job, RecordJob)]
    files = _holding(connection, records, owner) if records else {}
    kept = [job for job in records if job.error is None]
    packages = [job.package for job in jobs if isinstance(job, CommitJob)]
    for job in kept:
        packages += job.record.bounces
    rows.insert(connection, packages)
    also = [id for job in kept for id in job.record.also]
    if also:
        rows.deleteUnclaimed(connection, also)
    done = [job for job in kept if not job.record.deliveries]
    if done:
        messages = [files[job.record.id][0] for job in done]
        rows.delete(connection, [job.record.id for job in done], messages)
    delayed = [job.record for job in kept if job.record.deliveries]
    if delayed:
        rows.update(connection, delayed)
    gone = rows.unused(connection, [file for job in done if (file := files[job.record.id][1])])
    for commit in jobs:
        if isinstance(commit, CommitJob):
            commit.result = commit.package.claims
    for job in kept:
        file = files[job.record.id][1]
        job.result = [file] if file in gone else []


def _holding(connection: sqlite3.Connection, jobs: list[RecordJob], owner: str) -> dict[str, tuple[str, str]]:
    """Fail those whose claim does not hold.  A claim whose lease has ended but
    that nobody has taken over does.

    @return: entry to message and file.
    """
    found = rows.claimed(connection, [job.record.id for job in jobs], owner)
    files: dict[str, tuple[str, str]] = {}
    for job in jobs:
        id = job.record.id
        token, message, file = found.pop(id, (0, "", ""))  # a second record of one claim finds nothing
        if token != job.record.token or not token:
            job.fail(StaleClaim(f"{id}: taken over, or removed"))
            if token:
                found[id] = (token, message, file)
        else:
            files[id] = (message, file)
    return files
