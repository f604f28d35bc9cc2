"""One DNS list: asked about clients, and tested (RFC 5782 section 5).

A list that is shut down, or refuses to answer us, often answers "listed" to
everything, or nothing.  So each must have a test entry and must not have another, at
the start and every hour; one that fails is not asked until it passes again, and the
log and the status say so.  IPv4 and IPv6 are tested apart: many lists know one only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from umbcmail.check.dnslists import LISTED, UNLISTED, DNSListSpec, familyOf, isError, questionOf
from umbcmail.destination import NoAnswer, NoSuchName
from umbcmail.figure import Figure
from umbcmail.interfaces import IResolver
from umbcmail.maillog import MailLog

SOON = 60.0
"""Seconds that are between two tests at the least."""
ODD = 3600.0
"""Seconds for which an odd answer is told of."""


class DNSList:
    """A list, and whether it can be relied on.

    @ivar spec: as configured.
    @ivar complaint: why it is not in use, or C{""}.
    """

    def __init__(self, spec: DNSListSpec, resolver: IResolver, clock: IReactorTime, log: MailLog) -> None:
        self.spec = spec
        self.complaint = ""
        self._resolver = resolver
        self._clock = clock
        self._log = log
        self._works: frozenset[int] = frozenset()
        self._tested: float | None = None
        self._waiting: list[Deferred[None]] | None = None
        self._odd = ""
        self._oddUntil = 0.0
        self._asked = self._listed = self._unanswered = 0

    # Questions

    @inlineCallbacks
    def listed(self, address: str) -> Any:
        """Whether an address is listed; what can't be told is not.

        @return: L{Deferred} of a bool, which never fails.
        """
        if self._tested is None:
            yield self.test()
        if familyOf(address) not in self._works:
            return False
        self._asked += 1
        try:
            answers = yield self._resolver.listing(questionOf(address, self.spec.zone))
        except NoSuchName:
            return False
        except NoAnswer:
            self._unanswered += 1
            return False
        except Exception:
            self._log.bug("-", f"dnsbl {self.spec.label}", Failure())
            return False
        for answer in answers:
            if isError(answer):
                self._note(f"answers {answer} about {address}, which is no listing")
        found = any(map(self.spec.counts, answers))
        self._listed += found
        return found

    def text(self, address: str) -> Deferred[list[str]]:
        """What the list says about an address that it has.  @return: see L{IResolver.texts}."""
        return self._resolver.texts(questionOf(address, self.spec.zone))

    def _note(self, odd: str) -> None:
        """Something is wrong with it: look at once whether it still works."""
        now = self._clock.seconds()
        if now >= self._oddUntil:
            self._oddUntil = now + ODD
            self._odd = odd
            self._log.trouble("-", f"dnsbl {self.spec.label}", odd)
        if self._tested is not None and now - self._tested >= SOON:
            self.test()

    # The test

    def isDue(self, interval: float) -> bool:
        """Whether it is to be tested: it does not work, or works since long ago."""
        return bool(self.complaint) or self._tested is None or self._clock.seconds() - self._tested >= interval

    def test(self) -> Deferred[None]:
        """Test it.  @return: L{Deferred}, which never fails."""
        done: Deferred[None] = Deferred()
        if self._waiting is not None:
            self._waiting.append(done)
            return done
        self._waiting = [done]
        both = gatherResults([self._test(4), self._test(6)], consumeErrors=True)
        both.addCallback(self._judge).addErrback(self._bug).addBoth(self._finish)
        return done

    def _finish(self, _: Any) -> None:
        self._tested = self._clock.seconds()
        waiting, self._waiting = self._waiting or [], None
        for done in waiting:
            done.callback(None)

    def _bug(self, failure: Failure) -> None:
        self._log.bug("-", f"dnsbl {self.spec.label}", failure)
        self._use(frozenset(), "its test can't be made")

    @inlineCallbacks
    def _test(self, family: int) -> Any:
        """@return: L{Deferred} of what is wrong: C{""} nothing, L{None}: it has no
        addresses of this family."""
        wanted = yield self._entry(LISTED[family])
        unwanted = yield self._entry(UNLISTED[family])
        for address, answers in ((LISTED[family], wanted), (UNLISTED[family], unwanted)):
            if answers is None:
                return f"does not answer about {address}"
            for answer in answers:
                if isError(answer):
                    return f"answers {answer} about {address}, which is no listing"
        if unwanted:
            return f"lists {UNLISTED[family]}, and so probably everything"
        return "" if wanted else None

    def _entry(self, address: str) -> Deferred[list[str] | None]:
        found: Deferred[Any] = self._resolver.listing(questionOf(address, self.spec.zone))
        return found.addErrback(_unfound)

    def _judge(self, found: list[str | None]) -> None:
        works = frozenset(family for family, wrong in zip((4, 6), found, strict=True) if wrong == "")
        wrong = "; ".join(dict.fromkeys(text for text in found if text))
        if not works and not wrong:
            wrong = f"does not list {LISTED[4]} as every list must"
        self._use(works, wrong)

    def _use(self, works: frozenset[int], wrong: str) -> None:
        families = " and ".join(f"IPv{family}" for family in sorted(works)) or "nothing"
        complaint = f"{wrong}; it is asked about {families} until its test is passed" if wrong else ""
        if complaint and complaint != self.complaint:
            self._log.trouble("-", f"dnsbl {self.spec.label}", complaint)
        elif not complaint and (self.complaint or works != self._works):
            self._log.event("dnsbl", "-", list=self.spec.label, why=f"passes its test, is asked about {families}")
        self.complaint, self._works = complaint, works

    # How it is

    def condition(self) -> str:
        """What is wrong with it, or C{""}."""
        odd = self._odd if self._clock.seconds() < self._oddUntil else ""
        what = self.complaint or odd
        return f"{self.spec.label} {what}" if what else ""

    def figures(self) -> Iterable[Figure]:
        """See L{umbcmail.interfaces.IWatched.figures}."""
        labels = (("list", self.spec.label),)
        yield Figure("dnsbl_works", float(bool(self._works)), "The list has passed its test.", labels)
        yield Figure("dnsbl_asked_total", self._asked, "Questions to the list about clients.", labels, True)
        yield Figure("dnsbl_listed_total", self._listed, "Clients that the list has.", labels, True)
        yield Figure("dnsbl_unanswered_total", self._unanswered, "Questions without an answer.", labels, True)


def _unfound(failure: Failure) -> Any:
    """Not there is an empty list, don't know is L{None}."""
    return [] if failure.trap(NoSuchName, NoAnswer) is NoSuchName else None


def noText(_: Any) -> list[str]:
    """In place of texts that can't be got."""
    return []


def listedIn(lists: Iterable[DNSList], address: str, seconds: float, clock: Any) -> Deferred[list[DNSList]]:
    """Ask all lists at once.

    @param seconds: after which those that have not answered don't count.
    @return: L{Deferred} of those that have the address, in their order; never fails.
    """
    lists = list(lists)
    found: dict[int, bool] = {}
    if not lists:
        return succeed([])
    done: Deferred[list[DNSList]] = Deferred()

    def finish() -> None:
        done.callback([each for number, each in enumerate(lists) if found.get(number)])

    timer = clock.callLater(seconds, finish)

    def note(listed: bool, number: int) -> None:
        found[number] = listed
        if len(found) == len(lists) and timer.active():
            timer.cancel()
            finish()

    for number, each in enumerate(lists):
        each.listed(address).addCallback(note, number)
    return done
