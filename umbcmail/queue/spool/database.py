"""The database of a spool: a thread that writes, one that reads what mail waits for,
and one for questions that look at much of it.

Puts together `schema`, `writer` and L{umbcmail.sqlite} for `sqlite`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from umbcmail.entry import SpoolError, StaleClaim
from umbcmail.queue.spool import orders, reads, schema
from umbcmail.queue.spool.errors import spoolError
from umbcmail.queue.spool.room import Rest, Room
from umbcmail.queue.spool.writer import Transactions
from umbcmail.sqlite.turn import Turn
from umbcmail.sqlite.worker import Job, Worker, oneByOne

LOOK = 5.0
"""Seconds between two looks at the rest of the disk."""


class Database:
    """The threads.

    @param path: the file.
    @param owner: whose claims are being recorded.
    @param room: tells whether there is room for more messages.
    @param onBug: called in the reactor's thread with errors that nobody expected.
    """

    def __init__(self, path: str, reactor: Any, owner: str, room: Room, onBug: Callable[[Failure], None]) -> None:
        self._path = path
        self._owner = owner
        self._room = room
        self._turn = Turn(path + "-turn")
        self.transactions = Transactions(owner, self._turn, room)
        work, answers = self.transactions.work, (StaleClaim,)
        self._writer = Worker("spool-write", reactor, self._openToWrite, work, spoolError, onBug, answers)
        self._reader = Worker("spool-read", reactor, self._openToRead, oneByOne, spoolError, onBug)
        self._scanner = Worker("spool-scan", reactor, self._openToRead, oneByOne, spoolError, onBug)
        self._loop = LoopingCall(self._look)
        self._loop.clock = reactor

    async def start(self) -> None:
        """@raise SpoolError: it can't be opened."""
        running: list[Worker] = []
        try:
            for worker in (self._writer, self._reader, self._scanner):
                await worker.start()
                running.append(worker)
        except BaseException as why:
            for worker in running:
                await worker.stop()
            self._turn.close()
            if isinstance(why, SpoolError):
                raise self._room.explained(why) from why
            raise
        await self.scan(self._room.look)
        self._loop.start(LOOK, now=False)

    async def stop(self) -> None:
        """Do what has been asked for, and close."""
        self._loop.stop()
        for worker in (self._writer, self._reader, self._scanner):
            await worker.stop()
        self._turn.close()

    @property
    def problem(self) -> str:
        """Why the last thing that was to be written could not be, C{""} when it could."""
        return self._writer.problem

    def room(self) -> Deferred[Rest]:
        """@return: L{Deferred} of a L{Rest}; fails with C{SpoolError}."""
        return self.read(self._room.look)

    def _look(self) -> Deferred[Any]:
        return self.scan(self._room.look).addErrback(lambda failure: None)  # who writes will tell

    def _openToWrite(self) -> sqlite3.Connection:
        self._turn.open()
        connection = self._connect()
        try:
            schema.make(connection)
            orders.free(connection, [self._owner])  # of a former life under the same name
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect(self) -> sqlite3.Connection:
        connection = schema.connect(self._path)
        reads.functions(connection)
        return connection

    def _openToRead(self) -> sqlite3.Connection:
        connection = self._connect()
        connection.execute("PRAGMA query_only = ON")
        return connection

    def put(self, job: Job) -> Deferred[Any]:
        """Have something written together with all that waits."""
        return self._writer.put(job)

    def write(self, what: Callable[..., Any], *args: Any) -> Deferred[Any]:
        """Have a function called with the connection inside a transaction; it may
        be called again when another of its group has failed."""
        return self._writer.put(Job(lambda connection: what(connection, *args)))

    def read(self, what: Callable[..., Any], *args: Any) -> Deferred[Any]:
        """Have a function called with the connection that reads."""
        return self._reader.put(Job(lambda connection: what(connection, *args)))

    def scan(self, what: Callable[..., Any], *args: Any) -> Deferred[Any]:
        """The same for what may take long: no mail waits for it."""
        return self._scanner.put(Job(lambda connection: what(connection, *args)))
