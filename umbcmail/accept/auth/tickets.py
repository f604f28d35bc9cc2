"""GSSAPI, the mechanism (RFC 4752): a client shows a ticket instead of a password.

`sasl` has it in its registry.  The tokens are the business of a checker
(L{umbcmail.interfaces.IGssapiChecker}); here are the steps around them.  No security
layer is offered, since TLS is there; for the same reason channel bindings are not
asked for.  Nobody may act for somebody else.
"""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from umbcmail.accept.auth.exchange import Asked, Challenge, Exchange, Finished, SASLError, Step
from umbcmail.interfaces import IGssapiCredentials

NO_LAYER = b"\1\0\0\0"
"""The offer: no security layer, so no buffer either (RFC 4752 section 3.3)."""
ROUNDS = 5
"""Tokens of a client; Kerberos has one."""


@implementer(IGssapiCredentials)
class GssapiCredentials:
    """See L{IGssapiCredentials}."""

    def __init__(self, login: str) -> None:
        self.username = login.encode()


class GssapiExchange(Exchange):
    """One exchange: tokens until both sides are content, then the layer."""

    def __init__(self) -> None:
        self._acceptance: Any = None
        self._rounds = 0
        self._isOffered = False

    def respond(self, response: bytes) -> Step:
        """See L{Exchange.respond}."""
        if self._isOffered:
            return self._chosen(response)
        if self._acceptance is not None and self._acceptance.isComplete:
            if response:
                raise SASLError("a token after the last")
            return self._offer()
        self._rounds += 1
        if not response or self._rounds > ROUNDS:
            raise SASLError("no token, or too many")
        if self._acceptance is None and not isInitialToken(response):
            raise SASLError("not an initial token")
        return Asked(IGssapiCredentials, lambda checker: self._ask(checker, response), self._accepted)

    def _ask(self, checker: Any, token: bytes) -> Any:
        return checker.accept(token) if self._acceptance is None else self._acceptance.goOn(token)

    def _accepted(self, acceptance: Any) -> Step:
        self._acceptance = acceptance
        if acceptance.reply:
            return Challenge(acceptance.reply)
        if not acceptance.isComplete:
            raise SASLError("not complete, and nothing to say")
        return self._offer()

    def _offer(self) -> Step:
        self._isOffered = True
        return Challenge(self._acceptance.wrap(NO_LAYER))

    def _chosen(self, response: bytes) -> Step:
        """The layer, the size of a buffer that there is no use for, and as whom the
        client wants to act."""
        login = self._acceptance.login
        try:
            octets = self._acceptance.unwrap(response)
        except SASLError:
            return Finished(login, None)  # somebody else's ticket, without the key of it
        if len(octets) < 4 or octets[0] != NO_LAYER[0]:
            raise SASLError("not the layer that was offered")
        try:
            other = octets[4:].decode()
        except UnicodeDecodeError:
            raise SASLError("a name that is not UTF-8") from None
        if other not in ("", login, self._acceptance.principal):
            return Finished(login, None)
        return Finished(login, GssapiCredentials(login))


def isInitialToken(token: bytes) -> bool:
    """Whether it is framed as the first token of a mechanism has to be (RFC 2743
    section 3.1): a tag, and the length of all the rest in DER."""
    if len(token) < 2 or token[0] != 0x60:
        return False
    if token[1] < 0x80:
        return token[1] == len(token) - 2
    count = token[1] & 0x7F
    return 1 <= count <= 4 and int.from_bytes(token[2 : 2 + count], "big") == len(token) - 2 - count
