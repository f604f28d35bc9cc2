"""SCRAM-SHA-256 (RFC 5802, RFC 7677): messages, keys and the server's exchange.

No sockets and no files: `sasl` has it in its registry, `authentication` drives it,
`users` makes L{ScramKeys}.  There is no channel binding; a client that demands one
has not read our offer.  Nobody learns whether a login exists: keys are made up for
those that don't (L{umbcmail.interfaces.IScramChecker}), and the proof fails.
"""

from __future__ import annotations

import hmac
import re
import secrets
from base64 import b64encode
from dataclasses import dataclass
from hashlib import pbkdf2_hmac, sha256

from zope.interface import implementer

from umbcmail.accept.auth.exchange import Challenge, Exchange, Finished, KeysNeeded, SASLError, Step, unbase64
from umbcmail.interfaces import IScramCredentials

ITERATIONS = 4096
"""For secrets that are not kept as keys (RFC 7677 section 4)."""
NONCE_LIMIT = 256
"""Characters of a client's nonce."""

_EXTENSIONS = r"(?:,[A-Za-z]=[^,\0]+)*"
_NONCE = r"[!-+\--~]+"
_FIRST = re.compile(rf"([ny],(?:a=([^,\0]+))?,)(n=([^,\0]+),r=({_NONCE}){_EXTENSIONS})")
_FINAL = re.compile(rf"(c=([A-Za-z0-9+/=]+),r=({_NONCE}){_EXTENSIONS}),p=([A-Za-z0-9+/=]+)")


@dataclass(frozen=True, slots=True)
class ScramKeys:
    """What a server keeps of a password (RFC 5802 section 3).

    @ivar salt: octets.
    @ivar iterations: of PBKDF2.
    @ivar storedKey: 32 octets.
    @ivar serverKey: 32 octets.
    """

    salt: bytes
    iterations: int
    storedKey: bytes
    serverKey: bytes

    @classmethod
    def derive(cls, password: bytes, salt: bytes, iterations: int = ITERATIONS) -> ScramKeys:
        """Make them of a prepared password.  Takes a while: not in the reactor."""
        salted = pbkdf2_hmac("sha256", password, salt, iterations)
        clientKey = hmac.digest(salted, b"Client Key", "sha256")
        return cls(salt, iterations, sha256(clientKey).digest(), hmac.digest(salted, b"Server Key", "sha256"))


@implementer(IScramCredentials)
class ScramCredentials:
    """A client's proof that it knows the password; see L{IScramCredentials}."""

    def __init__(self, username: bytes, message: bytes, proof: bytes) -> None:
        """
        @param message: the AuthMessage of RFC 5802 section 3.
        """
        self.username = username
        self._message = message
        self._proof = proof

    def checkKeys(self, keys: ScramKeys) -> bool:
        """See L{IScramCredentials.checkKeys}."""
        signature = hmac.digest(keys.storedKey, self._message, "sha256")
        clientKey = bytes(a ^ b for a, b in zip(self._proof, signature, strict=True))
        return hmac.compare_digest(sha256(clientKey).digest(), keys.storedKey)


def _name(text: str) -> str:
    """A saslname (RFC 5802 section 5.1)."""
    if re.search("=(?!2C|3D)", text):
        raise SASLError("= in a name that is not =2C or =3D")
    return text.replace("=2C", ",").replace("=3D", "=")


def _text(response: bytes) -> str:
    try:
        return response.decode()
    except UnicodeDecodeError:
        raise SASLError("not UTF-8") from None


class ScramExchange(Exchange):
    """One exchange.  C{client-first} asks for keys, C{client-final} is the end."""

    def __init__(self, nonce: str = "") -> None:
        """
        @param nonce: our part of the nonce; made when not given.
        """
        self._nonce = nonce or secrets.token_urlsafe(24)
        self._gs2 = ""
        self._login = ""
        self._other = ""
        self._bare = ""
        self._first = ""
        self._keys: ScramKeys | None = None

    def respond(self, response: bytes) -> Step:
        """See L{Exchange.respond}."""
        text = _text(response)
        return self._clientFinal(text) if self._keys is not None else self._clientFirst(text)

    def _clientFirst(self, text: str) -> Step:
        found = _FIRST.fullmatch(text)
        if found is None or len(found[5]) > NONCE_LIMIT:
            raise SASLError("not a client-first-message")
        self._gs2, self._bare = found[1], found[3]
        self._login = _name(found[4])
        self._other = _name(found[2]) if found[2] else self._login
        self._nonce = found[5] + self._nonce
        return KeysNeeded(self._login)

    def keys(self, keys: ScramKeys) -> Step:
        """See L{Exchange.keys}."""
        self._keys = keys
        self._first = f"r={self._nonce},s={b64encode(keys.salt).decode()},i={keys.iterations}"
        return Challenge(self._first.encode())

    def _clientFinal(self, text: str) -> Step:
        assert self._keys is not None
        found = _FINAL.fullmatch(text)
        if found is None or not hmac.compare_digest(found[3], self._nonce):
            raise SASLError("not a client-final-message")
        proof = unbase64(found[4].encode())
        if unbase64(found[2].encode()) != self._gs2.encode() or len(proof) != 32:
            raise SASLError("wrong header or length of the proof")
        message = f"{self._bare},{self._first},{found[1]}".encode()
        signature = hmac.digest(self._keys.serverKey, message, "sha256")
        if self._other != self._login:
            return Finished(self._login, None)
        return Finished(
            self._login, ScramCredentials(self._login.encode(), message, proof), b"v=" + b64encode(signature)
        )
