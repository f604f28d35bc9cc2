"""Group commit: all that waits to be written goes into one transaction.

Jobs of one group are done in order, and succeed or fail each for itself.  The
fast way takes them all together; when anything goes wrong there, all of it is
rolled back and done again one by one, so that who is not at fault does not notice.
"""

from __future__ import annotations

import sqlite3

from umbcmail.sqlite.connection import rollback
from umbcmail.sqlite.worker import Job


class GroupCommit:
    """Does groups of jobs.

    @ivar count: transactions that have been committed.
    """

    def __init__(self) -> None:
        self.count = 0

    def do(self, connection: sqlite3.Connection, jobs: list[Job]) -> None:
        """Give each job its result, inside of a transaction.  Called again, with one
        job, for each of a group that has failed."""
        for job in jobs:
            job.result = job.run(connection)

    def commit(self, connection: sqlite3.Connection, jobs: list[Job]) -> None:
        """Do them, together if that is possible; none raises, see L{Job.fail}."""
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as why:
            # Somebody else (a backup) has been writing for all of the busy timeout: no use in trying for each.
            for job in jobs:
                job.fail(why)
            return
        try:
            self._finish(connection, jobs)
        except Exception as why:
            rollback(connection)
            if len(jobs) == 1:
                jobs[0].fail(why)
                return
            for job in jobs:
                self._alone(connection, job)

    def _alone(self, connection: sqlite3.Connection, job: Job) -> None:
        job.error = job.result = None
        try:
            connection.execute("BEGIN IMMEDIATE")
            self._finish(connection, [job])
        except Exception as why:
            rollback(connection)
            job.fail(why)

    def _finish(self, connection: sqlite3.Connection, jobs: list[Job]) -> None:
        self.do(connection, jobs)
        connection.execute("COMMIT")
        self.count += 1
