"""The role C{postman}: gets a ticket, and another one before it ends.

Whatever goes wrong is tried again, at growing intervals, at once when the keytab has
changed, and the ticket that is there stays.  One that somebody has removed is got again.
Made by `umbcmail.alone`, as the only service of its process.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import replace
from random import random
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from umbcmail import credentials
from umbcmail.credentials import Credentials
from umbcmail.filestamp import Stamp, stampAt
from umbcmail.maillog import MailLog
from umbcmail.postman import kinit
from umbcmail.postman.cache import BadCache, Ticket, ticketIn

LOOK = 2.0
"""Seconds between looks at the keytab, and at the ticket."""
SHARE = 2 / 3
"""Of the life of a ticket, after which another one is got."""
JITTER = 0.1
"""Share by which times are longer or shorter at random, so that hosts don't ask together."""
SKEW = 300.0
"""Seconds by which clocks may differ (clockskew of krb5.conf)."""

Run = Callable[[Any, str, str, str, float, float], Deferred[None]]
"""Gets a ticket, see L{kinit.run}."""


class Postman(Service):
    """The role.

    @ivar known: L{Credentials}, as they stand.
    """

    name = "postman"

    def __init__(
        self,
        settings: Mapping[str, Any],
        principal: str,
        group: int,
        reactor: Any,
        log: MailLog,
        run: Run = kinit.run,
        number: Callable[[], float] = random,
    ) -> None:
        """
        @param settings: of the section.
        @param principal: whose ticket.
        @param group: that may read it too, or -1.
        @param number: gives numbers from 0 to 1.
        """
        self.known = Credentials(principal, settings["keytab"], settings["cache"])
        self._settings = settings
        self._group = group
        self._reactor = reactor
        self._log = log
        self._run = run
        self._number = number
        self._inRow = 0
        self._stamp: Stamp = ()
        self._open = ""
        self._try: Any = None
        self._look: Any = None
        self._running: Deferred[None] | None = None

    # Life

    def startService(self) -> None:
        """Begin.  What a process before this one had stays good until it ends."""
        Service.startService(self)
        try:
            before = credentials.read(self.known.cache)
        except OSError:
            before = None
        if before is not None and before.principal == self.known.principal:
            self.known = replace(self.known, got=before.got, expires=before.expires)
        self._begin()
        self._look = self._reactor.callLater(LOOK, self._looked)

    def stopService(self) -> Deferred[None]:
        """End; the ticket stays.  @return: L{Deferred}"""
        Service.stopService(self)
        for call in (self._try, self._look):
            if call is not None and call.active():
                call.cancel()
        running = self._running
        if running is not None:
            running.cancel()
        return succeed(None)

    def _looked(self) -> None:
        """A new keytab is tried at once, and a ticket that is no longer there is got again."""
        self._look = self._reactor.callLater(LOOK, self._looked)
        if self._running is not None:
            return
        isLost = bool(self.known.got) and not os.path.lexists(self.known.cache)
        if isLost:
            self._log.trouble("-", "postman", f"somebody has removed the ticket {self.known.cache}: another one is got")
        if isLost or stampAt(self.known.keytab) != self._stamp:
            self._begin()

    # A ticket

    @property
    def _new(self) -> str:
        """Where a ticket is until it is all there."""
        return f"{self.known.cache}.new"

    def _begin(self) -> None:
        """Get one."""
        if self._try is not None and self._try.active():
            self._try.cancel()
        if self.known.got and not os.path.lexists(self.known.cache):
            self.known = replace(self.known, got=0.0, expires=0.0)
        known, settings = self.known, self._settings
        self._stamp = stampAt(known.keytab)
        try:
            self._prepare()
            asked = self._run(
                self._reactor, known.principal, known.keytab, self._new, settings["lifetime"], settings["timeout"]
            )
        except (kinit.Failed, OSError) as why:
            self._failed(str(why))
            return
        self._running = asked
        asked.addCallback(lambda _: self._got()).addErrback(self._notGot)

    def _prepare(self) -> None:
        """@raise kinit.Failed: it can't be had."""
        problem = kinit.keytabProblem(self.known.principal, self.known.keytab) or _folderProblem(self.known.cache)
        if problem:
            raise kinit.Failed(problem)
        isOpen = kinit.openness(self.known.keytab)
        if isOpen and isOpen != self._open:
            self._log.trouble("-", "postman", isOpen)
        self._open = isOpen
        if os.path.lexists(self._new):
            os.unlink(self._new)

    def _got(self) -> None:
        """C{kinit} says that it has one.  @raise kinit.Failed: it is not good."""
        self._running = None
        try:
            ticket = ticketIn(self._new)
        except BadCache as why:
            raise kinit.Failed(f"what kinit has written can't be used: {why}") from None
        now = self._reactor.seconds()
        self._checkClock(ticket, now)
        os.chown(self._new, -1, self._group)
        os.chmod(self._new, 0o600 if self._group < 0 else 0o640)
        os.replace(self._new, self.known.cache)
        wait = (ticket.ends - now) * SHARE * self._jitter()
        wasFailed, self._inRow = bool(self.known.failure) or not self.known.got, 0
        self.known = replace(
            self.known, got=now, expires=ticket.ends, next=now + wait, failure="", renewals=self.known.renewals + 1
        )
        what = "ticket" if wasFailed else "ticket-renewed"
        self._log.event(what, "-", principal=ticket.principal, cache=self.known.cache, seconds=round(ticket.ends - now))
        self._again(wait)

    def _checkClock(self, ticket: Ticket, now: float) -> None:
        """@raise kinit.Failed: it has ended already."""
        off = now - ticket.begins
        if abs(off) > SKEW:
            differs = (
                f"the clock of this host is {abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} that of the KDC"
            )
            remedy = "set it (chronyc makestep, timedatectl)"
            if ticket.ends <= now:
                raise kinit.Failed(f"{differs}, so that the ticket has ended before it has begun; {remedy}")
            self._log.trouble("-", "postman", f"{differs}; {remedy}")

    def _notGot(self, failure: Failure) -> None:
        """The boundary of the role: whatever it was, it is tried again."""
        self._running = None
        if not self.running:
            return
        if not failure.check(kinit.Failed, OSError):
            self._log.bug("-", "postman", failure)
        self._failed(failure.getErrorMessage())

    def _failed(self, why: str) -> None:
        """There is none; the one before stays, for as long as it lives."""
        now = self._reactor.seconds()
        first, longest = self._settings["retry"], self._settings["longest-retry"]
        wait = min(first * 2.0 ** min(self._inRow, 30), longest) * self._jitter()
        self._inRow += 1
        self.known = replace(self.known, next=now + wait, failure=why, failures=self.known.failures + 1)
        left = self.known.expires - now
        state = f"the ticket that is there is good for {left:.0f} s" if left > 0 else "there is none: local mail waits"
        text = f"no ticket of {self.known.principal}: {why}; {state}; next try in {wait:.0f} s"
        self._log.trouble("-", "postman", text)
        self._again(wait)

    def _again(self, wait: float) -> None:
        self._try = self._reactor.callLater(wait, self._begin)
        try:
            credentials.write(self.known)
        except OSError as why:
            path = credentials.recordAt(self.known.cache)
            self._log.trouble("-", "postman", f"{path} can't be written ({why.strerror}), so nobody uses the ticket")

    def _jitter(self) -> float:
        return 1 + JITTER * (2 * self._number() - 1)


def _folderProblem(cache: str) -> str:
    """Why a ticket must not be put there, C{""}: it may."""
    folder = os.path.dirname(cache)
    try:
        mode = os.stat(folder).st_mode
    except OSError as why:
        return f"the folder of postman.cache, {folder}: {why.strerror} (install -d -o {os.geteuid()} -m 755 {folder})"
    if mode & 0o022 and not mode & stat.S_ISVTX:
        return f"others may write in the folder of postman.cache (chmod go-w {folder})"
    return ""
