"""Header fields with 8-bit octets as fields without.  Pure.

Much mail has raw 8-bit text in Subject or in names.  RFC 2047 (encoded words) and
RFC 2231 (parameters) have a form for such text, which says the same; the charset is
C{utf-8} where the octets are that, else C{unknown-8bit} (RFC 1428).  Where a field
has no place for it, as in an address, L{CannotConvert} is raised.
"""

from __future__ import annotations

import re

_ADDRESSES = frozenset(
    [prefix + name for name in (b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc") for prefix in (b"", b"resent-")]
)
_PARAMETERS = frozenset([b"content-type", b"content-disposition"])
_STRICT = frozenset(
    b"return-path received date resent-date message-id resent-message-id in-reply-to references mime-version "
    b"content-transfer-encoding content-id delivered-to dkim-signature authentication-results keywords".split()
)
"""Fields whose grammar has no place for encoded words, or where they help nobody."""
_NAME = re.compile(rb"[!-9;-~]+[ \t]*")
_BLANKS = re.compile(rb"([ \t\r\n]+)")
_TOKEN = re.compile(
    rb"(?P<blank>[ \t\r\n]+)|(?P<quoted>\"(?:[^\"\\]|\\.)*\")|(?P<comment>\([^()\\]*\))|(?P<angle><[^<>]*>)"
    rb"|(?P<mark>[,;:])|(?P<word>[^ \t\r\n\"()<>,;:]+)",
    re.DOTALL,
)
_PARAMETER = re.compile(rb"(;\s*)([!#$&+.^`{|}~0-9A-Za-z_-]+)\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s;\"]+))", re.DOTALL)
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_KEPT = re.compile(rb"[!*+/0-9A-Za-z-]")


class CannotConvert(Exception):
    """There is no 7-bit form; the text says why, in our own words."""


def charsetOf(octets: bytes) -> bytes:
    """The charset to be named for 8-bit text that does not say."""
    try:
        octets.decode()
    except UnicodeDecodeError:
        return b"unknown-8bit"
    return b"utf-8"


def sevenBitField(field: bytes) -> bytes:
    """A field in ASCII.

    @param field: with its folds, without the last line end.
    @raise CannotConvert: it has 8-bit octets where they can't be encoded.
    """
    name, colon, value = field.partition(b":")
    lower = name.strip().lower()
    if not colon or not _NAME.fullmatch(name) or lower in _STRICT:
        raise CannotConvert("a header field has 8-bit octets where none can be")
    if lower in _PARAMETERS:
        made = _parameters(value)
    elif lower in _ADDRESSES:
        made = _addresses(value)
    else:
        made = _text(value)
    if not made.isascii():
        raise CannotConvert("a header field has 8-bit octets where none can be")
    return name + b":" + made


def _text(value: bytes) -> bytes:
    """Unstructured: from the first to the last word that is not ASCII."""
    words = _BLANKS.split(value)
    wide = [at for at, word in enumerate(words) if not word.isascii()]
    run = b"".join(words[wide[0] : wide[-1] + 1])
    return b"".join(words[: wide[0]]) + _encoded(run) + b"".join(words[wide[-1] + 1 :])


def _addresses(value: bytes) -> bytes:
    """Names and comments; RFC 2047 section 5."""
    made: list[bytes] = []
    at, afterWide, blank = 0, False, b""
    while at < len(value):
        token = _TOKEN.match(value, at)
        if token is None:
            raise CannotConvert("a list of addresses can't be understood")
        at = token.end()
        octets = token[0]
        if token.lastgroup == "blank":
            blank = octets
            made.append(octets)
            continue
        wide = not octets.isascii()
        if wide:
            octets = _addressToken(token, afterWide and bool(blank), value[at : at + 1])
        if (wide or afterWide) and made and not blank and token.lastgroup != "mark":
            octets = b" " + octets
        made.append(octets)
        afterWide, blank = wide and token.lastgroup != "comment", b""
    return b"".join(made)


def _addressToken(token: re.Match[bytes], joined: bool, following: bytes) -> bytes:
    """A part of an address field with 8-bit octets, encoded.

    @param joined: an encoded word is before it, so that the blank between counts
        only inside of this one.
    """
    octets = token[0]
    if token.lastgroup == "comment":
        return b"(" + _encoded(octets[1:-1]) + b")"
    if token.lastgroup == "quoted" and not following.startswith((b"@", b".")):
        octets = _ESCAPE.sub(rb"\1", octets[1:-1])
    elif token.lastgroup != "word" or b"@" in octets:
        raise CannotConvert("an address has 8-bit octets")
    return _encoded(b" " + octets if joined else octets)


def _parameters(value: bytes) -> bytes:
    """RFC 2231 section 4."""
    return _PARAMETER.sub(_parameter, value)


def _parameter(found: re.Match[bytes]) -> bytes:
    if found[0].isascii():
        return found[0]
    octets = found[4] or _ESCAPE.sub(rb"\1", found[3])
    coded = b"".join(
        [octets[n : n + 1] if octets[n : n + 1].isalnum() else b"%%%02X" % octets[n] for n in range(len(octets))]
    )
    return found[1] + found[2] + b"*=" + charsetOf(octets) + b"''" + coded


def _encoded(text: bytes) -> bytes:
    """Encoded words, as many as are needed (RFC 2047 section 2: of up to 75)."""
    text = text.replace(b"\r\n", b"")
    charset = charsetOf(text)
    units = [each.encode() for each in text.decode()] if charset == b"utf-8" else [bytes((n,)) for n in text]
    room = 75 - len(charset) - 7
    words, word = [], b""
    for unit in units:
        coded = b"_" if unit == b" " else unit if _KEPT.fullmatch(unit) else b"".join([b"=%02X" % n for n in unit])
        if len(word) + len(coded) > room:
            words.append(word)
            word = b""
        word += coded
    words.append(word)
    return b"\r\n ".join([b"=?" + charset + b"?q?" + each + b"?=" for each in words])
