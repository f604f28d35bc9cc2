"""The commands of a client as values: RFC 5321 section 4.1 and its extensions.

Pure functions from a line to values, called by `dialogue`.  What is wrong raises
L{CommandError} with the reply for the client and nothing else.  A parameter
counts only when its extension is offered: what is taken silently would be a
promise that nobody keeps.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from umbcmail import reply
from umbcmail.accept import parameters
from umbcmail.address import AddressError, parsePath, wideGrammar
from umbcmail.envelope import Recipient
from umbcmail.reply import Reply

wideGrammar()


class CommandError(Exception):
    """A command that can't be taken.

    @ivar reply: what the client is told.
    """

    def __init__(self, reply: Reply, why: str = "") -> None:
        super().__init__(why or reply.text)
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Mail:
    """C{MAIL FROM} (RFC 5321 section 4.1.1.2).

    @ivar sender: C{""} for the null sender.
    @ivar size: octets announced (RFC 1870), 0 when not.
    @ivar body: C{"7BIT"} or C{"8BITMIME"} (RFC 6152).
    @ivar smtputf8: RFC 6531.
    @ivar ret: C{"FULL"}, C{"HDRS"} or C{""} (RFC 3461).
    @ivar envid: xtext as given (RFC 3461).
    @ivar requireTLS: RFC 8689.
    @ivar holdFor: seconds (RFC 4865), L{None} when not given.
    @ivar holdUntil: seconds since 1970 (RFC 4865), L{None} when not given.
    @ivar deliverBy: RFC 2852, L{None} when not given.
    """

    sender: str
    size: int = 0
    body: str = "7BIT"
    smtputf8: bool = False
    ret: str = ""
    envid: str = ""
    requireTLS: bool = False
    holdFor: int | None = None
    holdUntil: float | None = None
    deliverBy: parameters.By | None = None


_PARAMETER = re.compile(r" +([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~\u00a0-\U0010fffd]*))?(?= |$)")
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})+")
_ORCPT = re.compile(r"[!#-'*,./0-9?A-Z^-~-]+;(?:[!-*,-<>-~]|\+[0-9A-F]{2})+")
_WIDE_ORCPT = re.compile(r"utf-8;(?:[!-*,-<>-~\u00a0-\U0010fffd]|\+[0-9A-F]{2})+", re.IGNORECASE | re.ASCII)
_NOTIFY = {"SUCCESS", "FAILURE", "DELAY"}


def splitLine(line: bytes) -> tuple[str, str]:
    """A command line without its CRLF, as verb in upper case and argument.

    @raise CommandError: it is not text, or holds a bare CR, LF or NUL.
    """
    if b"\n" in line or b"\r" in line:
        raise CommandError(reply.BARE_LINE_END)
    try:
        text = line.rstrip(b" \t").decode()
    except UnicodeDecodeError:
        raise CommandError(reply.UNKNOWN_COMMAND, "not UTF-8") from None
    if "\0" in text:
        raise CommandError(reply.BAD_SYNTAX, "NUL in a command")
    verb, _, argument = text.partition(" ")
    if not verb.isascii():
        raise CommandError(reply.UNKNOWN_COMMAND, "verbs are ASCII")  # some letters become ASCII in upper case
    return verb.upper(), argument.lstrip(" ")


def _path(argument: str, keyword: str, wrong: Reply) -> tuple[str, int]:
    """The path behind C{FROM:} or C{TO:}, and the position behind it."""
    if argument[: len(keyword)].upper() != keyword:
        raise CommandError(reply.BAD_SYNTAX, f"{keyword} is missing")
    try:
        return parsePath(argument, len(keyword))
    except AddressError as why:
        raise CommandError(wrong, str(why)) from None


def _parameters(text: str, at: int) -> dict[str, str | None]:
    """The ESMTP parameters behind a path; keywords in upper case, once each."""
    found: dict[str, str | None] = {}
    while at < len(text):
        match = _PARAMETER.match(text, at)
        if match is None:
            raise CommandError(reply.BAD_SYNTAX, "not a parameter")
        keyword = match[1].upper()
        if keyword in found:
            raise CommandError(reply.BAD_PARAMETER, f"{keyword} twice")
        found[keyword] = match[2]
        at = match.end()
    return found


def parseMail(argument: str, offered: frozenset[str]) -> Mail:
    """C{MAIL}.

    @param argument: what stands behind the verb.
    @param offered: EHLO keywords that this session has offered (none after HELO).
    @raise CommandError: see the class.
    """
    sender, end = _path(argument, "FROM:", reply.BAD_SENDER)
    if sender and "@" not in sender:
        raise CommandError(reply.BAD_SENDER, "a sender needs a domain")
    wide = not sender.isascii()
    if end == len(argument) and not wide:
        return Mail(sender)
    values: dict[str, object] = {}
    for keyword, value in _parameters(argument, end).items():
        extension, parse = _MAIL_PARAMETERS.get(keyword, ("", None))
        if parse is None or extension not in offered:
            raise CommandError(reply.UNKNOWN_PARAMETER, keyword)
        if value is not None and not value.isascii():
            raise CommandError(reply.BAD_PARAMETER, f"{keyword} is not ASCII")
        try:
            name, parsed = parse(value)
        except ValueError as why:
            raise CommandError(reply.BAD_PARAMETER, f"{keyword}: {why}") from None
        if name:
            values[name] = parsed
    if wide and not values.get("smtputf8"):
        raise CommandError(reply.BAD_SENDER, "8-bit address without SMTPUTF8")
    return Mail(sender, **values)  # type: ignore[arg-type]


def parametersOf(mail: Mail) -> list[str]:
    """The parameters of a command again, for filters: C{SIZE=123} and the like."""
    found = [f"SIZE={mail.size}"] if mail.size else []
    found += ["BODY=8BITMIME"] if mail.body == "8BITMIME" else []
    found += ["SMTPUTF8"] if mail.smtputf8 else []
    found += ["REQUIRETLS"] if mail.requireTLS else []
    return found + [f"{name}={value}" for name, value in (("RET", mail.ret), ("ENVID", mail.envid)) if value]


def parseRcpt(argument: str, offered: frozenset[str], smtputf8: bool) -> Recipient:
    """C{RCPT} (RFC 5321 section 4.1.1.3); arguments as for L{parseMail}.

    @param smtputf8: the transaction is one of RFC 6531.
    """
    address, end = _path(argument, "TO:", reply.BAD_RECIPIENT)
    if not address:
        raise CommandError(reply.BAD_RECIPIENT, "null recipient")
    if not (smtputf8 or address.isascii()):
        raise CommandError(reply.BAD_RECIPIENT, "8-bit address without SMTPUTF8")
    if end == len(argument):
        return Recipient(address)
    notify = orcpt = ""
    for keyword, value in _parameters(argument, end).items():
        if keyword not in ("NOTIFY", "ORCPT") or "DSN" not in offered:
            raise CommandError(reply.UNKNOWN_PARAMETER, keyword)
        if keyword == "NOTIFY":
            notify = _notify(value)
        elif value and len(value) <= 500 and _isORCPT(value, smtputf8):
            orcpt = value
        else:
            raise CommandError(reply.BAD_PARAMETER, "ORCPT")
    return Recipient(address, notify, orcpt)


def checkVrfy(argument: str, offered: frozenset[str]) -> None:
    """C{VRFY} (RFC 5321 section 4.1.1.6, RFC 6531 section 3.7.4.2).

    @raise CommandError: there is nothing to be verified, or it is 8-bit text and
        the command does not say so.
    """
    text, _, word = argument.rpartition(" ")
    wide = word.upper() == "SMTPUTF8" and "SMTPUTF8" in offered
    if not (text if wide else argument):
        raise CommandError(reply.NEED_ARGUMENT)
    if not (wide or argument.isascii()):
        raise CommandError(reply.BAD_SYNTAX, "8-bit text without SMTPUTF8")


def _isORCPT(value: str, smtputf8: bool) -> bool:
    """RFC 3461 section 4.2; RFC 6533 section 3 for addresses beyond ASCII."""
    return bool(_ORCPT.fullmatch(value) or (smtputf8 and _WIDE_ORCPT.fullmatch(value)))


def _notify(value: str | None) -> str:
    """RFC 3461 section 4.1: NEVER alone, or any of the others once each."""
    words = (value or "").upper().split(",")
    if words == ["NEVER"] or ((value or "").isascii() and set(words) <= _NOTIFY and len(set(words)) == len(words)):
        return ",".join(words)
    raise CommandError(reply.BAD_PARAMETER, "NOTIFY")


def _size(value: str | None) -> tuple[str, object]:
    """RFC 1870 section 4: 1 to 20 digits."""
    if value is None or not re.fullmatch(r"[0-9]{1,20}", value):
        raise CommandError(reply.BAD_PARAMETER, "SIZE")
    return "size", int(value)


def _body(value: str | None) -> tuple[str, object]:
    word = (value or "").upper()
    if word not in ("7BIT", "8BITMIME"):
        raise CommandError(reply.BAD_PARAMETER, "BODY")
    return "body", word


def _smtputf8(value: str | None) -> tuple[str, object]:
    if value is not None:
        raise CommandError(reply.BAD_PARAMETER, "SMTPUTF8")
    return "smtputf8", True


def _ret(value: str | None) -> tuple[str, object]:
    word = (value or "").upper()
    if word not in ("FULL", "HDRS"):
        raise CommandError(reply.BAD_PARAMETER, "RET")
    return "ret", word


def _envid(value: str | None) -> tuple[str, object]:
    """RFC 3461 section 4.4: xtext, at most 100 octets before encoding."""
    if not value or len(value) > 300 or not _XTEXT.fullmatch(value):
        raise CommandError(reply.BAD_PARAMETER, "ENVID")
    return "envid", value


def _auth(value: str | None) -> tuple[str, object]:
    """RFC 4954 section 5: C{<>} or an address in xtext.  Nobody's word about
    whose message it is counts here, so it is dropped."""
    if not value or len(value) > 500 or not (value == "<>" or _XTEXT.fullmatch(value)):
        raise CommandError(reply.BAD_PARAMETER, "AUTH")
    return "", None


_MAIL_PARAMETERS: dict[str, tuple[str, Callable[[str | None], tuple[str, object]]]] = {
    "SIZE": ("SIZE", _size),
    "BODY": ("8BITMIME", _body),
    "SMTPUTF8": ("SMTPUTF8", _smtputf8),
    "RET": ("DSN", _ret),
    "ENVID": ("DSN", _envid),
    "AUTH": ("AUTH", _auth),
    "REQUIRETLS": ("REQUIRETLS", parameters.requireTLS),
    "HOLDFOR": ("FUTURERELEASE", parameters.holdFor),
    "HOLDUNTIL": ("FUTURERELEASE", parameters.holdUntil),
    "BY": ("DELIVERBY", parameters.deliverBy),
}
