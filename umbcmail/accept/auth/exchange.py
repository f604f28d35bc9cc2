"""What all SASL exchanges have in common (RFC 4422 section 3): steps as values.

An exchange has no socket.  `authentication` gives it what the client sent, base64
taken away, and does what the step says that comes back.  What can't be understood
raises L{SASLError}; an exchange that has raised, or is finished, is not used again.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_BASE64 = re.compile(rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")


class SASLError(Exception):
    """What the client sent makes no sense to the mechanism."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """Send this and give the answer to L{Exchange.respond}."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class KeysNeeded:
    """Ask for the keys of a login and give them to L{Exchange.keys}."""

    login: str


@dataclass(frozen=True, slots=True)
class Asked:
    """Ask the checker, and go on with its answer.

    @ivar interface: of the credentials that it knows.
    @ivar ask: what to ask it; the result is a L{Deferred}.
    @ivar then: what to do with the answer.
    """

    interface: Any
    ask: Callable[[Any], Any]
    then: Callable[[Any], Step]


@dataclass(frozen=True, slots=True)
class Finished:
    """The client has said all.

    @ivar login: whom it says it is.
    @ivar credentials: for L{twisted.cred.portal.Portal.login}; L{None} when they
        can't be right whatever the password is.
    @ivar last: what the client must have before it hears of success.
    """

    login: str
    credentials: Any
    last: bytes = b""


Step = Challenge | KeysNeeded | Asked | Finished


class Exchange:
    """The server's side of a mechanism, where the client begins.

    @cvar takesInitial: the client may send its first response with the command.
    """

    takesInitial = True

    def begin(self, initial: bytes | None) -> Step:
        """The command has come.

        @param initial: the initial response, L{None} when there was none.
        @raise SASLError: see the class.
        """
        return Challenge(b"") if initial is None else self.respond(initial)

    def respond(self, response: bytes) -> Step:
        """What the client sent to the last challenge.

        @raise SASLError: see the class.
        """
        raise NotImplementedError

    def keys(self, keys: Any) -> Step:
        """The keys of L{KeysNeeded}."""
        raise NotImplementedError


def unbase64(octets: bytes) -> bytes:
    """Strict base64 (RFC 4648 section 4): no other octets, no missing padding.

    @raise SASLError: it is none.
    """
    # The strict mode of binascii takes padding behind a whole group.
    if not _BASE64.fullmatch(octets):
        raise SASLError("not base64")
    return binascii.a2b_base64(octets)
