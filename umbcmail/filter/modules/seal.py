"""The module C{seal}: what one host of ours has found clean is not examined again by the
next, and nobody else can say so.

A message leaves with a seal, see `sealtext`.  A seal that comes with a message is believed
when it is from a host of ours, made with a secret that we have, not old, and for this very
content; all others are removed.
"""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.task import LoopingCall
from zope.interface import implementer

from umbcmail.clientaddress import AddressSet, ruleOf
from umbcmail.examination import Examined, Vouched
from umbcmail.figure import Figure
from umbcmail.filter.modules import secret
from umbcmail.filter.modules.sealtext import NAME, Seal, digestOf, proofOf, readSeal
from umbcmail.filter.modules.secret import Secret
from umbcmail.interfaces import ISeal, IWatched
from umbcmail.maillog import MailLog
from umbcmail.options import NETWORK, PATH, Option, duration, listOf

POLL = 60.0
"""Seconds between two looks at the files."""

OPTIONS = (
    Option("secret", PATH, None, "File with the secret that all mail hosts share, with mode 0600."),
    Option("old-secret", PATH, None, "File with the one before: seals that are made with it are good too."),
    Option("networks", listOf(NETWORK), [], "Mail hosts of ours: seals count in what comes from them, and only there."),
    Option("lifetime", duration(1, 7 * 86400), "1h", "How long a seal is good."),
    Option("skew", duration(0, 3600), "2m", "How far the clocks of mail hosts may be apart."),
)

RESULTS = ("made", "good", "foreign", "malformed", "unknown secret", "old", "early", "wrong")
"""What has become of seals: C{early}: made in the future; C{wrong}: not for this content."""


@implementer(ISeal, IWatched)
class Sealer(Service):
    """The module."""

    claims = (NAME.lower().encode(),)

    def __init__(
        self,
        settings: Mapping[str, Any],
        hostName: str,
        reactor: Any,
        log: MailLog,
        inThread: Callable[..., Deferred[Any]],
    ) -> None:
        """
        @param settings: of the module, and its C{name}.
        @raise ValueError: there is no secret that can be used.
        """
        self.name: str = f"module {settings['name']}"
        self._settings = settings
        self._hosts = AddressSet(map(ruleOf, settings["networks"]))
        self._hostName = hostName
        self._reactor = reactor
        self._log = log
        self._inThread = inThread
        self._counts: Counter[str] = Counter()
        self._trouble = ""
        if settings["secret"] is None:
            raise ValueError("secret must be set")
        self._secrets = self._read()
        self._loop = LoopingCall(self._look)
        self._loop.clock = reactor

    # Secrets

    def _read(self) -> list[Secret]:
        """The new one, and the old one, if there is one.  Blocks.

        @raise ValueError: one can't be used.
        @raise OSError: one can't be read.
        """
        found = [secret.read(self._settings["secret"])]
        if self._settings["old-secret"] is not None:
            try:
                found.append(secret.read(self._settings["old-secret"]))
            except FileNotFoundError:
                pass  # none has been replaced yet
        return found

    def startService(self) -> None:
        """Watch the files."""
        Service.startService(self)
        if not self._loop.running:
            self._loop.start(POLL, now=False)

    def stopService(self) -> None:
        """No more."""
        Service.stopService(self)
        if self._loop.running:
            self._loop.stop()

    @inlineCallbacks
    def _look(self) -> Any:
        try:
            found = yield self._inThread(self._read)
        except (OSError, ValueError) as why:
            if str(why) != self._trouble:
                self._log.trouble("-", self.name, str(why))
            self._trouble = str(why)
            return
        self._trouble = ""
        if [each.name for each in found] != [each.name for each in self._secrets]:
            self._log.event("seal-secrets", "-", names=",".join(each.name for each in found))
        self._secrets = found

    # Messages

    @inlineCallbacks
    def look(self, examined: Examined) -> Any:
        """See L{ISeal.look}."""
        values = [value for name, value in examined.fields if name.strip().lower() == self.claims[0]]
        if not values:
            return None
        seal, result = self._candidate(values, examined)
        if seal is not None:
            digest = yield digestOf(examined, examined.fields)
            made = next((each for each in self._secrets if each.name == seal.key), None)
            isGood = made is not None and hmac.compare_digest(proofOf(made, seal.claim, digest), seal.proof)
            result = "good" if isGood else "wrong"
        self._counts[result] += 1
        if seal is None or result != "good":
            self._log.event("seal-refused", examined.id, client=examined.client.address, why=result)
            return None
        return Vouched(seal.clean, float(seal.made))

    def _candidate(self, values: Sequence[bytes], examined: Examined) -> tuple[Seal | None, str]:
        """A seal that is good, if it is for this content; else what is wrong with it."""
        address = examined.client.address
        if not address or not self._hosts.holds(address):
            return None, "foreign"
        seal = readSeal(values[0]) if len(values) == 1 else None
        if seal is None:
            return None, "malformed"
        if all(each.name != seal.key for each in self._secrets):
            return None, "unknown secret"
        age = self._reactor.seconds() - seal.made
        if age > self._settings["lifetime"]:
            return None, "old"
        if age < -self._settings["skew"]:
            return None, "early"
        return seal, ""

    @inlineCallbacks
    def make(self, examined: Examined, fields: Sequence[tuple[bytes, bytes]], vouched: Vouched) -> Any:
        """See L{ISeal.make}."""
        newest = self._secrets[0]
        claimed = Seal(newest.name, int(vouched.since), examined.id, self._hostName, vouched.clean)
        digest = yield digestOf(examined, fields)
        proof = proofOf(newest, claimed.claim, digest)
        self._counts["made"] += 1
        sealed = Seal(claimed.key, claimed.made, claimed.id, claimed.host, claimed.clean, proof)
        return NAME, sealed.text

    # How it is

    def condition(self) -> str:
        """See L{IWatched.condition}."""
        return f"{self._trouble}; the secrets that were read before are in use" if self._trouble else ""

    def figures(self) -> Iterable[Figure]:
        """See L{IWatched.figures}."""
        for result in RESULTS:
            labels = (("module", self._settings["name"]), ("result", result))
            yield Figure("seals_total", self._counts[result], "Seals, by what has become of them.", labels, True)


def make(settings: Mapping[str, Any], tools: Any) -> Sealer:
    """The module; see L{umbcmail.interfaces.IPart.make}."""
    return Sealer(settings, tools.hostName, tools.reactor, tools.log, tools.inThread)
