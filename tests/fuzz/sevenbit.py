"""8-bit messages for 7-bit hops: L{umbcmail.send.sevenbit}."""

from __future__ import annotations

from email import message_from_bytes
from email.message import Message

from umbcmail.send.sevenbit import CannotConvert, isPlain, sevenBit

_MIME = b"MIME-Version: 1.0\r\nContent-Type: "
SEEDS = [
    b"Subject: \xe9\r\n\r\n\xc3\xa9t\xc3\xa9\r\n",
    _MIME + b"text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xc3\xa9\r\n",
    _MIME + b"multipart/mixed; boundary=q\r\n\r\n--q\r\n\r\n\xe9\r\n--q\r\nContent-Type: message/rfc822\r\n\r\n"
    b"Subject: x\r\n\r\n\xff\r\n--q--\r\n",
    _MIME + b'multipart/signed; boundary="q"\r\n\r\n--q\r\n\r\n\xe9\r\n--q--\r\n',
]


def check(data: bytes) -> None:
    """It is 7-bit then, and says the same; or L{CannotConvert}."""
    if isPlain(data):
        assert sevenBit(data) == data
        return
    try:
        made = sevenBit(data)
    except CannotConvert:
        return
    assert made.isascii()
    if b"\0" not in made and _hasWholeLines(data):
        assert isPlain(made), made
        assert sevenBit(made) == made
    if b"\r\n\r\n" not in data or not _hasWholeLines(data) or b"\0" in data:
        return
    before, after = message_from_bytes(data), message_from_bytes(made)
    if not before.defects and not before.is_multipart() and not after.is_multipart() and not _isOdd(before):
        assert _octets(after) == _octets(before), (made,)


def _hasWholeLines(data: bytes) -> bool:
    ends = data.count(b"\r\n")
    return data.count(b"\r") == ends and data.count(b"\n") == ends


def _isOdd(message: Message) -> bool:
    """What Python's package reads otherwise than we do."""
    names = [name.lower() for name in message]
    return bool(
        str(message.get("content-transfer-encoding", "8bit")).lower() not in ("7bit", "8bit", "binary")
        or len(names) != len(set(names))
    )


def _octets(message: Message) -> bytes:
    return message.get_payload(decode=True).rstrip(b"\r\n")  # type: ignore[union-attr]
