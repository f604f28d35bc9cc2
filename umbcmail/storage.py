"""Opens the spool and the state that the configuration names: for the program, and
for a visit by the operator's tool.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool

from umbcmail.config import Config, ConfigError
from umbcmail.findings import Findings
from umbcmail.identity import digits
from umbcmail.interfaces import ISpool, IState
from umbcmail.maillog import MailLog
from umbcmail.options import PATH, TEXT, WORD, Option, Section, duration, integer, size

SPOOL = Section(
    "spool",
    "Where messages are kept that can't be delivered at once.",
    (
        Option("url", TEXT, "sqlite:/var/spool/umbcmail", "sqlite:/FOLDER, or memory: for experiments."),
        Option(
            "reserve", size(), "64MiB", "Room on the disk that is kept free: with less left no mail is taken (452)."
        ),
        Option("reserve-inodes", integer(0), 1000, "Inodes that are kept free likewise."),
    ),
)


def inThread(reactor: Any) -> Callable[..., Deferred[Any]]:
    """What runs functions in the reactor's threads."""
    return partial(deferToThreadPool, reactor, reactor.getThreadPool())


def openSpool(config: Config, reactor: Any, log: MailLog | None = None) -> ISpool:
    """The spool of a configuration, not started yet.

    @raise ConfigError: its url makes no sense.
    """
    settings = config.section("spool")
    url = settings["url"]
    scheme, _, folder = url.partition(":")
    owner = f"{socket.gethostname()}.{os.getpid()}.{digits(secrets.randbits(40), 8)}"
    if scheme == "sqlite" and folder.startswith("/"):
        from umbcmail.queue.spool.sqlite import SqliteSpool

        kept = settings["reserve"], settings["reserve-inodes"]
        return SqliteSpool(folder, reactor, owner, 600.0, inThread(reactor), log, *kept)
    if scheme == "memory":
        from umbcmail.queue.spool.memory import MemorySpool

        return MemorySpool(owner)
    raise ConfigError([config.problem("spool.url", "must be sqlite:/FOLDER or memory:", value=url)])


def visitSpool(config: Config, reactor: Any) -> ISpool:
    """The same for the tool: it must be there already, and root becomes the user
    that it belongs to, so that no file in it comes to belong to root.

    @raise ConfigError: there is none, or it can't be reached.
    """
    spool = openSpool(config, reactor)
    url = config.section("spool")["url"]
    scheme, _, folder = url.partition(":")
    if scheme == "memory":
        raise ConfigError([config.problem("spool.url", "is in the memory of another process", value=url)])
    try:
        status = os.stat(folder)
    except OSError as why:
        raise ConfigError([config.problem("spool.url", f"no spool: {why.strerror}", value=url)]) from None
    _become(status)
    return spool


def _become(owner: os.stat_result) -> None:
    """Root becomes the user that something belongs to."""
    if os.geteuid() == 0 and owner.st_uid:
        os.setgroups([])
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)


STATE = Section(
    "state",
    "What processes and hosts share: the roster of POP-before-SMTP, counts of failed log-ins.",
    (
        Option(
            "url",
            TEXT,
            "sqlite:/var/lib/umbcmail/state",
            "sqlite:/FOLDER, redis://HOST:PORT, redis+sentinel://HOST:PORT/SERVICE, or memory: for experiments.",
        ),
        Option(
            "prefix", WORD, "umbcmail:", "What all keys in Redis begin with: the same on hosts that share the state."
        ),
        Option("password-file", PATH, None, "File with the password of Redis, which nobody else may read (mode 600)."),
        Option("ca-file", PATH, None, "PEM file with the authorities for rediss://; not set: those of the system."),
        Option("timeout", duration(0.1, 30), "3s", "Time that Redis may be silent; then it counts as away."),
    ),
)


HOSTS = Section(
    "hosts",
    "Next hops that do not answer.",
    (
        Option("first-look", duration(0.1), "1m", "Time after which somebody looks whether such a host answers."),
        Option("longest-look", duration(0.1), "15m", "Time between two looks that it grows to, by doubling."),
    ),
)


def openState(config: Config, reactor: Any, log: MailLog | None = None) -> IState:
    """The state of a configuration, not started yet.

    @raise ConfigError: its url makes no sense.
    """
    url = config.section("state")["url"]
    scheme, _, place = url.partition(":")
    if scheme == "sqlite" and place.startswith("/"):
        from umbcmail.state.sqlite import SqliteState

        return SqliteState(place, reactor, log)
    if scheme.startswith("redis"):
        return _openRedis(config, reactor, log)
    if scheme == "memory":
        from umbcmail.state.memory import MemoryState

        return MemoryState()
    raise ConfigError([config.problem("state.url", "must be sqlite:/FOLDER, redis://HOST:PORT or memory:", value=url)])


def _openRedis(config: Config, reactor: Any, log: MailLog | None) -> IState:
    """@raise ConfigError: with all that is wrong."""
    from umbcmail.state.redis import RedisState, authorities, secret
    from umbcmail.state.redisclient import RedisClient
    from umbcmail.state.redisplace import placeOf
    from umbcmail.state.redissession import Dialler

    settings = config.section("state")
    findings = Findings(config)
    place = findings.checked("state.url", partial(placeOf, settings["url"]))
    passwordFile, caFile, timeout = settings["password-file"], settings["ca-file"], settings["timeout"]
    password = findings.checked("state.password-file", partial(secret, passwordFile)) if passwordFile else None
    trust = findings.checked("state.ca-file", partial(authorities, caFile)) if caFile else None
    if findings.problems:
        raise ConfigError(findings.problems)
    dialler = Dialler(place, password, trust, timeout, reactor)
    return RedisState(RedisClient(dialler, settings["prefix"], place.db, timeout, reactor, log), reactor)


def visitState(config: Config, reactor: Any, log: MailLog | None = None) -> IState:
    """The same for the tool.  What is in the memory of another process, or not there
    yet, is an empty L{MemoryState<umbcmail.state.memory.MemoryState>}; nothing is made,
    and root becomes the user that it belongs to.

    @raise ConfigError: its url makes no sense, or it can't be reached.
    """
    from umbcmail.state.memory import MemoryState

    state = openState(config, reactor, log)
    url = config.section("state")["url"]
    scheme, _, place = url.partition(":")
    if scheme != "sqlite":
        return state
    try:
        status = os.stat(place)
    except FileNotFoundError:
        return MemoryState()
    except OSError as why:
        raise ConfigError([config.problem("state.url", f"can't be reached: {why.strerror}", value=url)]) from None
    _become(status)
    return state
