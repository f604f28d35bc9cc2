"""A message as filters see it, and as they change it.  Pure but for its body.

The header is a list of fields, verbatim, so that signatures which count every blank stay
good.  The first field is our own Received, which no filter sees: it is hidden by what it is,
not by where it stands.  Edits are made when a filter has accepted in the end, and the next
filter sees the message after them.  The header is not taken apart as long as nobody needs
that.
"""

from __future__ import annotations

import re
from dataclasses import replace

from umbcmail.envelope import Envelope, Recipient
from umbcmail.filter.codec import MilterError
from umbcmail.interfaces import IContent

HEADER_LIMIT = 512 * 1024
"""Octets of a header that can be shown to filters."""

FIELDS = 5000
"""Fields of such a header; each costs a question and an answer."""
FIELD_LIMIT = 65000
"""Octets of a field; L{umbcmail.filter.codec.DATA_LIMIT} is what libmilter reads."""

_FIELD = re.compile(rb"([!-9;-~]+[ \t]*):([^\r]*(?:\r\n[ \t][^\r]*)*)\r\n")
_HEADER = re.compile(
    rb"(Received:[^\r]*(?:\r\n[ \t][^\r]*)*\r\n)(?:[!-9;-~]+[ \t]*:[^\r]*(?:\r\n[ \t][^\r]*)*\r\n)*\r\n"
)
_FIELD_END = re.compile(rb"\r\n(?![ \t])")
_SCORE = re.compile(rb"^x-spam-(?:score: *|status:.*?\bscore=)(-?[0-9]{1,9}(?:\.[0-9]{1,9})?)\b", re.DOTALL)
_NAME = re.compile(rb"[!-9;-~]+[ \t]*")
_NEW_NAME = re.compile(rb"[!-9;-~]{1,900}")


Field = tuple[bytes, bytes]
"""A header field: its name as it is written, blanks before the colon included, and all that
stands behind the colon, without the last CRLF."""


def splitContent(beginning: bytes, isWhole: bool) -> tuple[list[Field], int, bool]:
    """Take the header of a content apart.

    @param beginning: from its first octet on.
    @param isWhole: that is all of it.
    @return: the fields, the position of the body, and whether an empty line is before it.
    @raise MilterError: the header does not end in there, or has too large or too many fields.
    """
    end = beginning.find(b"\r\n\r\n")
    if end < 0 and not isWhole:
        raise MilterError("the header is too large to be shown to a filter")
    if end >= 0:
        found = _FIELD.findall(beginning, 0, end + 2)
        # What is between fields, or no field at all, is missing in the sum.
        isGood = sum([len(name) + len(value) for name, value in found]) + 3 * len(found) == end + 2
        if isGood and end < FIELD_LIMIT and len(found) <= FIELDS:
            return found, end + 4, True
    header = beginning[:end] if end >= 0 else beginning.removesuffix(b"\r\n")
    fields: list[Field] = []
    at = 0
    for text in _FIELD_END.split(header):
        name, colon, value = text.partition(b":")
        if not colon or not _NAME.fullmatch(name):
            # By RFC 5322 nothing from here on is header.
            return fields, at, False
        if fields and (len(text) > FIELD_LIMIT or len(fields) > FIELDS):
            raise MilterError("a header field is too large to be shown to a filter, or there are too many")
        fields.append((name, value))
        at += len(text) + 2
    return fields, min(at, len(beginning)) if end < 0 else end + 4, end >= 0


def newName(name: bytes) -> bytes:
    """A field's name as a filter has given it.

    @raise MilterError: it can't be one.
    """
    if not _NEW_NAME.fullmatch(name):
        raise MilterError(f"{name[:40]!r} can't be the name of a header field")
    return name


def newValue(value: bytes, isVerbatim: bool) -> bytes:
    """A field's value as a filter has given it, so that nothing in it can end the field or
    begin another: line ends are made CRLF, and what follows one begins with a blank.

    @param isVerbatim: the filter has given the blank behind the colon, too.
    @raise MilterError: it is too long.
    """
    if len(value) > FIELD_LIMIT - 2000:
        raise MilterError("a header field that is too long")
    value = value.replace(b"\r\n", b"\n").replace(b"\r", b"").replace(b"\0", b"")
    if b"\n" in value:
        first, *others = value.split(b"\n")
        lines = [line if line[:1] in (b" ", b"\t") else b"\t" + line for line in others if line.strip()]
        value = b"\r\n".join([first, *lines])
        if len(value) > FIELD_LIMIT - 1000:
            raise MilterError("a header field that is too long")
    return value if isVerbatim else b" " + value


