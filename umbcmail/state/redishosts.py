"""The hosts that do not answer, in Redis, and a copy of them in each process.

In Redis it is a hash: by host, the number of its last change and what is known
(L{HostStatus.text}).  What is known afterwards is worked out here; a script puts it in the
place of what it was made of, and publishes it, or answers that there is something else by
now, of which it is made anew.

While Redis is away each process finds out by itself.  When it is back the copy is loaded, and
what Redis does not know is handed in.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks

from umbcmail.hoststatus import HostStatus, statusOf, unknown
from umbcmail.sighting import StateError
from umbcmail.state.redisclient import RedisClient
from umbcmail.state.redissession import Session
from umbcmail.state.sharedhosts import Change, Changed, SharedHosts

BATCH = 500
"""Hosts that are read, or forgotten, by one script."""

CHANGE = """
local known = redis.call('HGET', KEYS[1], ARGV[2]) or ''
if known ~= ARGV[3] then
    return {0, known, 0}
end
if ARGV[4] == '' then
    return {1, known, tonumber(redis.call('GET', KEYS[2]) or 0)}
end
local number = redis.call('INCR', KEYS[2])
local text = string.format('%.0f ', number) .. ARGV[4]
redis.call('HSET', KEYS[1], ARGV[2], text)
redis.call('PUBLISH', ARGV[1], 'host ' .. text)
return {1, text, number}
"""
"""Keys: the hash, the number of the last change.  Arguments: the channel, the host, what
the caller has taken it to be, and what it is to be (C{''}: the same).  Answers whether it was
that, what it is now, and the number of the last change, of all hosts when nothing was written."""

PAGE = """
local found = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local texts = {}
for n = 2, #found[2], 2 do
    texts[#texts + 1] = found[2][n]
end
return cjson.encode({found[1], texts})
"""
"""Answers the next cursor, and a page (C{{}} when it is empty)."""

FORGET = """
for n = 1, #ARGV, 2 do
    if redis.call('HGET', KEYS[1], ARGV[n]) == ARGV[n + 1] then
        redis.call('HDEL', KEYS[1], ARGV[n])
    end
end
return 1
"""
"""Arguments: hosts, each with what it was taken to be."""

Run = Callable[[str, list[Any], list[Any]], "Deferred[Any]"]


class RedisHosts(SharedHosts):
    """See L{SharedHosts} and the module."""

    def __init__(self, client: RedisClient, now: Callable[[], float]) -> None:
        super().__init__(now)
        self._client = client
        self._keys = [client.key("hosts"), client.key("hosts:last")]
        self._texts: dict[str, bytes] = {}  # what Redis had when we have seen it last
        self._early: list[bytes] | None = None
        client.listeners[b"host"] = self._hear
        client.recoveries.append(self._recover)
        client.gains.append(self.share)

    @inlineCallbacks
    def _change(self, host: str, change: Change) -> Any:
        """See L{SharedHosts._change}."""
        known = self._texts.get(host, b"")
        while True:
            before = _status(known) if known else unknown(host)
            after = change(before)
            text = after.text() if after is not before else ""
            arguments = [self._client.channel, _field(host), known, text]
            isDone, known, last = yield self._client.script(CHANGE, self._keys, arguments)
            self._texts[host] = known
            if isDone:
                return Changed(_number(known) if known else last, before, after)

    @inlineCallbacks
    def listing(self, now: float) -> Any:
        """See L{IHosts.listing}."""
        found = yield self._load(self._client.script)
        wrong = [each for each in map(_status, found) if not each.isFine and not each.isForgotten(now)]
        return sorted(wrong, key=lambda status: status.host)

    def purge(self, now: float) -> list[HostStatus]:
        """See L{SharedHosts.purge}; from Redis too."""
        gone = super().purge(now)
        known = [(status.host, self._texts.pop(status.host, b"")) for status in gone]
        if self._client.isThere:
            for begin in range(0, len(known), BATCH):
                arguments = [word for host, text in known[begin : begin + BATCH] for word in (_field(host), text)]
                forgotten = self._client.script(FORGET, self._keys, arguments)
                forgotten.addErrback(lambda failure: failure.trap(StateError))
        self.share()
        return gone

    # The copy

    def _hear(self, message: bytes) -> None:
        """Somebody has changed something."""
        if self._early is not None:
            self._early.append(message)
        self._see(message)

    def _see(self, text: bytes) -> None:
        status = _status(text)
        self._texts[status.host] = text
        self._heard(_number(text), status)

    @inlineCallbacks
    def _recover(self, session: Session) -> Any:
        """Load the copy; what is published meanwhile comes last."""
        self._early = []
        found = yield self._load(session.script)
        found += self._early
        self._early = None
        latest: dict[str, bytes] = {}
        for text in found:
            host = _status(text).host
            if host not in latest or _number(latest[host]) <= _number(text):
                latest[host] = text
        self._texts = latest
        self._renew([(_number(text), _status(text)) for text in latest.values()])

    @inlineCallbacks
    def _load(self, run: Run) -> Any:
        found: list[bytes] = []
        cursor = ""
        while cursor != "0":
            page = yield run(PAGE, self._keys, [cursor or "0", BATCH])
            cursor, texts = json.loads(page)
            found += [text.encode() for text in texts]
        return found


def _number(text: bytes) -> int:
    return int(text.partition(b" ")[0])


def _status(text: bytes) -> HostStatus:
    return statusOf(text.partition(b" ")[2])


def _field(host: str) -> bytes:
    return host.encode("utf-8", "surrogatepass")
