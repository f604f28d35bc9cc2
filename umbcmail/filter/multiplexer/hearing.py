"""What an MTA has said on one connection: the state of the filter's side.  Pure but for the
octets of large messages.

`session` feeds it commands; it answers those that need an answer, and has the message
together at the end of the body.  It takes commands in any order, as MTAs leave out what a
filter does not want, and forgets nothing of the client when a message ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from umbcmail.envelope import Client
from umbcmail.examination import Examined
from umbcmail.filter.answers import CONTINUE
from umbcmail.filter.codec import MilterError
from umbcmail.filter.commands import (
    IPV4,
    IPV6,
    Bare,
    Body,
    Command,
    Connect,
    Header,
    Helo,
    Macros,
    Mail,
    Rcpt,
)
from umbcmail.filter.message import splitContent
from umbcmail.filter.multiplexer.kept import Kept
from umbcmail.filter.negotiation import (
    ADDHDRS,
    CHGHDRS,
    HDR_LEADSPC,
    KEEPS,
    NODATA,
    NOUNKNOWN,
    QUARANTINE,
    SETSYMLIST,
    UNANSWERED,
    WHOLE,
    Negotiation,
    chosen,
)
from umbcmail.interfaces import IContent

HEADER_LIMIT = 1024 * 1024
"""Octets of a header."""
RECIPIENTS = 1000
"""Recipients that modules are told of."""
_VALUE_LIMIT = 1000

_MACROS: Mapping[bytes, tuple[bytes, ...]] = {
    b"C": (b"j", b"client_addr", b"client_name", KEEPS, WHOLE),
    b"H": (b"tls_version", b"cipher"),
    b"M": (b"i", b"auth_authen"),
    b"R": (b"i",),
    b"T": (),
    b"E": (),
    b"N": (),
}
"""All that is wanted.  Postfix knows C{i} from the first RCPT on."""
_WANTED = frozenset(name for names in _MACROS.values() for name in names)
_OF_MESSAGE = (b"E", b"N", b"T", b"R", b"M")

_LETTERS = {Connect: b"C", Helo: b"H", Mail: b"M", Rcpt: b"R", Header: b"L", Body: b"B"}


def answerTo(offer: Negotiation) -> Negotiation:
    """What is wanted of an MTA: no answer before the end of the message, and values with
    the blank behind the colon.

    @raise MilterError: it can't change headers, or is too old.
    """
    steps = sum(UNANSWERED.values()) | NODATA | NOUNKNOWN | HDR_LEADSPC
    actions = ADDHDRS | CHGHDRS | (offer.actions & (QUARANTINE | SETSYMLIST))
    return chosen(offer, Negotiation(6, actions, steps, _MACROS))


class Hearing:
    """What has been said.

    @ivar kept: the octets of the message, L{None} where there is none.
    @ivar canQuarantine: the MTA can.
    """

    def __init__(self, newKept: Callable[[], Kept], newId: Callable[[], str]) -> None:
        """
        @param newKept: makes a place for a message.
        @param newId: names a message that the MTA has no name for.
        """
        self.kept: Kept | None = None
        self.canQuarantine = False
        self._newKept = newKept
        self._newId = newId
        self._terms: Negotiation | None = None
        self._macros: dict[bytes, Mapping[bytes, bytes]] = {}
        self._connect = Connect(b"", b"U", 0, b"")
        self._helo = b""
        self._newMessage()

    def _newMessage(self) -> None:
        self._sender = b""
        self._recipients: list[bytes] = []
        self._fields: list[tuple[bytes, bytes]] = []
        self._headerSize = 0
        self._at = 0

    def close(self) -> None:
        """Forget the message."""
        if self.kept is not None:
            self.kept.close()
            self.kept = None
        for letter in _OF_MESSAGE:
            self._macros.pop(letter, None)
        self._newMessage()

    def take(self, command: Command) -> bytes:
        """A command, but the end of a body.

        @return: what is said to it.
        @raise MilterError: it makes no sense.
        """
        if isinstance(command, Negotiation):
            self._terms = terms = answerTo(command)
            self.canQuarantine = bool(terms.actions & QUARANTINE)
            return terms.packet()
        if self._terms is None:
            raise MilterError("no negotiation comes first")
        if isinstance(command, Macros):
            wanted = {k: v[:_VALUE_LIMIT] for k, v in command.values.items() if k in _WANTED}
            self._macros[command.letter] = wanted
            return b""
        if isinstance(command, Bare):
            return self._bare(command.letter)
        self._heard(command)
        letter = _LETTERS.get(type(command), b"U")
        return b"" if self._terms.steps & UNANSWERED[letter] else CONTINUE

    def _bare(self, letter: bytes) -> bytes:
        if letter in (b"A", b"K"):
            self.close()
            return b""
        assert self._terms is not None
        return b"" if self._terms.steps & UNANSWERED[letter] else CONTINUE

    def _heard(self, command: Command) -> None:
        if isinstance(command, Body):
            self.body(command.octets)
        elif isinstance(command, Header):
            self._header(command)
        elif isinstance(command, Rcpt):
            if len(self._recipients) < RECIPIENTS:
                self._recipients.append(command.recipient[:_VALUE_LIMIT])
        elif isinstance(command, Mail):
            macros = self._macros.get(b"M", {})
            self.close()
            self._macros[b"M"] = macros
            self._sender = command.sender[:_VALUE_LIMIT]
        elif isinstance(command, Helo):
            self._helo = command.name[:_VALUE_LIMIT]
        elif isinstance(command, Connect):
            macros = self._macros.get(b"C", {})
            self.close()
            self._macros = {b"C": macros}
            self._connect = command
            self._helo = b""

    def _header(self, command: Header) -> None:
        value = command.value if self.isVerbatim else b" " + command.value
        self._headerSize += len(command.name) + len(value) + 8
        if self._headerSize <= HEADER_LIMIT:
            # Folds are bare LFs here.
            self._fields.append((command.name, value.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")))

    # The content

    def whole(self, octets: bytes) -> None:
        """Header and body in one piece."""
        fields, at, isEnded = splitContent(octets, True)
        if b" :" in octets[:at] or b"\t:" in octets[:at] or b"\0" in octets[:at]:
            # As from MTAs that send it field by field.
            fields = [(name.rstrip(), value.replace(b"\0", b"")) for name, value in fields]
            isEnded = False
        self._fields += fields
        self._headerSize += at
        if isEnded:
            self._at = at
            self.kept = self._newKept()
            self.kept.add(octets)
        else:
            self.body(octets[at:])

    @property
    def isInMessage(self) -> bool:
        """A message has begun."""
        return bool(self._sender or self._recipients or self._fields or self.kept)

    @property
    def isVerbatim(self) -> bool:
        """Values go both ways with the blank behind the colon."""
        return self._terms is not None and bool(self._terms.steps & HDR_LEADSPC)

    @property
    def isTooLarge(self) -> bool:
        """There is more of the message than may be."""
        return self._headerSize > HEADER_LIMIT or (self.kept is not None and self.kept.isTooLarge)

    def body(self, octets: bytes) -> None:
        """Some of the body."""
        if octets and self._headerSize <= HEADER_LIMIT:
            self._begun().add(octets)

    def _begun(self) -> Kept:
        if self.kept is None:
            self.kept = self._newKept()
            header = b"".join([b"%b:%b\r\n" % field for field in self._fields]) + b"\r\n"
            self._at = len(header)
            self.kept.add(header)
        return self.kept

    def finish(self) -> Kept:
        """The end of the body."""
        return self._begun()

    def examined(self, content: IContent) -> Examined:
        """The message.  @param content: all of it."""
        return Examined(
            self.id,
            self._client(),
            address(self._sender),
            tuple(map(address, self._recipients)),
            text(self._macro(b"j")),
            tuple(self._fields),
            self._at,
            content,
        )

    @property
    def id(self) -> str:
        """The name of the message."""
        return text(self._macro(b"i")) or self._newId()

    def _macro(self, name: bytes) -> bytes:
        for letter in (*_OF_MESSAGE, b"H", b"C"):
            value = self._macros.get(letter, {}).get(name)
            if value:
                return value
        return b""

    def _client(self) -> Client:
        connect = self._connect
        isIP = connect.family in (IPV4, IPV6)
        name = text(connect.hostName)
        tls = text(self._macro(b"tls_version") + b" " + self._macro(b"cipher")).strip()
        return Client(
            text(connect.address) if isIP else "",
            connect.port if isIP else 0,
            "" if name[:1] == "[" or not isIP else name,
            text(self._helo),
            True,
            tls,
            text(self._macro(b"auth_authen")),
        )


def text(octets: bytes) -> str:
    """Octets of an MTA, without what could harm a log or a header."""
    return "".join(c if c.isprintable() else "?" for c in octets.decode("utf-8", "replace"))


def address(octets: bytes) -> str:
    """A path without its brackets."""
    return text(octets).removeprefix("<").removesuffix(">")
