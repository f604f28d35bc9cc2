"""Counters in Redis: each a key with its value and when it had it.

While Redis is away each process counts for itself, from 0; what it has counted is added,
and what was forgotten is forgotten, when Redis is back.
"""

from __future__ import annotations

from itertools import islice
from math import exp2
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, inlineCallbacks
from twisted.python.failure import Failure
from zope.interface import implementer

from umbcmail.interfaces import ICounters
from umbcmail.sighting import StateError
from umbcmail.state.redisclient import RedisClient
from umbcmail.state.redissession import Session

OWN = 50_000
"""Numbers that are counted while Redis is away; over that the oldest is lost."""
TOGETHER = 100
"""Numbers that are handed in at the same time."""

SCRIPT = """
local number, halfLife, now = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local left = 0
if ARGV[4] == 'anew' then
    redis.call('DEL', KEYS[1])
end
local known = redis.call('GET', KEYS[1])
if known then
    local last, when = string.match(known, '^(%S+) (%S+)$')
    if tonumber(when) > now then now = tonumber(when) end
    left = tonumber(last) * 0.5 ^ ((now - tonumber(when)) / halfLife)
end
left = math.max(0, left + number)
if left == 0 then
    redis.call('DEL', KEYS[1])
    return '0'
end
local text = string.format('%.17g', left)
local halves = 20 + math.max(0, math.log(left) / math.log(2))
local life = math.max(1, math.min(halves * halfLife * 1000, 1e15))
redis.call('SET', KEYS[1], text .. ' ' .. string.format('%.17g', now), 'PX', string.format('%.0f', life))
return text
"""
"""Arguments: what is added, half life, time, and C{anew} to begin at 0.  Answers what it
is now.  The key goes when less than a millionth of it could be left."""

FORGET = "return redis.call('DEL', KEYS[1])"


class _Own:
    """A number that this process counts for itself.

    @ivar isAnew: what the others have counted before is forgotten.
    """

    __slots__ = ("halfLife", "isAnew", "value", "when")

    def __init__(self, when: float, halfLife: float, isAnew: bool = False) -> None:
        self.value = 0.0
        self.when = when
        self.halfLife = halfLife
        self.isAnew = isAnew

    def add(self, number: float, halfLife: float, now: float) -> float:
        """As the script does."""
        now = max(now, self.when)
        self.value = max(0.0, self.value * exp2((self.when - now) / halfLife) + number)
        self.when, self.halfLife = now, halfLife
        return self.value

    def arguments(self) -> list[str]:
        """Of the script, to hand it in."""
        return [repr(self.value), repr(self.halfLife), repr(self.when), "anew" if self.isAnew else ""]


@implementer(ICounters)
class RedisCounters:
    """See L{ICounters} and the module."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self._own: dict[bytes, _Own] = {}
        self._isOpen = False
        client.recoveries.append(self._recover)

    def start(self) -> None:
        """From now on what can't be shared is counted here."""
        self._isOpen = True

    def stop(self) -> None:
        """No more."""
        self._isOpen = False

    def add(self, name: str, key: str, number: float, halfLife: float, now: float) -> Deferred[float]:
        """See L{ICounters.add}."""
        where = self._key(name, key)
        counted = self._client.script(SCRIPT, [where], [repr(float(number)), repr(float(halfLife)), repr(now), ""])
        return counted.addCallbacks(float, self._alone, errbackArgs=(where, number, halfLife, now))

    def forget(self, name: str, key: str) -> Deferred[None]:
        """See L{ICounters.forget}."""
        where = self._key(name, key)
        forgotten = self._client.script(FORGET, [where], [])
        return forgotten.addCallbacks(lambda _: None, self._forgetAlone, errbackArgs=(where,))

    def _key(self, name: str, key: str) -> bytes:
        # What clients send may be no Unicode.
        return self._client.key(f"count:{name}:{key}").encode("utf-8", "surrogatepass")

    # Alone

    def _alone(self, failure: Failure, where: bytes, number: float, halfLife: float, now: float) -> Any:
        if not failure.check(StateError) or not self._isOpen:
            return failure
        own = self._own.get(where)
        if own is None:
            own = self._remember(where, _Own(now, halfLife))
        return own.add(number, halfLife, now)

    def _forgetAlone(self, failure: Failure, where: bytes) -> Any:
        if not failure.check(StateError) or not self._isOpen:
            return failure
        self._remember(where, _Own(0.0, 1.0, True))
        return None

    def _remember(self, where: bytes, own: _Own) -> _Own:
        if where not in self._own and len(self._own) >= OWN:
            del self._own[next(iter(self._own))]
        self._own[where] = own
        return own

    @inlineCallbacks
    def _recover(self, session: Session) -> Any:
        """Hand in what we have counted; what fails is kept for the next time."""
        while self._own:
            some = list(islice(self._own.items(), TOGETHER))
            for where, _ in some:
                del self._own[where]
            asked = [session.script(SCRIPT, [where], own.arguments()) for where, own in some]
            answers = yield DeferredList(asked, consumeErrors=True)
            for (where, own), (isDone, _) in zip(some, answers, strict=True):
                if not isDone:
                    self._own.setdefault(where, own)
            if session.why:
                raise StateError(session.why)
