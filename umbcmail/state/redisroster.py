"""The roster in Redis, and a copy of it in each process.

In Redis it is a sorted set of addresses by the time at which they expire, and a hash of
who reported them.  One script does any number of operations in their order, in one step,
and publishes what it has changed.  The copy is made of what is published and of nothing
else, so it changes in the order in which Redis did; an operation is answered when the
process has heard of it, and so it finds what it has added.

While Redis is away the copy holds.  An add fails then, but is remembered here, and handed
in when Redis is back, together with all that Redis has lost meanwhile, unless somebody has
removed it (that is remembered in Redis for as long as it would have lived).
"""

from __future__ import annotations

import json
import secrets
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, fail, inlineCallbacks
from twisted.python.failure import Failure
from zope.interface import implementer

from umbcmail.interfaces import IRoster
from umbcmail.sighting import Sighting, StateError
from umbcmail.state.redisclient import RedisClient
from umbcmail.state.redissession import Session
from umbcmail.state.rostercopy import Copy

BATCH = 500
"""Operations that one script does: Redis does nothing else meanwhile, for about 2 ms."""
BATCHES = 4
"""Scripts that are under way; what comes meanwhile waits for the next, which is as much larger."""
WAITING = 10_000
"""Operations that wait for their turn."""
KEPT = 100_000
"""Adds that are remembered while Redis is away."""
GRACE = 3600.0
"""Seconds for which what has expired is kept: the clocks of hosts may differ by as much."""

SCRIPT = """
local expiries, reporters, removed = KEYS[1], KEYS[2], KEYS[3]
local grace, latest, results, news = tonumber(ARGV[4]), nil, {}, {}
local function add(address, expires, reporter, known)
    if not known or tonumber(expires) > tonumber(known) then
        redis.call('ZADD', expiries, expires, address)
    end
    redis.call('HSET', reporters, address, reporter)
    redis.call('ZREM', removed, address)
    news[#news + 1] = {'add', address, expires, reporter}
end
for n, operation in ipairs(cjson.decode(ARGV[3])) do
    local kind, address, expires, reporter, now = unpack(operation)
    local known = redis.call('ZSCORE', expiries, address)
    local result = false
    if kind == 'find' then
        result = known and {known, redis.call('HGET', reporters, address) or ''}
    elseif kind == 'remove' then
        if known then
            redis.call('ZREM', expiries, address)
            redis.call('HDEL', reporters, address)
            redis.call('ZADD', removed, known, address)
            news[#news + 1] = {'remove', address}
            result = true
        end
    elseif kind == 'restore' then
        local gone = redis.call('ZSCORE', removed, address)
        result = not gone or tonumber(gone) < tonumber(expires)
        if result and (not known or tonumber(known) < tonumber(expires)) then
            add(address, expires, reporter, known)
        end
    else
        result = not known or tonumber(known) <= tonumber(now)
        add(address, expires, reporter, known)
        latest = tonumber(now)
    end
    results[n] = result
end
if latest then
    for _, address in ipairs(redis.call('ZRANGEBYSCORE', expiries, '-inf', latest - grace, 'LIMIT', 0, 2 * #results)) do
        redis.call('ZREM', expiries, address)
        redis.call('HDEL', reporters, address)
    end
    redis.call('ZREMRANGEBYSCORE', removed, '-inf', latest - grace)
end
if #news > 0 then
    redis.call('PUBLISH', ARGV[1], 'roster ' .. cjson.encode({ARGV[2], news}))
end
return cjson.encode({#news, results})
"""
"""Keys: by expiry, reporters, what was removed.  Arguments: the channel, a name for the
batch, the operations in JSON, the grace.  Answers how many changes were published, and
a result for each operation.  Times are texts: so they stay what they are."""

PAGE = """
local found = redis.call('ZSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local entries = {}
for n = 1, #found[2], 2 do
    local address = found[2][n]
    local expires = redis.call('ZSCORE', KEYS[1], address)
    if expires and tonumber(expires) > tonumber(ARGV[3]) then
        entries[#entries + 1] = {address, expires, redis.call('HGET', KEYS[2], address) or ''}
    end
end
return cjson.encode({found[1], entries})
"""
"""Keys: by expiry, reporters.  Arguments: the cursor, entries for a page, the time.
Answers the next cursor and a page of what has not expired (C{{}} when it is empty)."""

Run = Callable[[str, list[Any], list[Any]], "Deferred[Any]"]


