"""What spamd is told and says: its file C{spamd/PROTOCOL}.  Pure.

What can't be read is an error, and never a message that is no spam.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.utils import formatdate

from umbcmail.envelope import Client
from umbcmail.examination import ModuleError

_STATUS = re.compile(r"SPAMD/[0-9.]+ ([0-9]+) (.*)")
_SPAM = re.compile(r"(?i)(true|yes|false|no)\s*;\s*(-?[0-9]+(?:\.[0-9]+)?)\s*/\s*(-?[0-9]+(?:\.[0-9]+)?)")
_SYMBOLS = re.compile(r"[A-Za-z0-9_,]*")
_UNSAFE = re.compile(r"[^A-Za-z0-9.:@_+-]")


@dataclass(frozen=True, slots=True)
class Judgement:
    """What spamd says.

    @ivar isSpam: the score has reached the threshold.
    @ivar symbols: names of rules that have matched.
    """

    isSpam: bool
    score: float
    threshold: float
    symbols: tuple[str, ...] = ()


def request(size: int, user: str = "") -> bytes:
    """What comes before a message.

    @param size: octets of it.
    @param user: whose settings count, C{""}: those of all.
    """
    # The names of these fields are taken as they are written.
    who = f"User: {user}\r\n" if user else ""
    return f"SYMBOLS SPAMC/1.5\r\nContent-length: {size}\r\n{who}\r\n".encode()


def received(client: Client, hostName: str, id: str, now: float) -> bytes:
    """A Received field for the client: the MTA adds its own when filters have seen the
    message, and without one SpamAssassin does not know where it comes from."""
    helo = _UNSAFE.sub("?", client.helo) or "unknown"
    name = _UNSAFE.sub("?", client.name) or "unknown"
    address = _UNSAFE.sub("?", client.address)
    address = f"IPv6:{address}" if ":" in address else address
    origin = f"from {helo} ({name} [{address}])" if address else "from localhost (localhost [127.0.0.1])"
    how = ("ESMTPSA" if client.login else "ESMTPS") if client.tls else ("ESMTPA" if client.login else "ESMTP")
    host = _UNSAFE.sub("?", hostName) or "localhost"
    by = f"by {host} (umbcmail) with {how} id {_UNSAFE.sub('?', id)}"
    return f"Received: {origin}\r\n\t{by};\r\n\t{formatdate(now)}\r\n".encode()


def judgementIn(reply: bytes) -> Judgement:
    """The reply to L{request}.

    @raise ModuleError: it is none, or spamd can't tell.
    """
    head, _, body = reply.decode("utf-8", "replace").partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    status = _STATUS.fullmatch(first)
    if status is None:
        raise ModuleError(f"it says: {reply[:80]!r}")
    if status[1] != "0":
        raise ModuleError(f"it says: {status[1]} {status[2][:80]}")
    fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    spam = _SPAM.fullmatch(fields.get("spam", ""))
    length = fields.get("content-length", "")
    if spam is None or not length.isdigit() or len(body) < int(length):
        raise ModuleError(f"no whole reply: {reply[:80]!r}")
    symbols = body[: int(length)].strip()
    if not _SYMBOLS.fullmatch(symbols):
        raise ModuleError(f"no names of rules: {symbols[:80]!r}")
    isSpam = spam[1].lower() in ("true", "yes")
    return Judgement(isSpam, float(spam[2]), float(spam[3]), tuple(filter(None, symbols.split(","))))
