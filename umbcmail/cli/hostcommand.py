"""What an operator can ask of the next hops that do not answer, and order about them:
done with the state, printed, and written down in the mail log.

Called by `hostparser`.  Knows of L{IHosts} and nothing of what is behind it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TextIO

from twisted.internet.defer import inlineCallbacks

from umbcmail.cli.audit import Audit
from umbcmail.cli.command import NOTHING, Command, Refusal, withStore
from umbcmail.cli.hostlisting import detailsOf, hostCount, hostsOf, recordOf
from umbcmail.config import Config, ConfigError
from umbcmail.hoststatus import HostStatus
from umbcmail.interfaces import IHosts, ISpool, IState
from umbcmail.selection import Selection
from umbcmail.sighting import StateError

LOOKED_AT = 1000
"""Entries that are looked at for the hosts that they wait for."""


def matching(host: str, known: Iterable[HostStatus]) -> list[HostStatus]:
    """Those that an operator may mean: the one of this name, else all whose name
    it is the beginning of, up to the address or the port."""
    found = list(known)
    exact = [each for each in found if each.host == host]
    return exact or [each for each in found if each.host.startswith((f"{host.lower()}[", f"{host.lower()}:"))]


def isWhole(host: str) -> bool:
    """Whether it is written as the log writes hosts, so that it need not be known."""
    name, bracket, rest = host.partition("[")
    address, end, port = rest.partition("]:")
    return host.startswith("unix:/") or bool(name and bracket and address and end and port.isdecimal())


class HostCommand(Command):
    """What can be asked.  Each method returns a L{Deferred} that fires when it is done
    and printed; it fails with L{Refusal} or C{StateError}.

    @param hosts: of a state that is started.
    @param audit: gets a line for each change.  The others are those of L{Command}.
    """

    def __init__(
        self,
        hosts: IHosts,
        audit: Audit,
        out: TextIO,
        now: Callable[[], float],
        asJSON: bool = False,
        note: Callable[[str], object] = lambda text: None,
    ) -> None:
        Command.__init__(self, out, now, asJSON, note)
        self._hosts = hosts
        self._audit = audit

    @inlineCallbacks
    def list(self, down: bool, suspended: bool) -> Any:
        """Print the hosts that something is wrong with.

        @param down: those that do not answer.
        @param suspended: those that an operator has suspended.
        """
        found: list[HostStatus] = yield self._hosts.listing(self._now())
        shown = [each for each in found if (down and each.failures) or (suspended and each.suspended)]
        if self._asJSON:
            self._print(json.dumps(recordOf(each)) for each in shown)
        else:
            self._print(hostsOf(shown, self._now()))

    @inlineCallbacks
    def show(self, host: str) -> Any:
        """Print all about a host."""
        for number, each in enumerate((yield self._meant([host]))):
            if self._asJSON:
                self._print([json.dumps(recordOf(each))])
            else:
                self._print([*([""] if number else []), *detailsOf(each, self._now())])

    @inlineCallbacks
    def suspend(self, hosts: Sequence[str], reason: str) -> Any:
        """Let no attempt be made at some hosts."""
        names = [host for host in hosts if isWhole(host)]
        others = [host for host in hosts if host not in names]
        names += [each.host for each in (yield self._meant(others))]
        for name in dict.fromkeys(names):
            yield self._hosts.suspend(name, reason, self._now())
            self._audit.wrote("hosts suspend", host=name, reason=reason)
        self._done(len(set(names)), "suspended")

    @inlineCallbacks
    def resume(self, hosts: Sequence[str]) -> Any:
        """Forget what is known of some hosts, so that they are tried again."""
        names = [each.host for each in (yield self._meant(hosts))]
        for name in dict.fromkeys(names):
            yield self._hosts.resume(name)
            self._audit.wrote("hosts resume", host=name)
        self._done(len(set(names)), "resumed")

    def _done(self, number: int, what: str) -> None:
        self._print([json.dumps({what: number}) if self._asJSON else hostCount(number, f" {what}")])

    @inlineCallbacks
    def _meant(self, hosts: Sequence[str]) -> Any:
        """What is known of the hosts that are meant.

        @return: L{Deferred} of a list of L{HostStatus}; fails with L{Refusal} when
            there is nothing known of one of them, all of them named.
        """
        known = yield self._hosts.listing(self._now())
        found = [(host, matching(host, known)) for host in hosts]
        missing = [host for host, those in found if not those]
        if missing:
            hint = "; a host is written as in the log, name[address]:port, or by its name if something is wrong with it"
            raise Refusal(NOTHING, *[f"nothing is known of {host}{hint}" for host in missing])
        return [each for _, those in found for each in those]


@inlineCallbacks
def resumeHosts(config: Config, reactor: Any, tools: Any, audit: Audit, spool: ISpool, selection: Selection) -> Any:
    """Some entries are going to be tried now: so are the hosts that they wait for and
    that do not answer.  What an operator has suspended stays so.

    @param tools: L{umbcmail.cli.Tools}.
    @return: L{Deferred}; does not fail when the state can't be asked, that is said.
    """
    entries = yield spool.listing(selection, LOOKED_AT)
    waitsFor = {d.outcome.host for entry in entries for d in entry.deliveries if d.outcome is not None}

    @inlineCallbacks
    def resumed(state: IState) -> Any:
        for each in (yield state.hosts.listing(tools.now())):
            if each.host in waitsFor and not each.suspended:
                yield state.hosts.resume(each.host)
                audit.wrote("hosts resume", host=each.host)

    try:
        yield withStore("state", StateError, lambda: tools.openState(config, reactor), resumed)
    except (Refusal, ConfigError) as why:
        tools.note(f"hosts that do not answer are tried when it is time: {why}")
