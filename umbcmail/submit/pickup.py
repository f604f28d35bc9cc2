"""Fetches what programs have left in the folder of L{umbcmail.submit.drop}, and hands it over as they
would have: by the UNIX socket, in the name of whose it is.

One message after the other, in a thread, at the start and every some seconds.  What can't be taken
now stays.  Who sent what is refused for good gets a notification.  What is no drop is put up with
for a while, told once, and removed: no command has told anybody that it would be sent.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from twisted.application.internet import TimerService
from twisted.internet.defer import Deferred
from zope.interface import implementer

from umbcmail.envelope import Recipient
from umbcmail.figure import Figure
from umbcmail.interfaces import IWatched
from umbcmail.maillog import MailLog
from umbcmail.options import PATH, Option, Section, duration, size
from umbcmail.submit.client import Answer, Away, Order, Result, handOver
from umbcmail.submit.drop import NAME, Damaged, Drop, Unfinished, leave
from umbcmail.unixsocket import userName

DROP = Section(
    "drop",
    "Mail of programs of this host that came while umbcmail did not run.",
    (
        Option(
            "folder",
            PATH,
            None,
            "Folder where the command sendmail leaves it, with mode 3733; not set: /var/spool/umbcmail-drop for the "
            "command, and nobody fetches it from there.",
        ),
        Option("poll", duration(1), "10s", "How often to look for it."),
        Option("size-limit", size(1024), "200MiB", "Octets that a message may have."),
        Option("damaged-age", duration(60), "1d", "Age at which what is no message is removed."),
    ),
)

ENTRIES = 10_000
"""Files that are looked at in one turn."""
HEADER = 64 << 10
"""Octets of a message that are returned at most."""
_NO_FAILURE = ("NEVER", "SUCCESS", "DELAY", "SUCCESS,DELAY", "DELAY,SUCCESS")

Failures = Sequence[tuple[Recipient, Answer]]
Notify = Callable[[Order, Failures, bytes], bytes]
"""Makes a notification: of the order, its failures, and the beginning of the message."""


@implementer(IWatched)
class Pickup(TimerService):
    """See the module."""

    def __init__(
        self,
        settings: Any,
        socket: str,
        hostName: str,
        notify: Notify,
        log: MailLog,
        reactor: Any,
        inThread: Callable[..., Deferred[Any]],
    ) -> None:
        """
        @param settings: of the section.
        @param socket: path of the system's own.
        """
        TimerService.__init__(self, settings["poll"], self._look)
        self.clock = reactor
        self._settings = settings
        self._socket = socket
        self._hostName = hostName
        self._notify = notify
        self._log = log
        self._reactor = reactor
        self._inThread = inThread
        self._told: dict[str, None] = {}
        self._stops = False
        self._trouble = ""
        self._waiting = 0
        self._fetched = 0

    # In the reactor's thread

    def startService(self) -> None:
        """Look for the first time when the ports answer."""
        self._stops = False
        TimerService.startService(self)

    def stopService(self) -> Any:
        """No further message is begun.  @return: L{Deferred}"""
        self._stops = True
        return TimerService.stopService(self)

    def _look(self) -> Deferred[None]:
        return self._inThread(self._turn).addErrback(lambda failure: self._log.bug("-", "drop", failure))

    def condition(self) -> str:
        """See L{IWatched.condition}."""
        return self._trouble

    def figures(self) -> Iterable[Figure]:
        """See L{IWatched.figures}."""
        yield Figure("drop_waiting", self._waiting, "Files in the drop folder at the last look.")
        yield Figure("drop_fetched_total", self._fetched, "Messages fetched from the drop folder.")

    def _say(self, what: Callable[..., object], *words: Any, **named: Any) -> None:
        """Into the log, from the thread."""
        self._reactor.callFromThread(lambda: what(*words, **named))

    # In a thread

    def _turn(self) -> None:
        """Send all that is there, the oldest first."""
        path = self._settings["folder"]
        trouble = ""
        try:
            folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as why:
            trouble = f"{path}: {why.strerror}"
        else:
            try:
                self._send(folder)
            except Away as why:
                trouble = f"what programs left in {path} can't be handed over: {why}"
            except OSError as why:
                trouble = f"{path}: {why.strerror}"
            finally:
                os.close(folder)
        if trouble and trouble != self._trouble:
            self._say(self._log.trouble, "-", "drop", trouble)
        self._trouble = trouble

    def _send(self, folder: int) -> None:
        names = self._names(folder)
        self._waiting = len(names)
        for name in names:
            if self._stops:
                return
            if NAME.fullmatch(name) is None:
                self._putUpWith(folder, name, "it has another name than sendmail gives")
                continue
            try:
                drop = Drop(folder, name, self._settings["size-limit"] + (1 << 20))
            except Damaged as why:
                self._putUpWith(folder, name, str(why))
            except (Unfinished, FileNotFoundError):
                pass
            except OSError as why:
                self._putUpWith(folder, name, str(why.strerror))
            else:
                try:
                    self._carry(folder, name, drop)
                finally:
                    drop.close()

    def _names(self, folder: int) -> list[str]:
        """The files, oldest first."""
        found = []
        with os.scandir(folder) as entries:
            for entry in islice(entries, ENTRIES):
                try:
                    found.append((entry.stat(follow_symlinks=False).st_mtime, entry.name))
                except FileNotFoundError:
                    pass
        return [name for _, name in sorted(found)]

    def _carry(self, folder: int, name: str, drop: Drop) -> None:
        """One message.  @raise Away: the system can't take it now."""
        order = drop.order
        order.onBehalfOf = order.onBehalfOf or userName(drop.uid)
        result = handOver(self._socket, self._hostName, order, drop.pieces())
        failures, later = _outcome(order, result)
        if later:
            # Those that have been taken are not to get it again.
            if result.isTaken:
                rest = replace(order, recipients=later)
                leave(self._settings["folder"], rest, b"".join(drop.pieces()))
                os.unlink(name, dir_fd=folder)
            return
        if failures and order.sender and order.notify not in _NO_FAILURE:
            self._tellSender(order, failures, drop.header(HEADER))
        os.unlink(name, dir_fd=folder)
        self._fetched += 1
        self._say(
            self._log.event,
            "fetched",
            "-",
            drop=name,
            login=order.onBehalfOf,
            sender=f"<{order.sender}>",
            refused=len(failures),
            answer=str(result.answer or ""),
        )

    def _tellSender(self, order: Order, failures: Failures, header: bytes) -> None:
        """@raise Away: it can't be told now."""
        content = self._notify(order, failures, header)
        told = Order("", [order.sender], len(content), not content.isascii())
        result = handOver(self._socket, self._hostName, told, [content])
        answer = result.answer or (result.refused[0][1] if result.refused else None)
        if not result.isTaken and answer is not None and answer.code < 500:
            raise Away(str(answer))

    def _putUpWith(self, folder: int, name: str, why: str) -> None:
        """Something that is no drop."""
        try:
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            isOld = time.time() - status.st_mtime > self._settings["damaged-age"]
            if isOld:
                (os.rmdir if stat.S_ISDIR(status.st_mode) else os.unlink)(name, dir_fd=folder)
        except FileNotFoundError:
            return
        except OSError as problem:
            why, isOld = f"{why}, and can't be removed: {problem.strerror}", False
        if name in self._told and not isOld:
            return
        if len(self._told) >= ENTRIES:
            self._told.clear()
        self._told[name] = None
        done = "; removed" if isOld else ""
        self._say(self._log.trouble, "-", "drop", f"{name[:100]!r} of user {status.st_uid} is no message: {why}{done}")


def _outcome(order: Order, result: Result) -> tuple[list[tuple[Recipient, Answer]], list[str]]:
    """What has failed for good, and who is to be tried again."""
    refused = dict(result.refused)
    whole = result.answer if not result.isTaken else None
    failures, later = [], []
    for address in order.recipients:
        answer = refused.get(address) or whole
        if answer is None:
            continue
        if answer.code >= 500:
            failures.append((Recipient(address, order.notify), answer))
        else:
            later.append(address)
    return failures, later
