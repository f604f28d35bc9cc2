"""What the two sides of a milter connection agree on, before anything else.  Pure.

The MTA offers a version, the edits that a filter may make (L{ALL_ACTIONS}) and what
else it can do (L{ALL_STEPS}); the filter answers with what it wants of that, maybe with
a list of macros for each stage.  L{agreed} is the MTA's look at the answer, L{chosen}
the filter's at the offer.  Names are those of C{mfdef.h}, without C{SMFIF_} and C{SMFIP_}.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from umbcmail.filter.codec import MilterError, packet, packStrings, readNumber

VERSION = 6

# Actions: edits that a filter may ask for
ADDHDRS = 0x001
CHGBODY = 0x002
ADDRCPT = 0x004
DELRCPT = 0x008
CHGHDRS = 0x010
QUARANTINE = 0x020
CHGFROM = 0x040
ADDRCPT_PAR = 0x080
SETSYMLIST = 0x100
ALL_ACTIONS = 0x1FF

# Steps: commands that the filter does not want, or does not answer, and a few abilities
NOCONNECT = 0x000001
NOHELO = 0x000002
NOMAIL = 0x000004
NORCPT = 0x000008
NOBODY = 0x000010
NOHDRS = 0x000020
NOEOH = 0x000040
NR_HDR = 0x000080
NOUNKNOWN = 0x000100
NODATA = 0x000200
SKIP = 0x000400
RCPT_REJ = 0x000800
NR_CONN = 0x001000
NR_HELO = 0x002000
NR_MAIL = 0x004000
NR_RCPT = 0x008000
NR_DATA = 0x010000
NR_UNKN = 0x020000
NR_EOH = 0x040000
NR_BODY = 0x080000
HDR_LEADSPC = 0x100000
ALL_STEPS = 0x1FFFFF

UNWANTED = {
    b"C": NOCONNECT,
    b"H": NOHELO,
    b"M": NOMAIL,
    b"R": NORCPT,
    b"T": NODATA,
    b"L": NOHDRS,
    b"N": NOEOH,
    b"B": NOBODY,
    b"U": NOUNKNOWN,
}
"""By letter of a command: the step that says it is not to be sent."""
UNANSWERED = {
    b"C": NR_CONN,
    b"H": NR_HELO,
    b"M": NR_MAIL,
    b"R": NR_RCPT,
    b"T": NR_DATA,
    b"L": NR_HDR,
    b"N": NR_EOH,
    b"B": NR_BODY,
    b"U": NR_UNKN,
}
"""By letter of a command: the step that says it gets no answer."""

STAGES = {0: b"C", 1: b"H", 2: b"M", 3: b"R", 4: b"T", 5: b"E", 6: b"N"}
"""Letters of the commands whose macros a filter can choose, by the number that stands
for them in its list; the last two are in this order indeed."""
_NUMBERS = {letter: number for number, letter in STAGES.items()}

KEEPS = b"umbcmail_keeps"
"""A macro that nobody has.  A filter that asks for it at CONNECT says that it can do with
another client on the same connection (QUIT_NC), which libmilter can't."""
WHOLE = b"umbcmail_whole"
"""Another one: it can do with a message in one piece (L{umbcmail.filter.commands.whole})."""

_HEAD = struct.Struct(">III")


@dataclass(frozen=True, slots=True)
class Negotiation:
    """An offer, or the answer to it (C{O}).

    @ivar version: of the protocol.
    @ivar actions: of the flags above.
    @ivar steps: likewise.
    @ivar macros: names that a filter asks for, by letter of a command; each without
        braces where it is a single letter.
    """

    version: int = VERSION
    actions: int = ALL_ACTIONS
    steps: int = ALL_STEPS
    macros: Mapping[bytes, tuple[bytes, ...]] | None = None

    def packet(self) -> bytes:
        """The octets of it."""
        data = _HEAD.pack(self.version, self.actions, self.steps)
        for letter, names in (self.macros or {}).items():
            words = [b"{" + name + b"}" if len(name) > 1 else name for name in names]
            data += _NUMBERS[letter].to_bytes(4, "big") + packStrings([b" ".join(words)])
        return packet(b"O", data)

    @classmethod
    def read(cls, data: bytes) -> Negotiation:
        """Of the data of a packet.  Stages that nobody knows are left out.

        @raise MilterError: it is none.
        """
        if len(data) < _HEAD.size:
            raise MilterError("a negotiation that is too short")
        version, actions, steps = _HEAD.unpack_from(data)
        rest = data[_HEAD.size :]
        macros: dict[bytes, tuple[bytes, ...]] = {}
        while rest:
            number, rest = readNumber(rest)
            names, nul, rest = rest.partition(b"\0")
            if not nul:
                raise MilterError("a list of macros without its end")
            if number in STAGES:
                macros[STAGES[number]] = tuple(map(plainName, names.replace(b",", b" ").split()))
        return cls(version, actions, steps, macros or None)


def plainName(name: bytes) -> bytes:
    """A macro's name without its braces."""
    return name[1:-1] if name[:1] == b"{" and name[-1:] == b"}" else name


def agreed(offer: Negotiation, answer: Negotiation) -> Negotiation:
    """What holds on a connection, by an MTA's offer and the answer of a filter.  Steps
    that were not offered are left out, as Postfix does.

    @raise MilterError: the filter wants a version or an action that was not offered.
    """
    version = answer.version
    if not 2 <= version <= offer.version:
        raise MilterError(f"the filter speaks version {version} of the protocol")
    beyond = answer.actions & ~offer.actions
    if beyond:
        raise MilterError(f"the filter wants actions {beyond:#x}, which are not on offer")
    steps = answer.steps & offer.steps
    # What is younger than the version may not be sent to it.
    if version < 3:
        steps |= NOUNKNOWN
    if version < 4:
        steps |= NODATA
    return Negotiation(version, answer.actions, steps, answer.macros)


def chosen(offer: Negotiation, wanted: Negotiation) -> Negotiation:
    """The answer of a filter to an MTA's offer: what it wants, as far as it is offered.

    Who says C{NR_*} must look at the answer: where the bit is not in it, the MTA waits.

    @param wanted: steps that are not on offer are done without.
    @raise MilterError: the MTA's version is too old, or an action is not on offer.
    """
    if offer.version < 2:
        raise MilterError(f"the MTA speaks version {offer.version} of the protocol")
    missing = wanted.actions & ~offer.actions
    if missing & ~SETSYMLIST:
        raise MilterError(f"the MTA does not offer actions {missing & ~SETSYMLIST:#x}")
    macros = None if missing & SETSYMLIST else wanted.macros
    version = min(offer.version, wanted.version)
    return Negotiation(version, wanted.actions & offer.actions, wanted.steps & offer.steps, macros)
