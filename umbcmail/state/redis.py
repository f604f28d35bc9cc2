"""The state in Redis: for hosts that share one.

Made by C{umbcmail.storage}.  What L{RedisState} promises while Redis is away stands in
the parts (L{umbcmail.state.redisroster}, L{umbcmail.state.rediscounters},
L{umbcmail.state.redishosts}), and for operators in C{docs/state.md}.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable
from typing import Any, NoReturn

from OpenSSL import crypto
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.internet.task import LoopingCall
from zope.interface import implementer

from umbcmail.figure import Figure
from umbcmail.interfaces import IState, IWatched
from umbcmail.state.redisclient import RedisClient
from umbcmail.state.rediscounters import RedisCounters
from umbcmail.state.redishosts import RedisHosts
from umbcmail.state.redisroster import RedisRoster

PURGE = 60.0
"""Seconds between two times at which the copy lets go of what has expired."""
MEANING = (
    "what is known holds until it expires, what is added is known to one process until Redis is back,"
    " and each process counts for itself, and finds out by itself which hosts do not answer"
)


def secret(path: str) -> bytes:
    """The password in a file.

    @raise ValueError: others may read it, or it has none.
    @raise OSError: it can't be read.
    """
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_mode & 0o077:
            raise ValueError(f"others may read {path}: chmod 600")
        found = file.read(4096).strip(b"\r\n")
    if not found:
        raise ValueError(f"there is no password in {path}")
    return found


def authorities(path: str) -> Any:
    """The certificates in a PEM file, as what is trusted.

    @raise ValueError: there are none.
    @raise OSError: it can't be read.
    """
    with open(path, "rb") as file:
        found = re.findall(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", file.read(), re.DOTALL)
    try:
        return trustRootFromCertificates([Certificate.loadPEM(each) for each in found]) if found else _none(path)
    except crypto.Error:
        return _none(path)


def _none(path: str) -> NoReturn:
    raise ValueError(f"there are no certificates in {path}")


@implementer(IState, IWatched)
class RedisState:
    """See L{IState}."""

    name = "state"

    def __init__(self, client: RedisClient, reactor: Any) -> None:
        self._client = client
        self._reactor = reactor
        # In the order in which they recover: nothing may come between the roster and that it counts.
        self.counters = RedisCounters(client)
        self.hosts = RedisHosts(client, reactor.seconds)
        self.roster = RedisRoster(client, reactor)
        self._loop = LoopingCall(self._purge)
        self._loop.clock = reactor

    def start(self) -> Deferred[None]:
        """See L{IState.start}."""
        self.counters.start()
        self.roster.start()
        self._loop.start(PURGE, now=False)
        return self._client.start()

    @inlineCallbacks
    def stop(self) -> Any:
        """See L{IState.stop}."""
        if self._loop.running:
            self._loop.stop()
        self.counters.stop()
        yield self.roster.stop()
        yield self._client.stop()

    def _purge(self) -> None:
        self.roster.purge(self._reactor.seconds())
        self.hosts.purge(self._reactor.seconds())

    # How it is

    def condition(self) -> str:
        """See L{IWatched.condition}."""
        client = self._client
        if not client.why:
            return client.trouble
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(client.since))
        return f"Redis is away since {since}: {client.why}; {MEANING}"

    def figures(self) -> Iterable[Figure]:
        """See L{IWatched.figures}."""
        yield Figure("state_roster_entries", len(self.roster.copy), "Addresses in the roster.")
        yield from self.hosts.figures()
        meaning = "How often Redis has come to be there."
        yield Figure("state_redis_connections_total", self._client.connections, meaning, grows=True)
