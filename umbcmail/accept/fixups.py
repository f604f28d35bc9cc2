"""What a submission port adds to messages of mail programs (RFC 6409 section 8).  Pure.

C{Date} and C{Message-ID} where they are missing or empty, and no C{Bcc} goes on.
Nothing but these fields of the header is touched, and of the body nothing at all.
Also here: whether a sender address belongs to who has logged in.  C{body} and
C{dialogue} ask on ports with C{submission} and C{sender-login} only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from umbcmail import reply
from umbcmail.accept.grammar import CommandError
from umbcmail.accept.received import dateText
from umbcmail.address import domainOf
from umbcmail.envelope import Envelope
from umbcmail.options import BOOLEAN, WORD, Option, choice, listOf

OPTIONS = (
    Option("submission", BOOLEAN, False, "Add Date and Message-ID that are missing, and remove Bcc; never on port 25."),
    Option(
        "sender-login",
        choice("any", "match"),
        "any",
        "Whose address MAIL may name: anybody's, or that of the login only, as it is or in a local domain.",
    ),
    Option(
        "trusted-users",
        listOf(WORD),
        ["root"],
        "Users of this host whose programs may name any sender at a UNIX socket; of others it is noted in the header.",
    ),
)

_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:")
_UNSAFE = re.compile(r"[^!-~]")
_HIDDEN = frozenset((b"bcc", b"resent-bcc"))
_NEEDED = frozenset((b"date", b"message-id"))


def headerEnd(data: bytes) -> int:
    """Where the header ends.

    @param data: a message from its first octet on, maybe not all of it.
    @return: position of the CRLF of the empty line, or -1 when it is not there.
    """
    if data.startswith(b"\r\n"):
        return 0
    end = data.find(b"\r\n\r\n")
    return end + 2 if end >= 0 else -1


def fixedHeader(header: bytes, date: str, messageId: str) -> bytes:
    """The header of a message as it may go on.

    @param header: whole lines, without the empty one.
    @param date: as in RFC 5322 section 3.3.
    @param messageId: with its angle brackets.
    """
    found = set()
    kept = []
    lines = header.split(b"\r\n")
    at = 0
    while at < len(lines) and lines[at][:1] in (b" ", b"\t"):
        at += 1
    top = lines[:at]
    while at < len(lines):
        field = _FIELD.match(lines[at])
        if field is None:
            # No field: by RFC 5322 nothing behind it is header.
            kept += lines[at:]
            break
        end = at + 1
        while end < len(lines) and lines[end][:1] in (b" ", b"\t"):
            end += 1
        name = field[1].lower()
        isEmpty = name in _NEEDED and not b"".join(lines[at:end])[field.end() :].strip()
        if name not in _HIDDEN and not isEmpty:
            found.add(name)
            kept += lines[at:end]
        at = end
    added = []
    if b"date" not in found:
        added.append(b"Date: " + date.encode())
    if b"message-id" not in found:
        added.append(b"Message-ID: " + messageId.encode())
    return b"\r\n".join(top + added + kept)


def mender(
    envelope: Envelope, hostName: str, mayName: Callable[[str, str], bool] | None = None
) -> Callable[[bytes], bytes]:
    """What makes of the header of a message one that may go on.

    @param mayName: whether a user of this host may name a sender without a note; L{None}:
        anybody may.
    """
    note = b""
    if mayName is not None and not mayName(envelope.client.login, envelope.sender):
        login = _UNSAFE.sub("?", envelope.client.login)
        text = f"{hostName}: {login} set sender to {envelope.sender} using -f"
        note = b"X-Authentication-Warning: " + text.encode("utf-8", "replace") + b"\r\n"

    def mend(header: bytes) -> bytes:
        return note + fixedHeader(header, dateText(envelope.arrived), f"<{envelope.id}@{hostName}>")

    return mend


def checkSender(owns: Callable[[str, str], bool], login: str, sender: str) -> None:
    """Whether a client may name a sender (RFC 6409 section 6.1).

    @param owns: see L{ownsSender}.
    @raise CommandError: it may not.
    """
    if not login:
        raise CommandError(reply.NEED_LOGIN)
    if not owns(login, sender):
        raise CommandError(reply.NOT_YOUR_ADDRESS)


def ownsSender(isLocal: Callable[[str], bool]) -> Callable[[str, str], bool]:
    """What says whether a login may send as an address.

    @param isLocal: whether a domain is one whose users are our logins.
    @return: a function of login and sender.  The null sender is everybody's.
    """

    def owns(login: str, sender: str) -> bool:
        who, address = login.lower(), sender.lower()
        if not sender or who == address:
            return True
        domain = domainOf(address)
        return "@" not in who and address == f"{who}@{domain}" and isLocal(domain)

    return owns


def namesSender(isLocal: Callable[[str], bool], hostName: str, trusted: Collection[str]) -> Callable[[str, str], bool]:
    """What says whether a user of this host may name a sender without a note.

    @param isLocal: whether the users of a domain are ours.
    @param trusted: users who may name any.
    @return: a function of login and sender.
    """
    host = hostName.lower()
    owns = ownsSender(lambda domain: domain == host or isLocal(domain))
    return lambda login, sender: login in trusted or owns(login, sender)
