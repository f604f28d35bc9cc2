"""Lists of addresses as people and programs write them (RFC 5322 section 3.4).  Pure.

For C{To}, C{Cc} and C{Bcc}, and for recipients on a command line.  What comes out is checked by
L{umbcmail.address}; display names, comments, groups and source routes go away.
"""

from __future__ import annotations

import re

from umbcmail.address import AddressError, parseAddress, parsePath

_TOKEN = re.compile(
    r"""
    (?P<blank>[ \t\r\n]+)
    | (?P<quoted>"(?:[^"\\]|\\.)*")
    | (?P<literal>\[(?:[^\]\\]|\\.)*\])
    | (?P<special>[<>,:;@(])
    | (?P<text>[^\s"\[<>,:;@(]+)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)


def addresses(text: str, domain: str) -> list[str]:
    """The addresses of a list, in their order.

    @param domain: what an address has that is a local part alone.
    @raise AddressError: something in it is no address.
    """
    found: list[str] = []
    mailbox = _Mailbox()
    at = 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        assert token is not None
        at, kind, word = token.end(), token.lastgroup, token[0]
        if word == "(":
            at = _commentEnd(text, at)
        elif kind == "blank":
            mailbox.parts.append(" ")
        elif kind in ("quoted", "literal", "text", "other") or word == "@":
            mailbox.parts.append(word)
        elif word == "<" and mailbox.angle is None:
            end = _angleEnd(text, at)
            mailbox.angle, at = text[at:end], end + 1
        elif word == ":":
            mailbox = _Mailbox()  # it was the name of a group
        elif word in ",;":
            found += mailbox.address(domain)
            mailbox = _Mailbox()
        else:
            raise AddressError(f"{word} where no address has one")
    return found + mailbox.address(domain)


def address(text: str, domain: str) -> str:
    """The only address of a text.  @raise AddressError: it is none, or several."""
    found = addresses(text, domain)
    if len(found) != 1:
        raise AddressError("not one address")
    return found[0]


class _Mailbox:
    """What stands between two commas.

    @ivar parts: outside of brackets.
    @ivar angle: what stands in them.
    """

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.angle: str | None = None

    def address(self, domain: str) -> list[str]:
        """The address, none if there is nothing."""
        words = "".join(self.parts).strip() if self.angle is None else self.angle.strip()
        if not words and self.angle is None:
            return []
        # Blanks may stand around @ and dots (RFC 5322 section 4.4), nowhere else outside of quotes.
        words = words if '"' in words else re.sub(r"\s*([@.])\s*", r"\1", words)
        if words.startswith("@"):
            return [parsePath(f"<{words}>")[0]]  # a source route (RFC 5321 appendix C)
        hasDomain = "@" in _QUOTED.sub("", words)
        return [parseAddress(words if hasDomain else f"{words}@{domain}")]


_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')


def _commentEnd(text: str, at: int) -> int:
    """@return: behind the comment; comments may be nested."""
    depth = 1
    while at < len(text) and depth:
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        at += 2 if text[at] == "\\" else 1
    if depth:
        raise AddressError("a comment that does not end")
    return at


def _angleEnd(text: str, at: int) -> int:
    """@return: where the bracket is that closes it."""
    while at < len(text) and text[at] != ">":
        quoted = _QUOTED.match(text, at)
        at = quoted.end() if quoted is not None else at + 1
    if at >= len(text):
        raise AddressError("< without >")
    return at