@dataclass(slots=True, eq=False)
class _Batch:
    """Operations under way.

    @ivar waiting: who waits for each of them.
    @ivar results: what Redis has answered.
    @ivar isHeard: we have heard what was published of it.
    """

    waiting: list[Deferred[Any]]
    results: list[Any] | None = None
    isHeard: bool = False


@implementer(IRoster)
class RedisRoster:
    """See L{IRoster} and the module."""

    def __init__(self, client: RedisClient, reactor: Any) -> None:
        self.copy = Copy()
        self._client = client
        self._reactor = reactor
        self._keys = [client.key("roster"), client.key("roster:reporters"), client.key("roster:removed")]
        self._own = secrets.token_hex(8)
        self._number = 0
        self._gathered: deque[tuple[list[str], Deferred[Any], float]] = deque()
        self._timer: Any = None
        self._batches: dict[str, _Batch] = {}
        self._kept: set[str] = set()
        self._early: list[bytes] = []
        self._isOpen = False
        self._isLoaded = False
        self._empty: Deferred[None] | None = None
        client.listeners[b"roster"] = self._hear
        client.recoveries.append(self._recover)
        client.losses.append(self._lost)

    def start(self) -> None:
        """From now on adds that fail are kept."""
        self._isOpen = True

    def stop(self) -> Deferred[None]:
        """@return: L{Deferred} that fires when all has been answered."""
        self._isOpen = self._isLoaded = False
        self._empty = Deferred()
        self._ended()
        return self._empty

    def purge(self, now: float) -> None:
        """Let go of what has expired."""
        self.copy.purge(now)
        self._kept.intersection_update(self.copy.entries)

    # The interface

    def add(self, sighting: Sighting, now: float) -> Deferred[bool]:
        """See L{IRoster.add}."""
        asked = self._ask("add", sighting.address, repr(sighting.expires), sighting.reporter, repr(now))
        return asked.addErrback(self._keep, sighting)

    def _keep(self, failure: Failure, sighting: Sighting) -> Failure:
        """It is not safe, but good enough for this process until Redis is back."""
        hasRoom = sighting.address in self._kept or len(self._kept) < KEPT
        if failure.check(StateError) and self._isOpen and hasRoom:
            self._kept.add(sighting.address)
            self.copy.add(sighting)
        return failure

    def find(self, address: str, now: float) -> Sighting | Deferred[Sighting | None]:
        """See L{IRoster.find}; at once when the copy has it.  That it does not may mean
        that we have not heard of it yet."""
        known = self.copy.find(address, now)
        return known if known is not None else self._ask("find", address).addCallback(_found, address, now)

    def remove(self, address: str) -> Deferred[bool]:
        """See L{IRoster.remove}."""
        return self._ask("remove", address)

    @inlineCallbacks
    def listing(self, now: float) -> Any:
        """See L{IRoster.listing}; while Redis is away what the copy has."""
        if self._isLoaded and not self._client.isThere:
            found = {each.address: each for each in self.copy.entries.values() if each.expires > now}
        else:
            found = yield self._load(self._client.script, now)
        return [found[address] for address in sorted(found)]

    # Batches

    def _ask(self, *operation: str) -> Deferred[Any]:
        """All that is asked for in one turn of the reactor goes together, at least."""
        if not self._client.isThere:
            return fail(self._client.error())
        if len(self._gathered) >= WAITING:
            return fail(StateError("too much waits for Redis"))
        asked: Deferred[Any] = Deferred()
        self._gathered.append((list(operation), asked, self._reactor.seconds()))
        self._goOn()
        return asked

    def _goOn(self) -> None:
        if self._timer is None and self._gathered and len(self._batches) < BATCHES:
            self._timer = self._reactor.callLater(0, self._flush)

    def _flush(self) -> None:
        self._timer = None
        while self._gathered and len(self._batches) < BATCHES:
            some = self._portion()
            if not some:
                continue
            self._number += 1
            name = f"{self._own}.{self._number}"
            self._batches[name] = _Batch([asked for _, asked in some])
            self._script(self._client.script, name, [operation for operation, _ in some]).addCallbacks(
                self._answered, self._failed, callbackArgs=(name,), errbackArgs=(name,)
            )

    def _portion(self) -> list[tuple[list[str], Deferred[Any]]]:
        """What is next; for what has waited too long nobody waits any more."""
        some = []
        last = self._reactor.seconds() - self._client.timeout
        for _ in range(min(BATCH, len(self._gathered))):
            operation, asked, since = self._gathered.popleft()
            if since < last:
                asked.errback(StateError(f"Redis is slow: not done in {self._client.timeout:g} s"))
            else:
                some.append((operation, asked))
        return some

    def _script(self, run: Run, name: str, operations: list[list[str]]) -> Deferred[Any]:
        """@return: L{Deferred} of how many changes were published, and the results."""
        arguments = [self._client.channel, name, json.dumps(operations), repr(GRACE)]
        return run(SCRIPT, self._keys, arguments).addCallback(json.loads)

    def _answered(self, answer: list[Any], name: str) -> None:
        batch = self._batches.get(name)
        if batch is None:
            return
        published, batch.results = answer
        if not published:
            batch.isHeard = True
        self._fire(name, batch)

    def _fire(self, name: str, batch: _Batch) -> None:
        if batch.results is not None and batch.isHeard:
            del self._batches[name]
            for asked, result in zip(batch.waiting, batch.results, strict=True):
                asked.callback(result)
            self._ended()

    def _failed(self, failure: Failure, name: str) -> None:
        batch = self._batches.pop(name, None)
        if batch is not None:
            _refuse(batch, failure)
            self._ended()

    def _lost(self) -> None:
        """Redis is away: what we have not heard of is not safe."""
        batches, self._batches = self._batches, {}
        gathered, self._gathered = self._gathered, deque()
        for batch in (*batches.values(), _Batch([asked for _, asked, _ in gathered])):
            _refuse(batch, Failure(self._client.error()))
        self._ended()

    def _ended(self) -> None:
        """A batch is done; there may be more."""
        empty = self._empty
        if self._batches or self._gathered:
            self._goOn()
        elif empty is not None and not empty.called:
            empty.callback(None)

    # The copy

    def _hear(self, message: bytes) -> None:
        if not self._client.isThere:
            self._early.append(message)
            return
        name, news = json.loads(message)
        self.copy.hear(news)
        batch = self._batches.get(name)
        if batch is not None:
            batch.isHeard = True
            self._fire(name, batch)

    @inlineCallbacks
    def _recover(self, session: Session) -> Any:
        """Load the copy, and hand in what Redis does not have; what is published
        meanwhile comes last, and what has failed meanwhile is handed in then."""
        self._early.clear()
        now = self._reactor.seconds()
        loaded = Copy()
        loaded.entries = yield self._load(session.script, now)
        for some in _pieces(self.copy.beyond(loaded, now)):
            _, results = yield self._script(session.script, "", [_restoring(each) for each in some])
            for each, isTaken in zip(some, results, strict=True):
                if isTaken:
                    loaded.add(each)
                else:
                    self.copy.entries.pop(each.address, None)  # somebody has removed it
        for message in self._early:
            loaded.hear(json.loads(message)[1])
        self._early.clear()
        late = self.copy.beyond(loaded, now, self._kept)
        self._kept.clear()
        self.copy = loaded
        self._isLoaded = True
        if late:
            self._reactor.callLater(0, self._handIn, late)

    @inlineCallbacks
    def _handIn(self, late: list[Sighting]) -> Any:
        for some in _pieces(late):
            asked = []
            for each in some:
                self.copy.add(each)
                asked.append(
                    self._ask(*_restoring(each)).addCallbacks(self._handedIn, self._keep, (each,), {}, (each,))
                )
            yield DeferredList(asked, consumeErrors=True)

    def _handedIn(self, isTaken: bool, sighting: Sighting) -> None:
        if not isTaken and self.copy.entries.get(sighting.address) is sighting:
            del self.copy.entries[sighting.address]

    @inlineCallbacks
    def _load(self, run: Run, now: float) -> Any:
        found: dict[str, Sighting] = {}
        cursor = ""
        while cursor != "0":
            page = yield run(PAGE, self._keys[:2], [cursor or "0", BATCH, repr(now)])
            cursor, entries = json.loads(page)
            for address, expires, reporter in entries:
                found[address] = Sighting(address, float(expires), reporter)
        return found


def _restoring(sighting: Sighting) -> list[str]:
    return ["restore", sighting.address, repr(sighting.expires), sighting.reporter]


def _pieces(some: list[Any]) -> Iterator[list[Any]]:
    for begin in range(0, len(some), BATCH):
        yield some[begin : begin + BATCH]


def _found(result: list[str] | bool, address: str, now: float) -> Sighting | None:
    if isinstance(result, bool) or float(result[0]) <= now:
        return None
    return Sighting(address, float(result[0]), result[1])


def _refuse(batch: _Batch, failure: Failure) -> None:
    for asked in batch.waiting:
        asked.errback(failure)
