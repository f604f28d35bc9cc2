"""What a password is kept as: in clear, as keys of SCRAM, or as a hash.

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
from functools import partial

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from umbcmail.accept.auth.crypt3 import Hash
from umbcmail.accept.auth.saslprep import preparedPassword
from umbcmail.accept.auth.scram import ScramKeys

_FIELDS = re.compile(r":[0-9]*:[0-9]*:[^:]*:[^:]*:[^:]*(?::|$)")
"""What follows the password in a passwd-file: uid, gid, name, home, shell."""
ARGON2_LIMIT = 1 << 22
"""KiB that an Argon2 hash may fill, over all its passes: about two seconds."""


class Secret:
    """A secret of which one can only tell whether a password is right.

    @ivar password: the password itself, where it is known.
    @cvar isForScram: L{scramKeys} has keys.
    """

    password: bytes | None = None
    isForScram = False

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

    isForScram = True

    def __init__(self, text: str) -> None:
        if not text:
            raise ValueError("an empty password")
        if _FIELDS.search(text):
            raise ValueError("fields of a passwd-file, which can't be told from the password of {PLAIN}")
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
    base64; Dovecot has commas in place of the dollars."""

    isForScram = True

    def __init__(self, text: str) -> None:
        found = re.fullmatch(r"([0-9]{1,9})([$,])([^$,]+)\2([^$,]+)\2([^$,]+)", text)
        if found is None:
            raise ValueError("iterations$salt$storedkey$serverkey is needed")
        try:
            salt, storedKey, serverKey = (b64decode(part, validate=True) for part in found.groups()[2:])
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
        if found is None or int(found[1]) > 1 << 20 or int(found[1]) * int(found[2]) > ARGON2_LIMIT:
            raise ValueError("$argon2id$v=19$m=…,t=…,p=…$salt$hash is needed, m at most 1 GiB, m times t 4 GiB")
        self._text = text

    def verify(self, password: bytes) -> bool:
        """See L{Secret.verify}."""
        try:
            Argon2id.verify_phc_encoded(password, self._text)
        except InvalidKey:
            return False
        return True


class CryptSecret(Secret):
    """C{{CRYPT}$6$salt$hash} and its like; see `crypt3`."""

    def __init__(self, text: str, form: str = "") -> None:
        """
        @param form: the only one of L{Hash}'s that it may have.
        """
        self._hash = Hash(text, form)

    def verify(self, password: bytes) -> bool:
        """See L{Secret.verify}."""
        return self._hash.verify(password)


KINDS: dict[str, Callable[[str], Secret]] = {
    "PLAIN": ClearText,
    "SCRAM-SHA-256": ScramSecret,
    "ARGON2ID": Argon2Secret,
    "CRYPT": CryptSecret,
    "BLF-CRYPT": partial(CryptSecret, form="BLF-CRYPT"),
    "SHA256-CRYPT": partial(CryptSecret, form="SHA256-CRYPT"),
    "SHA512-CRYPT": partial(CryptSecret, form="SHA512-CRYPT"),
}


def secret(text: str) -> Secret:
    """The secret of a text such as C{{PLAIN}tiger}, or of a bare hash.  Fields of a
    passwd-file behind a hash are left alone.

    @raise ValueError: it can't be used; the text of the error has no secret.
    """
    found = re.match(r"\{([A-Za-z0-9-]+)\}", text)
    if found is not None:
        kind, kept = found[1].upper(), text[found.end() :]
    elif text.startswith("$"):
        kind, kept = "ARGON2ID" if text.startswith("$argon2id$") else "CRYPT", text
    else:
        raise ValueError("a kind in braces is needed: " + ", ".join(f"{{{kind}}}" for kind in KINDS))
    make = KINDS.get(kind)
    if make is None:
        raise ValueError(f"{{{kind}}} is not a kind of secret that is known: " + ", ".join(KINDS))
    return make(kept if kind == "PLAIN" else kept.partition(":")[0])
