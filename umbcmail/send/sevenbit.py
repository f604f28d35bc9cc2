"""A message with 8-bit octets as one without, for servers that do not offer 8BITMIME.

Pure; used by L{Fitting<umbcmail.send.fitting.Fitting>}.  Each body part with octets
that 7-bit mail can't carry becomes quoted-printable or base64 (RFC 6152 section 3,
RFC 2045 section 6); all else stays as it is, octet by octet.  What is signed or
encrypted (RFC 1847) must not be touched, and some kinds of parts may not be encoded:
then L{CannotConvert} is raised, and so it is where the MIME structure is not clear.
"""

from __future__ import annotations

import base64
import re

from umbcmail.send.sevenbitheader import CannotConvert, charsetOf, sevenBitField

__all__ = ["CannotConvert", "sevenBit"]

DEEPEST = 50
"""Parts within parts that are looked into."""

_IDENTITY = (b"", b"7bit", b"8bit", b"binary")
_FIELDS = re.compile(rb"\r\n(?![ \t])")
_COMMENT = re.compile(rb"\([^()\\]*\)")
_TYPE = re.compile(rb"\s*([^\s/;()\"]+)/([^\s/;()\"]+)\s*(?:;|\Z)")
_BOUNDARY = re.compile(rb";\s*boundary\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s;\"]+))", re.IGNORECASE)
_TAIL = re.compile(rb"(--)?[ \t]*(?=\r\n|\Z)")
_HIGH = bytes(range(128, 256))
_UNSAFE = re.compile(rb"[^\t -<>-~]")
_EIGHT = re.compile(rb"[\x80-\xff]")
_CODES = [b"=%02X" % octet for octet in range(256)]
_PIECE = 64 * 1024
"""Octets that are encoded at a time, so that other threads get their turn."""


def isPlain(data: bytes) -> bool:
    """Whether 7-bit mail can carry it: ASCII without NUL, lines that end in CRLF."""
    if not data.isascii() or b"\0" in data:
        return False
    ends = data.count(b"\r\n")
    return data.count(b"\n") == ends and data.count(b"\r") == ends


def sevenBit(data: bytes) -> bytes:
    """The message in 7-bit form.

    @param data: a whole message.
    @raise CannotConvert: there is no such form, or it can't be told which.
    """
    made = _Conversion(data)
    made.entity(0, len(data), True, b"text/plain", 0)
    result = b"".join(made.pieces)
    if not result.isascii():
        raise CannotConvert("octets are left over")
    if data.endswith(b"\r\n") and not result.endswith(b"\r\n"):
        result += b"\r\n"
    return result


class _Header:
    """The header of a message or part.

    @ivar fields: as they are, with their folds, without the last line end.
    @ivar kind: C{b"text/plain"}, in lower case.
    @ivar hasType: there is a Content-Type.
    @ivar encoding: the transfer encoding, in lower case.
    @ivar boundary: of a multipart.
    """

    def __init__(self, block: bytes, default: bytes) -> None:
        self.fields = _FIELDS.split(block) if block else []
        value = self._only(b"content-type")
        self.hasType = value is not None
        self.kind, self.boundary = default, b""
        if value is not None:
            self._typed(value)
        self.encoding = _COMMENT.sub(b"", self._only(b"content-transfer-encoding") or b"").strip().lower()

    def _only(self, name: bytes) -> bytes | None:
        """The value of a field, unfolded."""
        found = [value for value in map(_Named(name), self.fields) if value is not None]
        if len(found) > 1:
            raise CannotConvert("there are two fields " + name.decode())
        return found[0].replace(b"\r\n", b"") if found else None

    def _typed(self, value: bytes) -> None:
        found = _TYPE.match(_COMMENT.sub(b"", value))
        if found is None:
            lower = value.lower()
            if b"multipart" in lower or b"message" in lower:
                raise CannotConvert("a Content-Type can't be understood")
            self.kind = b"text/plain" if lower.strip().startswith(b"text") else b"application/octet-stream"
            return
        self.kind = (found[1] + b"/" + found[2]).lower()
        bound = _BOUNDARY.findall(value)
        if len(bound) == 1:
            quoted, bare = bound[0]
            self.boundary = bare or re.sub(rb"\\(.)", rb"\1", quoted)

    def has(self, name: bytes) -> bool:
        """Whether there is such a field."""
        return any(map(_Named(name).isIn, self.fields))

    def encoded(self, encoding: bytes) -> None:
        """Another transfer encoding than before."""
        named = _Named(b"content-transfer-encoding")
        field = b"Content-Transfer-Encoding: " + encoding
        places = [at for at, each in enumerate(self.fields) if named.isIn(each)]
        if places:
            self.fields[places[0]] = field
        else:
            self.add(field)

    def add(self, field: bytes) -> None:
        """One more field, at the end."""
        at = len(self.fields)
        if at and not self.fields[-1]:
            at -= 1
        self.fields.insert(at, field)

    def octets(self) -> bytes:
        """The header, in ASCII."""
        return b"\r\n".join([each if each.isascii() else sevenBitField(each) for each in self.fields])


