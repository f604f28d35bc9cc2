"""The text of a seal, and what it is bound to.  Pure but for the content.

A seal is a field of the header::

    X-Umbcmail-Seal: v=1; k=3f2a91c4; t=1767225600; i=4ABC-1; h=mx1.umbc.edu;
        c=clamav,spamassassin:1.2; b=<HMAC-SHA256 in base64>

C{c} are the types of modules that have found the message clean, with scores.

C{b} is made of all that stands before it, and of the content: the body, and those fields of
the header that a reader or a module goes by.  What hosts on the way may do to a message
does not matter: fields that are folded anew, other fields, line ends at the end.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import inlineCallbacks

from umbcmail.examination import Examined
from umbcmail.filter.modules.secret import Secret

NAME = "X-Umbcmail-Seal"
LIMIT = 2000
"""Octets of a seal."""

_BOUND = frozenset(
    (
        *(b"from", b"sender", b"reply-to", b"to", b"cc", b"subject", b"date", b"message-id"),
        *(b"mime-version", b"in-reply-to", b"references", b"list-id"),
    )
)
_BOUND_PREFIXES = (b"content-", b"x-virus-", b"x-spam-")
_ENDS = 64 * 1024
_BLANKS = re.compile(rb"[ \t\r\n]+")
_TAG = re.compile(r"([a-z])=([^;]*)")
_MODULE = re.compile(r"([a-z0-9-]{1,40})(?::(-?[0-9]{1,6}\.[0-9]))?")
_PLAIN = re.compile(r"[^!-:<-~]")
_WORD = re.compile(r"[!-:<-~]{0,200}")


@dataclass(frozen=True, slots=True)
class Seal:
    """A seal as it is written.

    @ivar key: name of the secret.
    @ivar made: seconds since 1970.
    @ivar id: of the message, where it was sealed.
    @ivar host: that has sealed it.
    @ivar clean: types of modules that found nothing, with the score, if there is one.
    @ivar proof: the HMAC.
    """

    key: str
    made: int
    id: str
    host: str
    clean: Mapping[str, float | None]
    proof: bytes = b""

    @property
    def claim(self) -> str:
        """All but the proof."""
        said = ",".join(kind if score is None else f"{kind}:{score:.1f}" for kind, score in sorted(self.clean.items()))
        id, host = (_PLAIN.sub("?", word)[:200] for word in (self.id, self.host))
        return f"v=1; k={self.key}; t={self.made}; i={id}; h={host}; c={said}"

    @property
    def text(self) -> str:
        """The value of the field, folded."""
        return self.claim.replace("; c=", ";\n\tc=") + ";\n\tb=" + base64.b64encode(self.proof).decode()


def readSeal(value: bytes) -> Seal | None:
    """The seal of a field's value; L{None}: it is none."""
    if len(value) > LIMIT or not value.isascii():
        return None
    text = _BLANKS.sub(b" ", value).decode().strip()
    tags = [_TAG.fullmatch(word.strip()) for word in text.split(";")]
    found = {tag[1]: tag[2].strip() for tag in tags if tag is not None}
    if len(tags) != len(found) or list(found) != ["v", "k", "t", "i", "h", "c", "b"] or found["v"] != "1":
        return None
    if not all(_WORD.fullmatch(found[name]) for name in "kih"):
        return None
    modules = [_MODULE.fullmatch(word) for word in found["c"].split(",")]
    if not re.fullmatch("[0-9]{1,12}", found["t"]) or not all(modules):
        return None
    try:
        proof = base64.b64decode(found["b"], validate=True)
    except ValueError:
        return None
    clean = {m[1]: float(m[2]) if m[2] else None for m in modules if m is not None}
    return Seal(found["k"], int(found["t"]), found["i"], found["h"], clean, proof)


def proofOf(secret: Secret, claim: str, digest: bytes) -> bytes:
    """The HMAC.  @param digest: of the content, see L{digestOf}."""
    return hmac.new(secret.key, claim.encode() + b"\0" + digest, hashlib.sha256).digest()


def boundHeader(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The part of a header that a seal is bound to, always written the same way."""
    lines = []
    for name, value in fields:
        key = name.strip().lower()
        if key in _BOUND or key.startswith(_BOUND_PREFIXES):
            lines.append((key, _BLANKS.sub(b" ", value).strip()))
    # Fields of a name in their order; names in any.
    lines.sort(key=lambda line: line[0])
    return b"".join([b"%d:%b:%b\n" % (len(value), key, value) for key, value in lines])


@inlineCallbacks
def digestOf(examined: Examined, fields: Sequence[tuple[bytes, bytes]]) -> Any:
    """What stands for a content.

    @param fields: its header.
    @return: L{Deferred} of octets; fails with L{OSError}.
    """
    digest = hashlib.sha256(hashlib.sha256(boundHeader(fields)).digest())
    data = examined.content.data
    if data is not None:
        digest.update(data[examined.at :].rstrip(b"\r\n"))
        return digest.digest()
    reader, skip, ends = examined.content.open(), examined.at, b""
    try:
        while piece := (yield reader.read()):
            part = ends + piece[skip:]
            skip = max(skip - len(piece), 0)
            bare = part.rstrip(b"\r\n")
            # Line ends may be the last ones.  With very many of them the digest is another
            # one than it could be, and the message is examined again.
            ends = part[len(bare) :]
            digest.update(bare)
            if len(ends) > _ENDS:
                digest.update(ends[:-2])
                ends = ends[-2:]
    finally:
        reader.close()
    return digest.digest()
