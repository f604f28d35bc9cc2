"""Command lines: L{umbcmail.accept.grammar}, L{umbcmail.accept.leniency} and
L{umbcmail.address}, with the way of an address through us to the next hop."""

from __future__ import annotations

from umbcmail.accept.grammar import CommandError, Mail, checkVrfy, parseMail, parseRcpt, splitLine
from umbcmail.accept.leniency import LENIENCIES, Leniency
from umbcmail.address import AddressError, checkHelo, parseAddress
from umbcmail.envelope import Recipient
from umbcmail.send.commands import Extensions as Offered
from umbcmail.send.commands import dsnOfMail, dsnOfRecipient, mailCommand, rcptCommand, wireAddress

OFFERED = frozenset(("SIZE", "8BITMIME", "SMTPUTF8", "DSN", "AUTH", "REQUIRETLS", "FUTURERELEASE", "CHUNKING"))
SEEDS = [
    b"\1MAIL FROM:<ann@example.net> SIZE=10 BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=a+2B AUTH=<>",
    b"\1MAIL FROM:<> HOLDFOR=10 REQUIRETLS",
    b"\1MAIL FROM:<a@b.c> HOLDUNTIL=2030-01-01T10:00:00Z",
    b'\3RCPT TO:<@r.test,@q.test:"a b\\"c"@[IPv6:2001:db8::1]> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a@b',
    b"\1RCPT TO:<\xc3\xa9@b\xc3\xbccher.test> ORCPT=utf-8;\xc3\xa9",
    b"\1RCPT TO: a..b.@y.test",
    b"\1VRFY x SMTPUTF8",
    b"\1EHLO [192.0.2.1]",
]


def check(data: bytes) -> None:
    """A line is a command or L{CommandError}; what is taken means the same to the
    next hop."""
    offered = OFFERED if data[:1] == b"\1" else frozenset()
    allowed = frozenset(LENIENCIES)
    try:
        verb, argument = splitLine(data[1:])
    except CommandError:
        return
    for text in (argument, verb + " " + argument):
        _helo(text)
        try:
            checkVrfy(text, offered)
        except CommandError:
            pass
        _mail(text, offered, allowed)
        _rcpt(text, offered, allowed)


def _helo(text: str) -> None:
    try:
        name = checkHelo(text)
    except AddressError:
        return
    assert name.isascii() and name.isprintable() and " " not in name and len(name) < 256


def _mail(text: str, offered: frozenset[str], allowed: frozenset[str]) -> None:
    try:
        try:
            mail = parseMail(text, offered)
        except CommandError as why:
            mail = Leniency(allowed, lambda name: None).parsed(text, lambda right: parseMail(right, offered), why)
    except CommandError as why:
        assert 400 <= why.reply.code < 600
        return
    _asSaid(mail.sender)
    more = dsnOfMail(mail.ret, mail.envid)
    said = mailCommand(mail.sender.encode(), mail.size, False, mail.smtputf8, Offered(), more)
    again = parseMail(splitLine(said.removesuffix(b"\r\n"))[1], OFFERED)
    assert again == Mail(mail.sender, 0, "7BIT", mail.smtputf8, mail.ret, mail.envid), (said, mail)


def _rcpt(text: str, offered: frozenset[str], allowed: frozenset[str]) -> None:
    try:
        try:
            recipient = parseRcpt(text, offered, "SMTPUTF8" in offered)
        except CommandError as why:
            recipient = Leniency(allowed, lambda name: None).parsed(
                text, lambda right: parseRcpt(right, offered, "SMTPUTF8" in offered), why
            )
    except CommandError as why:
        assert 400 <= why.reply.code < 600
        return
    _asSaid(recipient.address)
    said = rcptCommand(recipient.address.encode(), dsnOfRecipient(recipient.notify, recipient.orcpt))
    again = parseRcpt(splitLine(said.removesuffix(b"\r\n"))[1], OFFERED, True)
    if recipient.orcpt.isascii():
        assert again == Recipient(recipient.address, recipient.notify, recipient.orcpt), (said, recipient)
    assert "@" in recipient.address or recipient.address.lower() == "postmaster"


def _asSaid(address: str) -> None:
    """An address is one octet string everywhere."""
    if not address:
        return
    assert wireAddress(address) == address.encode(), address
    assert address.lower() == "postmaster" or parseAddress(address) == address, address
    assert len(address.encode()) <= 254
