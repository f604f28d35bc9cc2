"""The rule C{dnsbl}: clients that DNS lists warn of, and those that they vouch for.

It is asked for our own domains too, so it stands behind the rules for our own people.
All lists are asked at once and get a few seconds; what they can't tell is no listing.
Each question is judged by itself, and the answer remembered for a minute.  `dnslist`
sees to lists that are broken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure
from zope.interface import implementer

from umbcmail.check.actions import REPLY_LIMIT
from umbcmail.check.dnslist import DNSList, listedIn, noText
from umbcmail.check.dnslists import SPEC, isAsked, plainText
from umbcmail.clientaddress import clientAddress
from umbcmail.envelope import Client, Recipient
from umbcmail.figure import Figure
from umbcmail.interfaces import IRelayRule, IWatched
from umbcmail.maillog import MailLog
from umbcmail.options import BOOLEAN, Kind, Option, choice, duration, integer, listOf, word
from umbcmail.reply import Reply
from umbcmail.verdict import Verdict, delay, noOpinion, passes, refuse

REMEMBERED = 10_000
"""Clients whose verdict is remembered."""
FRESH = 60.0
"""Seconds that it is; the answers themselves as long as the DNS allows."""
LOOK = 300.0
"""Seconds between two looks at which lists are to be tested."""
TEXT_TIME = 1.0
"""Seconds that are waited for the text of a list."""

_UNLISTED = noOpinion("the client is on no list")
_PRIVATE = noOpinion("no list knows of such an address")


def _text(value: Any) -> str:
    text = word(value)
    if not (text.isascii() and text.isprintable()) or len(text) > 200:
        raise ValueError("printable ASCII of up to 200 characters is needed")
    return text


OPTIONS = (
    Option("lists", listOf(SPEC), [], "Lists of clients to be refused: zone, with answers and a weight."),
    Option("passes", listOf(SPEC), [], "Lists of good clients: who is in one of them is not refused by the others."),
    Option("threshold", integer(1, 10_000), 1, "Sum of the weights of lists that have a client, from which it counts."),
    Option("action", choice("refuse", "delay"), "refuse", "What is done with such a client."),
    Option(
        "text",
        Kind("printable ASCII", _text),
        "Your host %client is listed in %zone",
        "What it is told; %client is its address, %zone the list of the greatest weight.",
    ),
    Option("list-text", BOOLEAN, False, "Add the text that the list has for the client."),
    Option(
        "deadline", duration(0.1, 60), "3s", "How long to wait for all lists; who has not answered then does not count."
    ),
    Option(
        "self-test", duration(60), "1h", "How often to test the lists; one that fails is not asked until it passes."
    ),
)


@implementer(IRelayRule, IWatched)
class DNSBLRule(Service):
    """Asks the lists."""

    name = "dnsbl"
    restricts = True

    def __init__(
        self,
        lists: Sequence[DNSList],
        good: Sequence[DNSList],
        settings: Mapping[str, Any],
        clock: IReactorTime,
        log: MailLog,
    ) -> None:
        """
        @param lists: of clients to be refused.
        @param good: of clients that pass.
        @param settings: of the rule.
        """
        self._lists = tuple(lists)
        self._good = tuple(good)
        self._settings = settings
        self._clock = clock
        self._log = log
        self._known: dict[str, tuple[float, Verdict]] = {}
        self._waiting: dict[str, list[Deferred[Verdict]]] = {}
        self._loop = LoopingCall(self._test)
        self._loop.clock = clock

    # Life

    def startService(self) -> None:
        """Test the lists, now and from time to time."""
        Service.startService(self)
        if not self._loop.running:
            self._loop.start(LOOK)

    def stopService(self) -> None:
        """No more."""
        Service.stopService(self)
        if self._loop.running:
            self._loop.stop()

    def _test(self) -> None:
        for each in self._all():
            if each.isDue(self._settings["self-test"]):
                each.test()

    def _all(self) -> tuple[DNSList, ...]:
        return (*self._lists, *self._good)

    def condition(self) -> str:
        """See L{IWatched.condition}."""
        return "; ".join(text for each in self._all() if (text := each.condition()))

    def figures(self) -> Iterable[Figure]:
        """See L{IWatched.figures}."""
        return [figure for each in self._all() for figure in each.figures()]

    # Clients

    def judge(self, client: Client, sender: str, recipient: Recipient) -> Verdict | Deferred[Verdict]:
        """See L{IRelayRule.judge}; waits unless the client is known."""
        address = clientAddress(client.address)
        known = self._known.get(address)
        if known is not None and 0 < known[0] - self._clock.seconds() <= FRESH:
            return known[1]
        if not isAsked(address):
            return _PRIVATE
        waiter: Deferred[Verdict] = Deferred()
        others = self._waiting.get(address)
        if others is not None:
            others.append(waiter)
            return waiter
        self._waiting[address] = [waiter]
        self._ask(address).addErrback(self._bug).addCallback(self._told, address)
        return waiter

    def _bug(self, failure: Failure) -> Verdict:
        """What can't be told is no listing."""
        self._log.bug("-", "dnsbl", failure)
        return _UNLISTED

    def _told(self, verdict: Verdict, address: str) -> None:
        self._known.pop(address, None)
        if len(self._known) >= REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[address] = (self._clock.seconds() + FRESH, verdict)
        for waiter in self._waiting.pop(address):
            waiter.callback(verdict)

    @inlineCallbacks
    def _ask(self, address: str) -> Any:
        """Judge a client by what the lists say of it now."""
        seconds = self._settings["deadline"]
        asked = [listedIn(lists, address, seconds, self._clock) for lists in (self._lists, self._good)]
        found, good = yield gatherResults(asked)
        if good:
            return passes(f"{address} is listed in {_labels(good)}")
        score = sum(each.spec.weight for each in found)
        why = f"{address} is listed in {_labels(found)}, score {score}"
        if score < self._settings["threshold"]:
            return noOpinion(why) if found else _UNLISTED
        heaviest = max(found, key=lambda each: each.spec.weight)
        text = yield self._text(address, heaviest)
        if self._settings["action"] == "delay":
            return delay(Reply(450, "4.7.1", (text,)), why)
        return refuse(Reply(550, "5.7.1", (text,)), why)

    @inlineCallbacks
    def _text(self, address: str, heaviest: DNSList) -> Any:
        text = self._settings["text"].replace("%client", address).replace("%zone", heaviest.spec.label)
        if self._settings["list-text"]:
            said = yield heaviest.text(address).addTimeout(TEXT_TIME, self._clock).addErrback(noText)
            more = plainText(said[0]) if said else ""
            text = f"{text}; {more}" if more else text
        return text[:REPLY_LIMIT]


def _labels(lists: Iterable[DNSList]) -> str:
    return ", ".join(each.spec.label for each in lists)


def make(settings: Mapping[str, Any], tools: Any) -> DNSBLRule:
    """The rule, as configured; see L{umbcmail.interfaces.IPart.make}."""

    def lists(option: str) -> list[DNSList]:
        return [DNSList(each, tools.resolver, tools.reactor, tools.log) for each in settings[option]]

    return DNSBLRule(lists("lists"), lists("passes"), settings, tools.reactor, tools.log)
