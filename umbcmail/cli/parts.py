"""The parts of a configuration that commands may ask, as the program has them: nothing
opens, and nothing is written into the mail log.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from umbcmail.addresses import Addresses, makeClasses
from umbcmail.config import Config, ConfigError
from umbcmail.findings import Findings
from umbcmail.maillog import MailLog
from umbcmail.route.resolver import makeResolver
from umbcmail.storage import inThread, visitState
from umbcmail.ways import makeCouriers, makeRouter


class Parts:
    """See the module.

    @ivar config: the configuration.
    @ivar findings: what is wrong with it, so far.
    @ivar log: for the parts.
    @ivar state: not started yet.
    @ivar resolver: asks the DNS.
    @ivar tools: L{umbcmail.service.Tools}.
    @ivar classes: of domains.
    @ivar couriers: by name.
    @ivar router: finds routes.
    """

    def __init__(self, config: Config, reactor: Any, note: Callable[[str], object], resolver: Any = None) -> None:
        """
        @param note: told what goes wrong.
        @param resolver: in place of that of the configuration.
        """
        from umbcmail.service import Tools

        self.config = config
        self.findings = Findings(config)
        self.log = _Quiet(note, reactor)
        self.state = self.findings.checked("state.url", lambda: visitState(config, reactor, self.log))
        self.resolver = resolver or makeResolver(reactor, config.section("dns"))
        hostName = config.section("host")["name"] or socket.getfqdn()
        self.tools = Tools(reactor, self.log, self.resolver, inThread(reactor), hostName, None, self.state)
        self.classes = makeClasses(config)
        self.couriers = makeCouriers(self.findings, self.tools)
        self.router = makeRouter(self.findings, self.tools, self.classes, self.couriers)

    def addresses(self) -> Addresses:
        """What addresses stand for; reads the files now."""
        return Addresses(self.findings, self.tools, self.classes)

    def check(self) -> None:
        """@raise ConfigError: with all that is wrong."""
        if self.findings.problems:
            raise ConfigError(self.findings.problems)


class _Quiet(MailLog):
    """Only what went wrong is told, and not into the mail log."""

    def __init__(self, note: Callable[[str], object], clock: Any) -> None:
        MailLog.__init__(self, lambda data: None, clock)
        self._note = note

    def event(self, what: str, id: str, /, **values: Any) -> None:
        """See L{MailLog.event}."""
        if what in ("bug", "trouble"):
            self._note(f"{what}: {values.get('where', '')}: {values.get('why', '')}")