class _Named:
    """Finds the value of a field of some name."""

    def __init__(self, name: bytes) -> None:
        self._name = name

    def __call__(self, field: bytes) -> bytes | None:
        name, colon, value = field.partition(b":")
        return value if colon and name.rstrip(b" \t").lower() == self._name else None

    def isIn(self, field: bytes) -> bool:
        """Whether the field has the name."""
        return self(field) is not None


class _Conversion:
    """The conversion of one message.

    @ivar pieces: what has been made so far.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.pieces: list[bytes] = []

    def entity(self, start: int, end: int, isMessage: bool, default: bytes, depth: int) -> None:
        """A message or a part: header and body.

        @param default: its type if it does not say.
        """
        data = self._data
        whole = data[start:end]
        if isPlain(whole):
            self.pieces.append(whole)
            return
        if depth > DEEPEST:
            raise CannotConvert("parts are in each other too deep")
        block, blank, body = self._parted(start, end)
        header = _Header(block, default)
        if isPlain(data[body:end]):
            self._put(header, blank)
            self.pieces.append(data[body:end])
        elif header.encoding not in _IDENTITY:
            raise CannotConvert("a part is encoded and has octets that it can't have")
        elif header.kind.startswith(b"multipart/"):
            self._multipart(header, blank, body, end, depth)
        elif header.kind.startswith(b"message/") and not header.kind.startswith(b"message/global"):
            if header.kind not in (b"message/rfc822", b"message/news"):
                raise CannotConvert("a part of this type can't be encoded")
            self._put(self._narrowed(header), blank)
            self.entity(body, end, True, b"text/plain", depth + 1)
        else:
            self._leaf(header, isMessage, body, end)

    def _parted(self, start: int, end: int) -> tuple[bytes, bytes, int]:
        """The header without its last line end, what stands before the body, and
        where the body begins."""
        data = self._data
        if data.startswith(b"\r\n", start, end):
            return b"", b"\r\n", start + 2
        at = data.find(b"\r\n\r\n", start, end)
        if at < 0:
            return data[start:end], b"", end
        return data[start:at], b"\r\n\r\n", at + 4

    def _put(self, header: _Header, blank: bytes) -> None:
        made = header.octets()
        if made and blank == b"\r\n":
            blank = b"\r\n\r\n"
        self.pieces += (made, blank)

    @staticmethod
    def _narrowed(header: _Header) -> _Header:
        """All inside of it is going to be 7-bit."""
        if header.encoding in (b"8bit", b"binary"):
            header.encoded(b"7bit")
        return header

    def _leaf(self, header: _Header, isMessage: bool, body: int, end: int) -> None:
        octets = self._data[body:end]
        if isMessage and not header.has(b"mime-version"):
            header.add(b"MIME-Version: 1.0")
        if not header.hasType:  # RFC 1428
            header.add(b"Content-Type: text/plain; charset=" + charsetOf(octets))
        if header.kind.startswith((b"text/", b"message/")) and _isMostlyText(octets):
            header.encoded(b"quoted-printable")
            self._put(header, b"\r\n\r\n")
            self.pieces += quotedPrintable(octets)
        else:
            header.encoded(b"base64")
            self._put(header, b"\r\n\r\n")
            self.pieces += base64Lines(octets)

    def _multipart(self, header: _Header, blank: bytes, body: int, end: int, depth: int) -> None:
        if header.kind in (b"multipart/signed", b"multipart/encrypted"):
            raise CannotConvert("what is signed or encrypted must not be changed")
        if not header.boundary:
            raise CannotConvert("a multipart has no boundary")
        marks = list(self._delimiters(b"--" + header.boundary, body, end))
        if not marks:
            raise CannotConvert("the boundary of a multipart is not found")
        self._put(self._narrowed(header), blank)
        default = b"message/rfc822" if header.kind == b"multipart/digest" else b"text/plain"
        self.pieces.append(_escaped(self._data[body : marks[0][0]]))
        for number, (at, after, isLast) in enumerate(marks):
            self.pieces.append(self._data[at:after])
            until = marks[number + 1][0] if number + 1 < len(marks) else end
            if isLast:
                self.pieces.append(_escaped(self._data[after:end]))
                return
            start = min(after + 2, end)
            if start <= until:
                self.pieces.append(self._data[after:start])
                self.entity(start, until, False, default, depth + 1)

    def _delimiters(self, dashes: bytes, body: int, end: int) -> list[tuple[int, int, bool]]:
        """The delimiter lines of a multipart (RFC 2046 section 5.1.1): where each
        begins, with the line end before it; where its own line end begins; whether
        it is the last."""
        data = self._data
        found: list[tuple[int, int, bool]] = []
        at, text = body, body
        if not data.startswith(dashes, body, end):
            at = data.find(b"\r\n" + dashes, body, end)
            text = at + 2
        while at >= 0:
            tail = _TAIL.match(data, text + len(dashes), end)
            if tail is not None:
                found.append((at, tail.end(), tail[1] is not None))
                if tail[1] is not None:
                    break
            at = data.find(b"\r\n" + dashes, tail.end() if tail is not None else text, end)
            text = at + 2
        return found


def _escaped(octets: bytes) -> bytes:
    """Text around the parts of a multipart, which nobody reads."""
    return octets if octets.isascii() else _EIGHT.sub(_coded, octets)


def _coded(found: re.Match[bytes]) -> bytes:
    return _CODES[found[0][0]]


def _isMostlyText(octets: bytes) -> bool:
    """Quoted-printable is not much longer than base64, and can be read."""
    return (len(octets) - len(octets.translate(None, _HIGH))) * 5 <= len(octets) + 400


def quotedPrintable(octets: bytes) -> list[bytes]:
    """Quoted-printable (RFC 2045 section 6.7), in pieces; a CR or LF that stands
    alone is coded, so it comes back as it was."""
    pieces = []
    at = 0
    while at < len(octets):
        end = octets.find(b"\r\n", at + _PIECE)
        end = len(octets) if end < 0 else end + 2
        pieces.append(b"\r\n".join([_quotedLine(line) for line in octets[at:end].split(b"\r\n")]))
        at = end
    return pieces


def _quotedLine(line: bytes) -> bytes:
    line = _UNSAFE.sub(_coded, line)
    if line.endswith((b" ", b"\t")):
        line = line[:-1] + _CODES[line[-1]]
    if len(line) <= 76:
        return line
    pieces = []
    at = 0
    while len(line) - at > 76:
        cut = at + 75
        while b"=" in line[cut - 2 : cut]:  # a code is not cut
            cut -= 1
        pieces.append(line[at:cut])
        at = cut
    pieces.append(line[at:])
    return b"=\r\n".join(pieces)


def base64Lines(octets: bytes) -> list[bytes]:
    """Base64 (RFC 2045 section 6.8), in pieces, without the last line end."""
    step = 57 * (_PIECE // 57)
    pieces = [base64.encodebytes(octets[at : at + step]).replace(b"\n", b"\r\n") for at in range(0, len(octets), step)]
    if pieces:
        pieces[-1] = pieces[-1].removesuffix(b"\r\n")
    return pieces
