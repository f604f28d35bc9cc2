"""The SASL mechanisms, by name: PLAIN, LOGIN, CRAM-MD5, SCRAM of `scram`, and
GSSAPI of `tickets`.

L{MECHANISMS} is the registry: a further mechanism is an L{Exchange} that ends in
credentials of L{twisted.cred}, and an entry there.  `authentication` makes an
exchange for each AUTH command.
"""

from __future__ import annotations

import hmac
import re
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from twisted.cred.credentials import CramMD5Credentials, IUsernameHashedPassword, IUsernamePassword, UsernamePassword
from twisted.cred.portal import Portal

from umbcmail.accept.auth.exchange import Challenge, Exchange, Finished, SASLError, Step
from umbcmail.accept.auth.scram import ScramExchange
from umbcmail.accept.auth.tickets import GssapiExchange
from umbcmail.interfaces import IGssapiCredentials, IScramChecker, IScramCredentials


def _login(octets: bytes) -> str:
    """A login: UTF-8, not empty."""
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        raise SASLError("a name that is not UTF-8") from None
    if not text or "\0" in text:
        raise SASLError("no name")
    return text


class Plain(Exchange):
    """PLAIN (RFC 4616): all in one message.  Nobody may act for somebody else."""

    def respond(self, response: bytes) -> Step:
        """See L{Exchange.respond}."""
        parts = response.split(b"\0")
        if len(parts) != 3 or not parts[2]:
            raise SASLError("not authzid NUL authcid NUL password")
        login = _login(parts[1])
        if parts[0] and _login(parts[0]) != login:
            return Finished(login, None)
        return Finished(login, UsernamePassword(parts[1], parts[2]))


class Login(Exchange):
    """LOGIN: name, then password; never standardized, but old programs know
    nothing else.  The name may come with the command."""

    def __init__(self) -> None:
        self._name = b""

    def begin(self, initial: bytes | None) -> Step:
        """See L{Exchange.begin}."""
        return Challenge(b"Username:") if initial is None else self.respond(initial)

    def respond(self, response: bytes) -> Step:
        """See L{Exchange.respond}."""
        if not self._name:
            _login(response)
            self._name = response
            return Challenge(b"Password:")
        if not response:
            raise SASLError("no password")
        return Finished(_login(self._name), UsernamePassword(self._name, response))


class _CramCredentials(CramMD5Credentials):
    """With a challenge that can't be guessed and a comparison that tells nothing
    by its time."""

    def __init__(self, challenge: bytes) -> None:
        CramMD5Credentials.__init__(self)
        self.challenge = challenge

    def checkPassword(self, password: bytes) -> bool:
        """See L{IUsernameHashedPassword.checkPassword}."""
        wanted = hmac.new(password, self.challenge, "md5").hexdigest().encode()
        return hmac.compare_digest(wanted, self.response)


class CramMD5(Exchange):
    """CRAM-MD5 (RFC 2195): the server begins."""

    takesInitial = False

    def __init__(self, hostName: str) -> None:
        self._credentials = _CramCredentials(
            f"<{secrets.token_hex(12)}.{int(time.time())}@{hostName}>".encode("ascii", "replace")
        )

    def begin(self, initial: bytes | None) -> Step:
        """See L{Exchange.begin}."""
        return Challenge(self._credentials.challenge)

    def respond(self, response: bytes) -> Step:
        """See L{Exchange.respond}."""
        name, _, digest = response.rpartition(b" ")
        if not re.fullmatch(rb"[0-9a-f]{32}", digest):
            raise SASLError("not a name and a digest")
        login = _login(name)
        self._credentials.username = name
        self._credentials.response = digest
        return Finished(login, self._credentials)


@dataclass(frozen=True, slots=True)
class Mechanism:
    """An entry of the registry.

    @ivar name: in upper case (RFC 4422 section 3.1).
    @ivar credentials: the interface of the credentials that it ends in; it is on
        offer where a checker knows them.
    @ivar make: makes an exchange; the argument is the name of our host.
    """

    name: str
    credentials: Any
    make: Callable[[str], Exchange]


MECHANISMS = {
    each.name: each
    for each in (
        Mechanism("PLAIN", IUsernamePassword, lambda hostName: Plain()),
        Mechanism("LOGIN", IUsernamePassword, lambda hostName: Login()),
        Mechanism("SCRAM-SHA-256", IScramCredentials, lambda hostName: ScramExchange()),
        Mechanism("CRAM-MD5", IUsernameHashedPassword, CramMD5),
        Mechanism("GSSAPI", IGssapiCredentials, lambda hostName: GssapiExchange()),
    )
}


def available(portal: Portal, wanted: Iterable[str]) -> dict[str, Mechanism]:
    """The wanted mechanisms for which there is a checker, in their order."""
    found = {}
    for name in wanted:
        mechanism = MECHANISMS[name]
        checker = portal.checkers.get(mechanism.credentials)
        if checker is None or (mechanism.credentials is IScramCredentials and not IScramChecker.providedBy(checker)):
            continue
        found[name] = mechanism
    return found
