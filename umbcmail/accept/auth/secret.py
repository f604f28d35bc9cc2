"""What a password is kept as: in clear, as keys of SCRAM, or as a hash of Argon2.

`users` reads them out of its file.  L{KINDS} is the registry: the word in braces
and what makes a secret of the text behind it.  All but making them may take long,
and is done in a thread.
"""

from __future__ import annotations

import binascii
import hmac
import re
from base64 import b64decode
from collections.abc import Callable

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from umbcmail.accept.auth.saslprep import preparedPassword
from umbcmail.accept.auth.scram import ScramKeys


class Secret:
    """A secret of which one can only tell whether a password is right.

    @ivar password: the password itself, where it is known.
    """

    password: bytes | None = None

    def verify(self, password: bytes) -> bool:
        """Whether a password is right."""
        raise NotImplementedError

    def scramKeys(self, salt: bytes) -> ScramKeys | None:
        """Keys of SCRAM-SHA-256, where they are known or can be made.

        @param salt: for those that have none of their own.
        """
        return None


class ClearText(Secret):
    """C{{PLAIN}password}."""

    def __init__(self, text: str) -> None:
        if not text:
            raise ValueError("an empty password")
        self.password = preparedPassword(text.encode())

    def verify(self, password: bytes) -> bool:
        """See L{Secret.verify}."""
        assert self.password is not None
        return hmac.compare_digest(preparedPassword(password), self.password)

    def scramKeys(self, salt: bytes) -> ScramKeys:
        """See L{Secret.scramKeys}."""
        assert self.password is not None
        return ScramKeys.derive(self.password, salt)


class ScramSecret(Secret):
    """C{{SCRAM-SHA-256}iterations$salt$storedkey$serverkey}, the last three in
    base64."""

    def __init__(self, text: str) -> None:
        found = re.fullmatch(r"([0-9]{1,9})\$([^$]+)\$([^$]+)\$([^$]+)", text)
        if found is None:
            raise ValueError("iterations$salt$storedkey$serverkey is needed")
        try:
            salt, storedKey, serverKey = (b64decode(part, validate=True) for part in found.groups()[1:])
        except (binascii.Error, ValueError):
            raise ValueError("salt and keys must be base64") from None
        iterations = int(found[1])
        if not 1000 <= iterations <= 10_000_000 or len(storedKey) != 32 or len(serverKey) != 32 or len(salt) > 255:
            raise ValueError("1000 to 10000000 iterations and keys of 32 octets are needed")
        self._keys = ScramKeys(salt, iterations, storedKey, serverKey)

    def verify(self, password: bytes) -> bool:
        """See L{Secret.verify}."""
        found = ScramKeys.derive(preparedPassword(password), self._keys.salt, self._keys.iterations)
        return hmac.compare_digest(found.storedKey, self._keys.storedKey)

    def scramKeys(self, salt: bytes) -> ScramKeys:
        """See L{Secret.scramKeys}."""
        return self._keys


class Argon2Secret(Secret):
    """C{{ARGON2ID}$argon2id$v=19$m=…,t=…,p=…$salt$hash}, as the C{argon2} command
    and Dovecot make them (RFC 9106)."""

    def __init__(self, text: str) -> None:
        found = re.fullmatch(
            r"\$argon2id\$v=19\$m=([0-9]{1,8}),t=([0-9]{1,3}),p=([0-9]{1,2})\$[A-Za-z0-9+/]{11,}\$[A-Za-z0-9+/]{16,}",
            text,
        )
        if found is None or int(found[1]) > 1 << 20:
            raise ValueError("$argon2id$v=19$m=…,t=…,p=…$salt$hash is needed, with no more than 1 GiB")
        self._text = text

    def verify(self, password: bytes) -> bool:
        """See L{Secret.verify}."""
        try:
            Argon2id.verify_phc_encoded(password, self._text)
        except InvalidKey:
            return False
        return True


KINDS: dict[str, Callable[[str], Secret]] = {
    "PLAIN": ClearText,
    "SCRAM-SHA-256": ScramSecret,
    "ARGON2ID": Argon2Secret,
}


def secret(text: str) -> Secret:
    """The secret of a text such as C{{PLAIN}tiger}.

    @raise ValueError: it can't be used; the text of the error has no secret.
    """
    found = re.match(r"\{([A-Za-z0-9-]+)\}", text)
    if found is None:
        raise ValueError("a kind in braces is needed: " + ", ".join(f"{{{kind}}}" for kind in KINDS))
    make = KINDS.get(found[1].upper())
    if make is None:
        raise ValueError(f"{found[0]} is not a kind of secret that is known: " + ", ".join(KINDS))
    return make(text[found.end() :])
