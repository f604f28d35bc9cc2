"""DNS lists (RFC 5782): how they are written in the configuration, what they are asked,
and which answers count.  Pure; used by `dnslist` and `dnsbl`.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Any

from umbcmail.check.networks import NetworkSet
from umbcmail.options import Kind, domainName, word

WEIGHT_LIMIT = 1000
TEXT_LIMIT = 150
"""Characters of a text of a list that are told to clients."""
LISTED, UNLISTED = {4: "127.0.0.2", 6: "::ffff:7f00:2"}, {4: "127.0.0.1", 6: "::ffff:7f00:1"}
"""By family: addresses that every list must have, and must not have (RFC 5782 section 5)."""

_SPEC = re.compile(r"([^\s=*]+)(?:=([0-9.;\[\]]+))?(?:\*(-?[0-9]{1,4}))?(?: +as +(\S+))?")
_PART = re.compile(r"\[([0-9.;]+)\]|([0-9]{1,3})")
_NOT_ASKED = NetworkSet(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "224.0.0.0/3",
        "::/127",
        "fc00::/7",
        "fe80::/9",
        "ff00::/8",
    )
)
"""Nobody but us knows who is behind these."""

Octets = tuple[frozenset[int], ...]
DEFAULT: Octets = (frozenset({127}), frozenset({0}), frozenset({0}), frozenset(range(2, 255)))


@dataclass(frozen=True, slots=True)
class DNSListSpec:
    """A list as it is configured.

    @ivar zone: where it is.
    @ivar label: what it is called before clients: the zone may have a key in it.
    @ivar answers: for each of the four octets which values count.
    @ivar weight: what a listing adds to the score.
    """

    zone: str
    label: str
    answers: Octets = DEFAULT
    weight: int = 1

    def counts(self, answer: str) -> bool:
        """Whether an answer is a listing."""
        if isError(answer):
            return False
        octets = map(int, answer.split("."))
        return all(octet in values for octet, values in zip(octets, self.answers, strict=True))


def isError(answer: str) -> bool:
    """Whether an answer can be no listing whatever the list: not in 127.0.0.0/8
    (somebody answers for names that do not exist), 127.0.0.1 (RFC 5782 section 5), or
    127.255.255.0/24 (the list refuses to answer us)."""
    return not answer.startswith("127.") or answer == "127.0.0.1" or answer.startswith("127.255.255.")


def isAsked(address: str) -> bool:
    """Whether lists know anything of an address."""
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return not _NOT_ASKED.holds(address)


def familyOf(address: str) -> int:
    """4 or 6."""
    return 6 if ":" in address else 4


def questionOf(address: str, zone: str) -> str:
    """The name that is asked for: octets backwards (RFC 5782 section 2.1), or nibbles
    (section 2.4)."""
    if ":" in address:
        digits = ipaddress.IPv6Address(address).packed.hex()
        return f"{'.'.join(reversed(digits))}.{zone}"
    return f"{'.'.join(reversed(address.split('.')))}.{zone}"


def plainText(text: str) -> str:
    """A text of a stranger as it may be told to a client: printable ASCII, not long."""
    return "".join(c if " " <= c <= "~" else "?" for c in text[:TEXT_LIMIT]).strip()


def spec(value: Any) -> DNSListSpec:
    """A list as it is written: C{zone}, C{zone=127.0.0.[2..11;100]}, C{zone*3},
    C{zone=127.0.0.2*-1 as name}.

    @raise ValueError: says what is wrong.
    """
    found = _SPEC.fullmatch(word(value))
    if found is None:
        raise ValueError("zone, zone=answers, zone*weight or zone=answers*weight is needed, and maybe: as NAME")
    zone = domainName(found[1])
    if len(questionOf(LISTED[6], zone)) > 253:
        raise ValueError("the zone is too long")
    weight = int(found[3] or 1)
    if not weight or abs(weight) > WEIGHT_LIMIT:
        raise ValueError(f"a weight from -{WEIGHT_LIMIT} to {WEIGHT_LIMIT} is needed that is not 0")
    label = domainName(found[4]) if found[4] else zone
    return DNSListSpec(zone, label, octetsOf(found[2]) if found[2] else DEFAULT, weight)


def octetsOf(text: str) -> Octets:
    """The answers that count: four octets, each a number, or numbers and ranges in
    brackets: C{127.0.[0;2].[2..11]}."""
    parts: list[frozenset[int]] = []
    at = 0
    while found := _PART.match(text, at):
        parts.append(_numbers(found[1] or found[2]))
        at = found.end()
        if text[at : at + 1] != ".":
            break
        at += 1
    if at != len(text) or len(parts) != 4:
        raise ValueError("answers such as 127.0.0.2 or 127.0.0.[2..11;100] are needed")
    if parts[0] != {127}:
        raise ValueError("answers are in 127.0.0.0/8")
    return tuple(parts)


def _numbers(text: str) -> frozenset[int]:
    numbers: set[int] = set()
    for part in text.split(";"):
        found = re.fullmatch(r"([0-9]{1,3})(?:\.\.([0-9]{1,3}))?", part)
        low = int(found[1]) if found else 256
        high = int(found[2] or low) if found else 256
        if not low <= high <= 255:
            raise ValueError(f"{part!r} is no number from 0 to 255, and no range such as 2..11")
        numbers.update(range(low, high + 1))
    return frozenset(numbers)


SPEC = Kind("a list such as zen.spamhaus.org=127.0.0.[2..11]*2", spec)
