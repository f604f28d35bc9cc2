"""The options of C{twistd umbcmail run}, and the service that they ask for.

What an operator got wrong is told on standard error, a line for each mistake, and
ends the program with status 78 (EX_CONFIG of sysexits.h) before anything opens.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

from twisted.application.service import IService
from twisted.cred.strcred import AuthOptionMixin
from twisted.internet.error import ReactorNotRunning
from twisted.python import usage

from umbcmail import hostoptions
from umbcmail.config import Config, ConfigError, Problem, load
from umbcmail.succession import Sockets, supervise

EX_CONFIG = 78
ALONE = {"lda": "runs as root", "postman": "has a key of Kerberos"}
"""The roles that run in processes of their own, where nothing else is loaded: what the
others need is imported where they are asked for."""


class RunOptions(usage.Options, AuthOptionMixin):
    """C{run}: start the mail system."""

    optParameters = [
        ["config", "c", None, "Configuration file (TOML); conf.d/*.toml beside it go over it."],
    ]
    optFlags = [["check", None, "Check the configuration, print what is in effect and from where, and end."]]

    def __init__(self) -> None:
        usage.Options.__init__(self)
        self["set"] = []
        self["role"] = []
        self["auth"] = []
        self["resolver"] = []

    def opt_set(self, setting: str) -> None:
        """section.key=value: goes over all files; may be repeated."""
        self["set"].append(setting)

    opt_s = opt_set

    def opt_host(self, name: str) -> None:
        """Name of this host; short for --set host.name=NAME."""
        self._short("host", name)

    def opt_delivery_address(self, address: str) -> None:
        """Address that the delivery agent listens at; short for --set agent.delivery.address=ADDRESS."""
        self._short("delivery-address", address)

    def opt_relay_address(self, address: str) -> None:
        """Address that the relay agent listens at; short for --set agent.relay.address=ADDRESS."""
        self._short("relay-address", address)

    def opt_spool(self, place: str) -> None:
        """Folder or URL of the spool; short for --set spool.url=URL."""
        self._short("spool", place)

    def opt_state(self, place: str) -> None:
        """Folder or URL of the state; short for --set state.url=URL."""
        self._short("state", place)

    def _short(self, option: str, value: str) -> None:
        try:
            self["set"].append(hostoptions.setting(option, value))
        except ValueError as why:
            raise usage.UsageError(str(why)) from None

    def opt_resolver(self, server: str) -> None:
        """Name server to ask, ADDRESS or ADDRESS:PORT, in place of dns.servers; may be repeated."""
        from umbcmail.route.resolver import nameServer

        try:
            nameServer(server)
        except ValueError as why:
            raise usage.UsageError(f"--resolver {server}: {why}") from None
        self["resolver"].append(server)

    def opt_role(self, role: str) -> None:
        """What this process does; may be repeated; by default all but lda and postman."""
        if role not in ALONE:
            from umbcmail.service import ROLES

            if role not in ROLES:
                raise usage.UsageError(f"no role {role}; there are: {', '.join((*ROLES, *ALONE))}")
        self["role"].append(role)

    def postOptions(self) -> None:
        """Some roles stand alone."""
        for role, why in ALONE.items():
            if role in self["role"] and len(set(self["role"])) > 1:
                raise usage.UsageError(f"the role {role} {why}, in a process of its own, without other roles")

    def opt_auth(self, description: str) -> None:
        """Who knows the passwords of clients, beside auth.checkers; may be repeated."""
        from umbcmail.accept.auth.kinds import findFactory

        try:
            findFactory(description.partition(":")[0])
        except ValueError as why:
            raise usage.UsageError(str(why)) from None
        self["auth"].append(description)

    def opt_help_auth(self) -> None:
        """Show what --auth takes, and end."""
        from umbcmail.accept.auth.kinds import allFactories

        for factory in allFactories():
            sys.stdout.write(f"--auth {factory.authType}:ARGUMENT  {factory.argStringFormat}\n")
        raise SystemExit(0)

    def opt_help_auth_type(self, authType: str) -> None:
        """Show more about one kind, and end."""
        from umbcmail.accept.auth.kinds import findFactory

        try:
            factory = findFactory(authType)
        except ValueError as why:
            raise usage.UsageError(str(why)) from None
        sys.stdout.write(f"--auth {authType}:ARGUMENT  {factory.argStringFormat}\n{factory.authHelp.strip()}\n")
        raise SystemExit(0)


class Options(usage.Options):
    """C{twistd umbcmail}."""

    subCommands = [["run", None, RunOptions, "Start the mail system."]]

    def postOptions(self) -> None:
        """A command must be there."""
        if self.subCommand is None:
            raise usage.UsageError("say: umbcmail run --config FILE")


def readConfig(options: Any) -> Config:
    """The configuration that the options name.

    @raise ConfigError: with all that is wrong.
    """
    from umbcmail.sections import sections

    servers = [f"dns.servers={json.dumps(options['resolver'])}"] if options["resolver"] else []
    return load(sections(), options["config"], [*options["set"], *servers])


def _allProblems(error: ConfigError, reactor: Any, roles: tuple[str, ...], checkers: list[str]) -> list[Problem]:
    """Also those that only the composition sees, when the files have mistakes of
    their own: an operator wants to hear of all of them at once."""
    from umbcmail.service import makeApplication

    problems = error.problems
    if error.config is not None:
        known = {problem.key for problem in problems}
        try:
            makeApplication(error.config, reactor, roles, checkers)
        except ConfigError as more:
            problems = problems + [problem for problem in more.problems if problem.key not in known]
        except Exception:
            # Half a configuration need not fit together; what is known is told.
            pass
    return problems


def makeService(options: Any) -> IService:
    """What C{twistd} runs.

    @raise SystemExit: the configuration is wrong, or was only to be checked.
    """
    from twisted.internet import reactor

    run = options.subOptions
    # Two that keep a ticket would be in each other's way.
    sockets = None if "postman" in run["role"] else Sockets(reactor, os.environ)
    try:
        service: Any = (_alone if ALONE.keys() & run["role"] else _together)(run, reactor)
    except ConfigError as error:
        for problem in error.problems:
            sys.stderr.write(f"umbcmail: {problem}\n")
        raise SystemExit(EX_CONFIG) from None
    reactor.callWhenRunning(_endInGoodOrder, reactor)
    reactor.callWhenRunning(supervise(service, reactor, service.log, sockets))
    found: IService = service
    return found


def _together(run: Any, reactor: Any) -> IService:
    """The program for all roles but those that stand alone.

    @raise ConfigError: with all that is wrong.
    @raise SystemExit: the configuration was only to be checked.
    """
    from umbcmail.service import ROLES, makeApplication
    from umbcmail.steadytime import SteadyTime

    roles = tuple(run["role"]) or ROLES
    try:
        config = readConfig(run)
        application = makeApplication(config, reactor, roles, run["auth"], SteadyTime(reactor))
    except ConfigError as error:
        raise ConfigError(_allProblems(error, reactor, roles, run["auth"])) from None
    _shown(run, config)
    return application


def _alone(run: Any, reactor: Any) -> IService:
    """The program for a role that stands alone; see L{_together}."""
    from umbcmail.alone import makeAlone, readAlone
    from umbcmail.steadytime import FollowedTime

    role = run["role"][0]
    config = readAlone(role, run["config"], run["set"])
    alone = makeAlone(role, config, reactor, FollowedTime(reactor))
    _shown(run, config)
    return alone


def _shown(run: Any, config: Config) -> None:
    """Show what is in effect, where only that was asked for.  @raise SystemExit: it was."""
    if run["check"]:
        sys.stdout.write(config.show())
        raise SystemExit(0)


def _endInGoodOrder(reactor: Any) -> None:
    """SIGTERM is how an operator ends the program: with status 0 when it is done,
    where C{twistd} itself would end by the signal as if something were wrong."""

    def stop() -> None:
        try:
            reactor.stop()
        except ReactorNotRunning:
            pass  # a second signal

    signal.signal(signal.SIGTERM, lambda number, frame: reactor.callFromThread(stop))