class Message:
    """A message between its filters.

    @ivar envelope: with the edits so far.
    @ivar contents: all that the message has been so far, whole or body only.
    @ivar body: content that has the body in it.
    @ivar at: where in it what is behind L{header} begins.
    @ivar isChanged: the content is not that of the client any more.
    """

    def __init__(self, envelope: Envelope, content: IContent, beginning: bytes) -> None:
        """
        @param beginning: of the content; all of it, or as much as has the header.
        @raise MilterError: it has not.
        """
        self.envelope = envelope
        self.body = content
        self.contents = [content]
        self.isChanged = False
        self._beginning = beginning
        self._added: list[Field] = []
        self._inserted: list[Field] = []
        self._fields: list[Field] | None = None
        self._hidden: Field | None = None
        self.at = _endOfReceived(beginning)
        if not self.at:
            self.split()

    def split(self) -> list[Field]:
        """Take the header apart.

        @return: the header, with the edits so far; L{at} is that of the body then.
        """
        fields = self._fields
        if fields is None:
            fields, self.at, _ = splitContent(self._beginning, len(self._beginning) == self.body.size)
            self._hidden = fields[0] if fields else None
            fields[1:1] = self._inserted
            self._fields = fields
        return fields

    def whole(self) -> bytes | None:
        """All that filters see; L{None} where it is not at hand in one piece."""
        data = self.body.data
        return data[self.at :] if self._fields is None and not self.isChanged and data is not None else None

    def visible(self) -> list[Field]:
        """What filters see of the header."""
        fields, hidden = self.split(), self._hidden
        return [field for field in fields if field is not hidden]

    def valueOf(self, key: bytes) -> bytes:
        """The value of the first field of a name in lower case, C{b""} without."""
        return next((value.strip() for name, value in self.split() if name.rstrip().lower() == key), b"")

    def score(self) -> float | None:
        """The highest spam score that a filter has written into the header, and no later one
        has removed; what the client has written does not count."""
        found = [_SCORE.search(b"%b:%b" % (field[0].lower(), field[1])) for field in self._added]
        return max([float(match[1]) for match in found if match is not None], default=None)

    def header(self) -> bytes:
        """The octets of the header, with the empty line behind it; or, as long as it is whole,
        those of its beginning that has been changed."""
        if self._fields is None:
            return self._beginning[: self.at] + b"".join([b"%b:%b\r\n" % field for field in self._inserted])
        return b"".join([b"%b:%b\r\n" % field for field in self._fields]) + b"\r\n"

    # Edits of the header

    def addField(self, name: bytes, value: bytes) -> None:
        """At the end."""
        self.isChanged = True
        self.split().append(self._new(name, value))

    def _new(self, name: bytes, value: bytes) -> Field:
        field = (name, value)
        self._added.append(field)
        return field

    def insertField(self, index: int, name: bytes, value: bytes) -> None:
        """@param index: in the whole header, our Received included."""
        self.isChanged = True
        if self._fields is None and index == 1:
            self._inserted.insert(0, self._new(name, value))
        else:
            self.split().insert(index, self._new(name, value))

    def changeField(self, index: int, name: bytes, value: bytes) -> None:
        """Change a field or remove it; where there is none add it.

        @param index: from 1, among those of the name that filters see; those that have
            been removed do not count, as with Postfix.
        @param value: C{b""}: remove it.
        """
        fields, key, hidden = self.split(), name.lower(), self._hidden
        same = [n for n, field in enumerate(fields) if field is not hidden and field[0].rstrip().lower() == key]
        at = max(index, 1) - 1
        if at >= len(same):
            if value:
                self.addField(name, value)
            return
        self.isChanged = True
        old = fields[same[at]]
        self._added = [field for field in self._added if field is not old]
        if value:
            fields[same[at]] = self._new(name, value)
        else:
            del fields[same[at]]

    # Edits of the rest

    def replaceBody(self, content: IContent, isAscii: bool) -> None:
        """@param content: the new body and nothing else."""
        self.split()
        self.isChanged = True
        self.body = content
        self.contents.append(content)
        self.at = 0
        if not isAscii:
            self.envelope = replace(self.envelope, body="8BITMIME")

    def changeSender(self, sender: str, ret: str | None, envid: str | None) -> None:
        """@param ret: L{None}: as it was.  @param envid: likewise."""
        old = self.envelope
        ret, envid = old.ret if ret is None else ret, old.envid if envid is None else envid
        self.envelope = replace(old, sender=sender, ret=ret, envid=envid)

    def addRecipient(self, recipient: Recipient) -> None:
        """One that is there stays as it is."""
        recipients = self.envelope.recipients
        if all(pathKey(each.address) != pathKey(recipient.address) for each in recipients):
            self.envelope = replace(self.envelope, recipients=(*recipients, recipient))

    def deleteRecipient(self, address: str) -> None:
        """All that are called so; none is no error."""
        old, key = self.envelope, pathKey(address)
        recipients = tuple(each for each in old.recipients if pathKey(each.address) != key)
        heldFor = tuple(each for each in old.heldFor if pathKey(each) != key)
        # Those that it was held for are gone, and an empty list would mean all.
        hold = "" if old.heldFor and not heldFor else old.hold
        self.envelope = replace(old, recipients=recipients, heldFor=heldFor, hold=hold)

    def hold(self, why: str) -> None:
        """Put it aside for all."""
        old = self.envelope
        self.envelope = replace(old, hold=f"{old.hold}; {why}" if old.hold else why, heldFor=())


def _endOfReceived(beginning: bytes) -> int:
    """Where our own Received ends; 0: there is none, or the header has more than fields, or
    may be too large to be shown to a filter."""
    found = _HEADER.match(beginning)
    if found is None or found.end() >= FIELD_LIMIT or beginning.count(b"\r\n", 0, found.end()) >= FIELDS:
        return 0
    return found.end(1)


def pathKey(address: str) -> tuple[str, str]:
    """What is the same for two ways to write an address."""
    local, _, domain = address.rpartition("@")
    return local, domain.lower()
