"""Keeps us registered with rpcbind, so that clients find our port.

Looked after from time to time: rpcbind may have been restarted and have forgotten us, or
somebody else may have registered.  Without rpcbind all else works, for clients that
know the port.  Started and stopped by L{umbcmail.drac.server}.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.task import LoopingCall

from umbcmail.drac import rpcbind
from umbcmail.drac.asking import AskError, Asking, PortAsking, visitByPort, visitBySocket, visitForIndirect
from umbcmail.drac.program import NULL, PROGRAM, VERSIONS
from umbcmail.drac.rpcbind import Mapping, universal
from umbcmail.maillog import MailLog

_INDIRECT = "rpcbind hands on calls of others (rpcbind -r), so no adds by UDP are taken from this host itself"


def mappingsOf(places: Iterable[tuple[str, str, int]]) -> list[Mapping]:
    """What is to be registered.

    @param places: transport (C{udp}, C{tcp}), address and port of each socket.
    @return: one for each version and netid; where there are several addresses it
        says any address, which rpcbind makes that by which a client has asked.
    """
    found: dict[str, list[tuple[str, int]]] = {}
    for transport, host, port in places:
        found.setdefault(transport + ("6" if ":" in host else ""), []).append((host, port))
    mappings = []
    for netid, all in found.items():
        host, port = all[0]
        if len(all) > 1:
            host = "::" if netid.endswith("6") else "0.0.0.0"
        mappings += [Mapping(PROGRAM, version, netid, universal(host, port)) for version in VERSIONS]
    return mappings


class Registration:
    """The look after it.

    @ivar condition: what is wrong, or C{""}.
    """

    def __init__(
        self,
        places: Iterable[tuple[str, str, int]],
        reactor: Any,
        log: MailLog,
        indirect: Callable[[bool], None],
        interval: float = 60.0,
        bySocket: Callable[[Any], Deferred[Asking]] = visitBySocket,
        byPort: Callable[[Any], PortAsking] = visitByPort,
        forIndirect: Callable[[Any], PortAsking] = visitForIndirect,
    ) -> None:
        """
        @param places: see L{mappingsOf}.
        @param indirect: is told whether rpcbind hands on calls of others.
        @param interval: seconds between two looks.
        """
        self.condition = ""
        self._wanted = mappingsOf(places)
        self._reactor = reactor
        self._log = log
        self._indirect = indirect
        self._bySocket = bySocket
        self._byPort = byPort
        self._forIndirect = forIndirect
        self._interval = interval
        self._netids: list[str] = []  # of those by which we are found; none: there is no rpcbind
        self._isIndirect = False
        self._told: str | None = None
        self._probe: PortAsking | None = None
        self._looking: Deferred[Any] | None = None
        self._loop = LoopingCall(self.look)
        self._loop.clock = reactor

    def start(self) -> None:
        """Register now, and look after it."""
        self._loop.start(self._interval)

    def look(self) -> Deferred[Any]:
        """Look once; never fails."""
        self._looking = self._look().addErrback(lambda failure: self._log.bug("-", "rpcbind", failure))
        return self._looking

    @inlineCallbacks
    def _look(self) -> Any:
        problem = yield self._visit(self._register)
        self._tell(problem)
        isIndirect = bool(self._netids) and (yield self._handsOn())
        self._isIndirect = isIndirect
        self._indirect(isIndirect)
        self._tell(problem)

    def _tell(self, problem: str) -> None:
        """Once, not at each look."""
        problem = "; ".join(filter(None, (problem, _INDIRECT if self._isIndirect else "")))
        self.condition = problem
        if problem != self._told:
            self._told = problem
            if problem:
                self._log.trouble("-", "rpcbind", problem)
            else:
                self._log.event("drac-registered", "-", netids=",".join(self._netids))

    @inlineCallbacks
    def _visit(self, errand: Callable[[Asking], Any]) -> Any:
        """By the socket, or else by UDP.  @return: what is wrong, or C{""}."""
        why = ""
        self._netids = []
        for visit in (self._bySocket, self._byPort):
            asking = None
            try:
                asking = yield visit(self._reactor)
                problem = yield errand(asking)
                self._netids = sorted({mapping.netid for mapping in self._wantedBy(asking)})
                return problem
            except AskError as error:
                why = why or str(error)
            finally:
                if asking is not None:
                    asking.end()
        return f"rpcbind does not answer ({why}), so clients find us only when they know the port"

    def _wantedBy(self, asking: Asking) -> Sequence[Mapping]:
        return [m for m in self._wanted if m.netid in ("udp", "tcp")] if asking.isByPort else self._wanted

    @inlineCallbacks
    def _register(self, asking: Asking) -> Any:
        for attempt in (1, 2):
            there = yield asking.listing()
            ours = [each for each in there if each.program == PROGRAM]
            wanted = self._wantedBy(asking)
            missing = [m for m in wanted if not _isThere(m, ours, asking.isByPort)]
            stale = [m for m in ours if not _isThere(m, wanted, asking.isByPort)]
            if asking.isByPort:
                stale = [m for m in stale if m.netid in ("udp", "tcp")]
            if not missing and not stale:
                return ""
            if attempt == 2:
                left = ", ".join(sorted({f"{m.netid} {m.address} of {m.owner}" for m in stale})) or "nothing"
                return f"rpcbind has not taken our port, it has {left} (as root: rpcinfo -d {PROGRAM} 1, and 2)"
            for mapping in stale:
                yield asking.unset(mapping)
            if asking.isByPort and stale:
                missing = list(wanted)  # of a version, all are gone
            for mapping in missing:
                yield asking.set(mapping)
        return ""

    @inlineCallbacks
    def _unregister(self, asking: Asking) -> Any:
        there = yield asking.listing()
        for mapping in there:
            if _isThere(mapping, self._wanted, asking.isByPort):
                yield asking.unset(mapping)
        return ""

    @inlineCallbacks
    def _handsOn(self) -> Any:
        """Have it hand on a call that does nothing: when an answer comes it would hand
        on any, which would then come from this host."""
        if not any(mapping.netid == "udp" for mapping in self._wanted):
            return False
        asking = self._probe = self._forIndirect(self._reactor)
        try:
            yield asking.ask(rpcbind.CALLIT, rpcbind.encodeIndirect(PROGRAM, VERSIONS[0], NULL))
            return True
        except AskError:
            return False
        finally:
            self._probe = None
            asking.end()

    @inlineCallbacks
    def stop(self) -> Any:
        """Be found no more.  @return: L{Deferred}, which never fails."""
        if self._loop.running:
            self._loop.stop()
        if self._probe is not None:
            self._probe.failed("the server ends")  # it takes some seconds where all is well
        if self._looking is not None:
            yield self._looking
        try:
            yield self._visit(self._unregister)
        except Exception as why:
            self._log.trouble("-", "rpcbind", f"can't unregister: {why}")


def _isThere(mapping: Mapping, among: Iterable[Mapping], byPort: bool) -> bool:
    """Whether one of them says the same."""
    return any(
        each.program == mapping.program
        and each.version == mapping.version
        and each.netid == mapping.netid
        and (each.port == mapping.port if byPort else each.address == mapping.address)
        for each in among
    )
