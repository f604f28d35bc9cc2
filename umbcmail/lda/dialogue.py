"""What a client of the local delivery agent says, and what it is answered: LMTP
(RFC 2033), as much of it as a mail system needs.

Made by `session` for each connection; has no socket.  After the end of data there is a
reply for each recipient that was accepted.  The parameter XPROGRAM of RCPT is ours: who
expands aliases for a recipient says by it which program is to get the message in place of
the mailbox (C{|command}), in xtext (RFC 3461 section 4); XFILE likewise names a file, or a Maildir with a
slash behind it.  So are the commands XEXPAND, which asks what a user has in C{.forward}, and XSTATUS, which
asks how the agent is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from umbcmail import reply
from umbcmail.address import AddressError, fromXtext, parsePath
from umbcmail.lda.delivery import Addressee, Delivery
from umbcmail.localaddress import isPrintable
from umbcmail.reply import Reply

_SIZE = re.compile("[0-9]{1,20}")
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})+")
HELP = reply.reply(214, "2.0.0", "LHLO MAIL RCPT DATA RSET NOOP VRFY HELP QUIT", "See RFC 2033")


class Dialogue:
    """The state of one connection.

    @ivar sender: of the transaction under way, L{None} where there is none.
    @ivar recipients: those that have been accepted.
    @ivar isOver: the client has said QUIT.
    @ivar wantsData: a message is to come.
    """

    def __init__(
        self, delivery: Delivery, hostName: str, sizeLimit: int, recipientLimit: int, status: Callable[[], str]
    ) -> None:
        """
        @param status: tells how the agent is, in printable ASCII.
        """
        self.sender: str | None = None
        self.recipients: list[Addressee] = []
        self.isOver = self.wantsData = False
        self._delivery = delivery
        self._sizeLimit = sizeLimit
        self._recipientLimit = recipientLimit
        self._hasGreeted = False
        offers = ("PIPELINING", "ENHANCEDSTATUSCODES", "8BITMIME", "SMTPUTF8", "XPROGRAM", "XFILE", f"SIZE {sizeLimit}")
        self.greeting = reply.reply(220, "", f"{hostName} LMTP")
        self._hello = reply.reply(250, "", hostName, *offers)
        self._verbs: dict[str, Callable[[str], Reply | Deferred[Reply]]] = {
            "LHLO": self._lhlo,
            "MAIL": self._mail,
            "RCPT": self._rcpt,
            "DATA": self._data,
            "RSET": self._rset,
            "NOOP": lambda argument: reply.OK,
            "VRFY": lambda argument: reply.VRFY,
            "HELP": lambda argument: HELP,
            "QUIT": self._quit,
            "XEXPAND": self._expand,
            "XSTATUS": lambda argument: reply.reply(250, "", status()),
        }

    def command(self, line: bytes) -> Reply | Deferred[Reply]:
        """A command line without its CRLF."""
        try:
            text = line.decode().rstrip(" \t")
        except UnicodeDecodeError:
            return reply.UNKNOWN_COMMAND
        if not isPrintable(text):
            return reply.BARE_LINE_END if "\n" in text or "\r" in text else reply.BAD_SYNTAX
        verb, _, argument = text.partition(" ")
        known = self._verbs.get(verb.upper()) if verb.isascii() else None
        return reply.UNKNOWN_COMMAND if known is None else known(argument.strip())

    def reset(self) -> None:
        """No transaction is under way."""
        self.sender = None
        self.recipients = []
        self.wantsData = False

    def _lhlo(self, argument: str) -> Reply:
        if not argument:
            return reply.BAD_HELO
        self.reset()
        self._hasGreeted = True
        return self._hello

    def _mail(self, argument: str) -> Reply:
        if not self._hasGreeted:
            return reply.NEED_HELO
        if self.sender is not None:
            return reply.NESTED_MAIL
        try:
            sender, words = _path(argument, "FROM:")
        except AddressError:
            return reply.BAD_SENDER
        for word in words:
            name, _, value = word.upper().partition("=")
            if name == "SIZE" and _SIZE.fullmatch(value):
                if int(value) > self._sizeLimit:
                    return reply.MESSAGE_TOO_BIG
            elif word.upper() not in ("BODY=7BIT", "BODY=8BITMIME", "SMTPUTF8"):
                return reply.UNKNOWN_PARAMETER
        self.sender = sender
        return reply.SENDER_OK

    def _rcpt(self, argument: str) -> Reply | Deferred[Reply]:
        if self.sender is None:
            return reply.NEED_MAIL
        if len(self.recipients) >= self._recipientLimit:
            return reply.TOO_MANY_RECIPIENTS
        try:
            address, words = _path(argument, "TO:")
        except AddressError:
            return reply.BAD_RECIPIENT
        if not address:
            return reply.BAD_RECIPIENT
        name, value = _action(words[0]) if len(words) == 1 else ("", "")
        if words and not (value and name in ("XPROGRAM", "XFILE")):
            return reply.UNKNOWN_PARAMETER
        found = self._delivery.find(address, **{name[1:].lower(): value}) if words else self._delivery.find(address)
        return found.addCallback(self._found) if isinstance(found, Deferred) else self._found(found)

    def _found(self, found: Any) -> Reply:
        if isinstance(found, Reply):
            return found
        self.recipients.append(found)
        return reply.RECIPIENT_OK

    def _data(self, argument: str) -> Reply:
        if argument:
            return reply.NO_PARAMETERS
        if self.sender is None:
            return reply.NEED_MAIL
        if not self.recipients:
            return reply.NEED_RCPT
        self.wantsData = True
        return reply.START_DATA

    def _expand(self, argument: str) -> Reply | Deferred[Reply]:
        try:
            address, words = _path(argument, "")
        except AddressError:
            return reply.BAD_RECIPIENT
        return self._delivery.forwardOf(address) if address and not words else reply.BAD_RECIPIENT

    def _rset(self, argument: str) -> Reply:
        self.reset()
        return reply.OK

    def _quit(self, argument: str) -> Reply:
        self.isOver = True
        return reply.QUIT


def _action(word: str) -> tuple[str, str]:
    """A parameter: its name, and its value in xtext, C{""} when it is none."""
    name, _, value = word.partition("=")
    return name.upper(), fromXtext(value) if _XTEXT.fullmatch(value) else ""


def _path(argument: str, keyword: str) -> tuple[str, list[str]]:
    """The path behind C{FROM:} or C{TO:}, and the parameters behind it.

    @raise AddressError: there is none.
    """
    if argument[: len(keyword)].upper() != keyword:
        raise AddressError(f"{keyword} is missing")
    text = argument[len(keyword) :].lstrip(" ")
    address, end = parsePath(text)
    if text[end : end + 1] not in ("", " "):
        raise AddressError("not a path")
    return address, text[end:].split()
