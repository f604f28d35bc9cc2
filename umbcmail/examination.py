"""A message as modules of the multiplexer examine it, and what they say of it.

Values only.  Modules are plugins (L{umbcmail.interfaces.IModule}), so these are what they
and the role C{filter} have in common.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import TYPE_CHECKING

from umbcmail.envelope import Client

if TYPE_CHECKING:
    from collections.abc import Mapping

    from umbcmail.interfaces import IContent


class ModuleError(Exception):
    """A module can't examine a message: its daemon is away, or says what makes no sense.

    The text is for the log.
    """


class Rank(IntEnum):
    """What a message is; the higher one counts more."""

    CLEAN = 0
    SPAM = 1
    VIRUS = 2


class Action(Enum):
    """What is to become of it.

    C{QUARANTINE}: it is taken, and waits for an operator.  C{DISCARD}: the client hears
    yes, and nobody gets it.
    """

    ACCEPT = "accept"
    QUARANTINE = "quarantine"
    DELAY = "delay"
    DISCARD = "discard"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Examined:
    """The message.

    @ivar id: that the MTA calls it by.
    @ivar client: where the MTA has it from, as far as it has said so.
    @ivar sender: reverse-path without brackets.
    @ivar recipients: forward-paths without brackets, at most a thousand.
    @ivar hostName: of the MTA.
    @ivar fields: its header: names, and all that stands behind the colons.
    @ivar at: where in the content the body begins.
    @ivar content: all of it.
    """

    id: str
    client: Client
    sender: str
    recipients: tuple[str, ...]
    hostName: str
    fields: tuple[tuple[bytes, bytes], ...]
    at: int
    content: IContent


@dataclass(frozen=True, slots=True)
class Vouched:
    """What a good seal says.

    @ivar clean: types of modules that need not look again, with the scores.
    @ivar since: when they have looked, seconds since 1970.
    """

    clean: Mapping[str, float | None]
    since: float


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a module says.

    @ivar rank: what it is.
    @ivar action: what is to be done about it.
    @ivar found: name of what was found, or why it was not examined; for the log, and as
        the reason of a quarantine.
    @ivar text: what the client is told with DELAY or REFUSE: ASCII, short, without code.
    @ivar score: of spam.
    @ivar headers: fields to be added, where the message is accepted.
    @ivar isExamined: the module has looked at all of it.
    """

    rank: Rank = Rank.CLEAN
    action: Action = Action.ACCEPT
    found: str = ""
    text: str = ""
    score: float | None = None
    headers: tuple[tuple[str, str], ...] = ()
    isExamined: bool = True
