"""The mail log: one function for each event in the life of a message.

Every line has the time, the event and C{id=}; the ids of the messages of a
connection begin with the id of the connection, so that one search finds it all
from the first octet to the last attempt.  Lines are C{key=value} for people, or
JSON.  They are formatted once and written in batches.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from umbcmail.envelope import Client, Envelope
from umbcmail.options import WORD, Option, Section, choice
from umbcmail.outcome import Outcome
from umbcmail.reply import Reply

LOG = Section(
    "log",
    "The mail log.",
    (
        Option("file", WORD, "-", "Path of the file, or - for standard output."),
        Option("format", choice("text", "json"), "text", "key=value lines for people, or JSON lines."),
    ),
)

_PLAIN = re.compile(r"[!#-~]+")
"""A value that needs no quotes: printable, no space, no quote."""
_SIMPLE = re.compile(r"[ !#-\[\]-~]+")
"""A value that needs quotes and nothing else."""


def textValue(value: Any) -> str:
    """A value for a C{key=value} line, quoted when it must be."""
    text = value if type(value) is str else str(value)
    if text.isalnum() and text.isascii():
        return text
    if _PLAIN.fullmatch(text):
        return text
    return f'"{text}"' if _SIMPLE.fullmatch(text) else json.dumps(text, ensure_ascii=False)


class LogFile:
    """The file that lines go to.  It is opened anew when it has been moved away,
    so whoever rotates logs need not tell us.

    @ivar problem: why the last lines could not be written, C{""} when they were.
    """

    def __init__(self, path: str) -> None:
        """
        @param path: C{-} is standard output.
        """
        self.problem = ""
        self._path = path
        self._fd = 1 if path == "-" else -1
        self._inode = 0

    def write(self, data: bytes) -> None:
        """Write whole lines; when that is impossible mail goes on all the same."""
        try:
            if self._path != "-":
                self._open()
            while data:
                data = data[os.write(self._fd, data) :]
            self.problem = ""
        except OSError as why:
            self.problem = f"{self._path}: {why.strerror}"
            sys.stderr.write(f"umbcmail: {self._path}: {why.strerror}\n")

    def _open(self) -> None:
        try:
            inode = os.stat(self._path).st_ino
        except FileNotFoundError:
            inode = 0
        if self._fd >= 0 and inode == self._inode:
            return
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._inode = os.fstat(self._fd).st_ino


class MailLog:
    """Writes the events, and counts them.

    @ivar counts: how many there were, by event.
    @ivar logins: how many log-ins were right, wrong, or not decided, by C{"ok"},
        C{"no"} and C{"later"}.
    @param write: called with the octets of one or more whole lines.
    @param clock: for the time of the lines and for the batches.
    @param asJSON: JSON lines instead of C{key=value}.
    @param delay: seconds that lines may wait for others.
    """

    def __init__(
        self, write: Callable[[bytes], None], clock: IReactorTime, asJSON: bool = False, delay: float = 0.1
    ) -> None:
        self.counts: defaultdict[str, int] = defaultdict(int)
        self.logins = {"ok": 0, "no": 0, "later": 0}
        self._write = write
        self._clock = clock
        self._asJSON = asJSON
        self._delay = delay
        self._lines: list[str] = []
        self._second = 0
        self._stamp = ""

    def flush(self) -> None:
        """Write what waits, now."""
        if self._lines:
            lines, self._lines = self._lines, []
            self._write("".join(lines).encode("utf-8", "backslashreplace"))

    def event(self, what: str, id: str, /, **values: Any) -> None:
        """Any event; values that are empty are left out."""
        self.counts[what] += 1
        if not self._lines:
            self._clock.callLater(self._delay, self.flush)
        now = self._clock.seconds()
        if int(now) != self._second:
            self._second = int(now)
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
        stamp = f"{self._stamp}.{int(now * 1000) % 1000:03d}Z"
        if self._asJSON:
            record = {"time": stamp, "event": what, "id": id}
            record.update((k, v) for k, v in values.items() if v not in ("", None))
            self._lines.append(json.dumps(record, ensure_ascii=False) + "\n")
            return
        text = "".join([f" {k}={textValue(v)}" for k, v in values.items() if v not in ("", None)])
        self._lines.append(f"{stamp} {what} id={id}{text}\n")

    # The program

    def started(self, roles: str, version: str) -> None:
        """All is open and ready."""
        self.event("started", "-", roles=roles, version=version)
        self.flush()

    def listening(self, port: str, address: str) -> None:
        """A port is open."""
        self.event("listening", "-", port=port, address=address)

    def stopping(self) -> None:
        """The program has been asked to end."""
        self.event("stopping", "-")

    def stopped(self) -> None:
        """All is closed; the last line."""
        self.event("stopped", "-")
        self.flush()

    def recovered(self, entries: int) -> None:
        """Entries that a process which has ended had claimed are free again."""
        self.event("recovered", "-", entries=entries)

    def trouble(self, id: str, where: str, why: str) -> None:
        """Something outside of us does not work; we go on."""
        self.event("trouble", id, where=where, why=why)

    def bug(self, id: str, where: str, failure: Failure) -> None:
        """An error that nobody expected; the traceback goes with it."""
        self.event("bug", id, where=where, why=failure.getErrorMessage(), traceback=failure.getTraceback())
        self.flush()

    def clock(self, what: str) -> None:
        """The system's clock has jumped, or what was done about it."""
        self.event("clock", "-", what=what)
        self.flush()

    def room(self, isLow: bool, why: str) -> None:
        """The spool's disk has no room for new mail, or has it again."""
        self.event("disk-low" if isLow else "disk-ok", "-", why=why)
        self.flush()

    def ordered(self, what: str, user: str, uid: int, sudo: str, **values: Any) -> None:
        """An operator has changed something.

        @param user: whose command it was, C{""}: the uid has no name.
        @param sudo: who has become this user by sudo.
        """
        self.event("ordered", "-", what=what, user=user, uid=uid, sudo=sudo, **values)
        self.flush()

    # Certificates

    def certificate(self, file: str, days: int, why: str) -> None:
        """A certificate is in use: since now, or still.

        @param days: that are left until it expires.
        """
        self.event("certificate", "-", file=file, days=days, why=why)

    def certificateExpires(self, file: str, days: int) -> None:
        """A certificate that is in use has not long to live, or is dead."""
        self.event("certificate-expires", "-", file=file, days=days)
        self.flush()

    def certificateRefused(self, file: str, why: str) -> None:
        """A new certificate or key is no good; those before it stay in use."""
        self.event("certificate-refused", "-", file=file, why=why)
        self.flush()

    # A client

    def connected(self, id: str, client: Client, port: str, balancer: str = "") -> None:
        """A client has connected, maybe by a load balancer."""
        self.event(
            "connected",
            id,
            client=client.address,
            client_port=client.port if client.address else "",
            login=client.login,
            port=port,
            balancer=balancer,
        )

    def unproxied(self, balancer: str, why: str) -> None:
        """A load balancer has not said by a PROXY header whom it speaks for."""
        self.event("unproxied", "-", balancer=balancer, why=why)

    def introduced(self, id: str, client: Client) -> None:
        """A filter has said by XCLIENT whom it speaks for."""
        self.event(
            "introduced", id, client=client.address, client_port=client.port, name=client.name, login=client.login
        )

    def secured(self, id: str, tls: str) -> None:
        """TLS has been set up with the client."""
        self.event("secured", id, tls=tls)

    def authenticated(self, id: str, client: Client, login: str, mechanism: str) -> None:
        """A client has shown who it is."""
        self.logins["ok"] += 1
        self.event("authenticated", id, client=client.address, login=login, mechanism=mechanism)

    def authFailed(self, id: str, client: Client, login: str, mechanism: str, reply: Reply, why: str) -> None:
        """A client has not shown who it is, or could not at present."""
        self.logins["no" if reply.code >= 500 else "later"] += 1
        self.event(
            "auth-failed", id, client=client.address, login=login[:255], mechanism=mechanism, reply=reply, why=why
        )

    def disconnected(self, id: str, commands: int, messages: int, why: str) -> None:
        """A client is gone."""
        self.event("disconnected", id, commands=commands, messages=messages, why=why)

    def rejected(self, id: str, client: Client, command: str, reply: Reply, **values: Any) -> None:
        """A client has been told no, or not now."""
        self.event("rejected", id, client=client.address, helo=client.helo, command=command, reply=reply, **values)

    def lenient(self, id: str, client: Client, leniency: str) -> None:
        """A client has written something that is wrong, and is taken by a leniency."""
        self.event("lenient", id, client=client.address, helo=client.helo, leniency=leniency)

    # Filters

    def filtered(self, id: str, filter: str, verdict: str, command: str, **values: Any) -> None:
        """A filter has refused a command, or had something to say of a message."""
        self.event("filtered", id, filter=filter, verdict=verdict, command=command, **values)

    def filterFailed(self, id: str, filter: str, kind: str, why: str, policy: str) -> None:
        """A filter can't be used, and mail goes on as its policy says."""
        self.event("filter-failed", id, filter=filter, kind=kind, why=why, policy=policy)

    # Next hops

    def hostDown(self, host: str, why: str) -> None:
        """We have found that a next hop does not answer, and tell all others."""
        self.event("host-down", "-", host=host, why=why)

    def hostAnswers(self, host: str, failures: int, seconds: float) -> None:
        """We have found that it answers again.

        @param failures: that were counted.
        @param seconds: since the first of them.
        """
        self.event("host-answers", "-", host=host, failures=failures, away=int(seconds))

    # A message

    def accepted(self, envelope: Envelope, reply: Reply) -> None:
        """A client has been told C{250} for a message: it is ours, or delivered."""
        client = envelope.client
        self.event(
            "accepted",
            envelope.id,
            client=client.address,
            name=client.name,
            helo=client.helo,
            login=client.login,
            tls=client.tls,
            sender=f"<{envelope.sender}>",
            recipients=len(envelope.recipients),
            size=envelope.size,
            reply=reply,
        )

    def queued(self, id: str, queue: str, recipients: int, due: str) -> None:
        """An entry is on stable storage."""
        self.event("queued", id, queue=queue, recipients=recipients, due=due)

    def held(self, id: str, queue: str, recipients: int, why: str) -> None:
        """An entry is on stable storage, and put aside until an operator releases it."""
        self.event("held", id, queue=queue, recipients=recipients, why=why)

    def attempted(self, id: str, sender: str, recipient: str, outcome: Outcome, seconds: float, queue: str) -> None:
        """An attempt for one recipient has come to its end."""
        if outcome.isSent:
            name = "delivered"
        elif outcome.isFailed:
            name = "failed"
        else:
            name = "delayed"
        self.event(
            name,
            id,
            sender=f"<{sender}>",
            recipient=f"<{recipient}>",
            host=outcome.host,
            queue=queue,
            seconds=f"{seconds:.3f}",
            command=outcome.command,
            reply=outcome.reply,
            uncertain="yes" if outcome.uncertain else "",
        )

    def uncertain(self, id: str, recipient: str, host: str, isSame: bool) -> None:
        """A recipient is tried again that may have got the message by this host."""
        why = (
            "it may have the message, only it is tried" if isSame else "it may have the message, and is no next hop now"
        )
        self.event("again", id, recipient=f"<{recipient}>", host=host, why=why)

    def expired(self, id: str, recipient: str, age: str) -> None:
        """A recipient has waited for too long."""
        self.event("expired", id, recipient=f"<{recipient}>", age=age)

    def bounced(self, id: str, bounce: str, to: str, recipients: int, action: str) -> None:
        """The sender is being told, by a message of its own."""
        self.event("bounced", id, bounce=bounce, to=f"<{to}>", recipients=recipients, action=action)

    def notTold(self, id: str, to: str, recipients: int, action: str, why: str) -> None:
        """The sender is not going to be told, though it would be otherwise."""
        self.event("not-told", id, to=f"<{to}>", recipients=recipients, action=action, why=why)

    def dead(self, id: str, queue: str, recipients: int, why: str) -> None:
        """An entry can't be delivered, nobody can be told, and it is kept for the postmaster."""
        self.event("dead", id, queue=queue, recipients=recipients, why=why)

    def discarded(self, id: str, recipient: str, why: str) -> None:
        """A recipient is given up, or never was to get the message, and nobody is told."""
        self.event("discarded", id, recipient=f"<{recipient}>", why=why)

    def stale(self, id: str, why: str) -> None:
        """The result of an attempt came too late: removed, or claimed anew."""
        self.event("stale", id, why=why)

    def hung(self, id: str, queue: str, what: str, why: str) -> None:
        """A runner did not get on, and was restarted."""
        self.event("hung", id, queue=queue, what=what, why=why)
        self.flush()

    def moved(self, id: str, queue: str, to: str, why: str) -> None:
        """An entry is in another class now."""
        self.event("moved", id, queue=queue, to=to, why=why)

    def munged(self, entries: int) -> None:
        """The rules of the munger have been applied; there is a C{moved} for each entry."""
        self.event("munged", "-", entries=entries)

    def cleaned(self, entries: int) -> None:
        """Notifications about spam have been removed; there is a C{removed} for each."""
        self.event("cleaned", "-", entries=entries)

    def removed(self, id: str, queue: str, why: str) -> None:
        """An entry has left the spool for good."""
        self.event("removed", id, queue=queue, why=why)


def tell(text: str) -> None:
    """A line for who has started the program: C{twistd} takes what goes to C{sys.stderr}
    into its log."""
    if sys.__stderr__ is not None:
        sys.__stderr__.write(f"umbcmail: {text}\n")
        sys.__stderr__.flush()
