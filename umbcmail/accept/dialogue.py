"""Decides what a client is told: the state of one SMTP session.

`session` gives it one command line at a time and sends what it returns; it has
no socket.  Whatever must be waited for (a relay rule that asks the DNS, the
intake at the end of a message) comes back as a L{Deferred} of a reply, and the
session gives no further command until it has fired.  A bug in here or below
answers C{451} and is logged; it never ends the session.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from umbcmail import reply
from umbcmail.accept import xclient
from umbcmail.accept.auth.authentication import LINE_LIMIT, Authentication, refusal, verbOf, withoutSecrets
from umbcmail.accept.chunks import isChunk
from umbcmail.accept.grammar import CommandError, checkVrfy, splitLine
from umbcmail.accept.handover import Answered, Rules
from umbcmail.accept.mailing import Mailing
from umbcmail.accept.offers import offers
from umbcmail.address import AddressError, checkHelo
from umbcmail.envelope import Client
from umbcmail.maillog import MailLog
from umbcmail.reply import Reply


class Dialogue(Mailing):
    """One session; what is about messages is in L{Mailing}.

    @ivar commands: how many commands there were.
    @ivar isSecuring: a TLS handshake is under way.
    @ivar introduced: told of the client that a filter speaks for.
    """

    def __init__(
        self,
        id: str,
        rules: Rules,
        client: Client,
        log: MailLog,
        canStartTLS: bool,
        isOurs: bool = False,
    ) -> None:
        """
        @param canStartTLS: STARTTLS is on offer.
        @param isOurs: the client is a part of us, and may say whom it speaks for.
        """
        super().__init__(id, rules, client, log)
        self.commands = 0
        self.isSecuring = False
        self.introduced: Callable[[Client], None] = lambda client: None
        self._canStartTLS = canStartTLS
        self._isFilter = isOurs or (rules.isFilter is not None and rules.isFilter(client.address))
        self._errors = 0
        self._authNeeded = rules.auth is not None and rules.auth.needed
        self._authentication: Authentication | None = None
        self._exchange: Authentication | None = None
        self._hides = False

    # What the session asks

    @property
    def transaction(self) -> int | None:
        """The number of the transaction that is under way."""
        return self._mails if self._transaction is not None else None

    @property
    def received(self) -> int | None:
        """Octets of the message that is coming in, L{None} when none is."""
        transaction = self._transaction
        return transaction.body.size if transaction is not None and transaction.body is not None else None

    def greeting(self) -> Reply:
        """The first words (RFC 5321 section 4.3.1)."""
        return Reply(220, "", (f"{self._rules.hostName} ESMTP umbcmail",))

    def command(self, line: bytes) -> Answered:
        """One command line without its CRLF."""
        if self._exchange is not None:
            return self._authLine(line)
        self.commands += 1
        self._fruitless += 1
        try:
            verb, argument = splitLine(line)
            method = _COMMANDS.get(verb)
            if method is None:
                usual = reply.NOT_IMPLEMENTED if verb in _KNOWN else reply.UNKNOWN_COMMAND
                if self._filtering is None or isChunk(line):
                    raise CommandError(usual)
                return self._unknown(self._filtering.unknown(line), usual, line)
            if self._rules.tlsNeeded and not self.client.tls and verb not in _BEFORE_TLS:
                raise CommandError(reply.NEED_TLS)
            if self._authNeeded and not self.client.login and verb not in _BEFORE_AUTH:
                raise CommandError(reply.NEED_AUTH)
            answer = method(self, argument)
        except CommandError as why:
            return self._refused(why.reply, line) if isChunk(line) else self.counted(why.reply, line)
        except Exception:
            answer = self._bug(Failure(), "command")
            return self._refused(answer, line) if isChunk(line) else answer
        if self._fruitless > self._rules.commandLimit:
            return reply.TOO_MANY_COMMANDS
        if isinstance(answer, Reply):
            return self.counted(answer, line) if answer.code >= 400 else answer
        return answer.addErrback(self._bug, "command")

    def _unknown(self, asked: Reply | Deferred[Reply | None] | None, usual: Reply, line: bytes) -> Answered:
        """A command that there is not; filters may have words for it."""
        if isinstance(asked, Deferred):
            return asked.addCallback(lambda said: self.counted(said or usual, line))
        return self.counted(asked or usual, line)

    def counted(self, answer: Reply, line: bytes) -> Reply:
        """See L{Mailing.counted}."""
        verb = verbOf(line)
        shown = b"(not shown)" if self._hides and verb not in _COMMANDS else withoutSecrets(line[:200])
        # Who has been refused may go on as if not, with name and password.
        self._hides = self._hides or "AUTH" in verb
        self._log.rejected(self.id, self.client, shown.decode("utf-8", "backslashreplace"), answer)
        tally = self._rules.tally
        if answer.code < 500:
            tally.commandsDelayed += 1
        else:
            tally.commandsRefused += 1
            self._errors += 1
            if self._errors > self._rules.errorLimit:
                return reply.TOO_MANY_ERRORS
        return answer

    def lineLimit(self, beginning: bytes) -> int:
        """Octets of a line, where it may have more than the usual; else 0."""
        if self._exchange is not None or ("AUTH" in self._offered and verbOf(beginning) == "AUTH"):
            return LINE_LIMIT
        return 0

    def tooLong(self, beginning: bytes) -> Reply:
        """There was a line over the limit.

        @param beginning: some octets of it.
        """
        if self._exchange is not None:
            self._exchange.cancel()
            self._exchange = None
            return self.counted(reply.AUTH_TOO_LONG, b"AUTH")
        return self.counted(reply.AUTH_TOO_LONG if self.lineLimit(beginning) else reply.LINE_TOO_LONG, beginning)

    def secured(self, tls: str) -> None:
        """TLS is up: all that was said before is forgotten (RFC 3207 section 4.2)."""
        self._reset()
        self._rules.tally.secured += 1
        self.isSecuring = False
        self._offered = frozenset()
        self._canStartTLS = False
        self.client = replace(self.client, helo="", esmtp=False, tls=tls, login="")
        self._log.secured(self.id, tls)

    def lost(self) -> None:
        """The client is gone."""
        self._reset()
        if self._filtering is not None:
            self._filtering.closed()
        if self._authentication is not None:
            self._authentication.lost()

    # Commands

    def _helo(self, argument: str) -> Answered:
        self._introduce(argument, False)
        return Reply(250, "", (self._rules.hostName,))

    def _ehlo(self, argument: str) -> Answered:
        """RFC 5321 section 4.1.1.1."""
        self._introduce(argument, True)
        lines = [self._rules.hostName, *offers(self._rules, self.client)]
        self._offered = frozenset([line.partition(" ")[0] for line in lines[1:]])
        if self._canStartTLS:
            lines.append("STARTTLS")
        if self._rules.auth is not None and self.client.tls:
            self._offered |= {"AUTH"}
            if not self.client.login:
                lines.append(self._rules.auth.keyword)
        if self._isFilter:
            lines.append(xclient.KEYWORD)
        return Reply(250, "", tuple(lines))

    def _introduce(self, argument: str, esmtp: bool) -> None:
        try:
            helo = checkHelo(argument)
        except AddressError as why:
            raise CommandError(reply.BAD_HELO, str(why)) from None
        self._reset()
        self._offered = frozenset()
        self.client = replace(self.client, helo=helo, esmtp=esmtp)
        if self._filtering is not None:
            self._filtering.introduced(self.client)

    def _rset(self, argument: str) -> Answered:
        if argument:
            raise CommandError(reply.NO_PARAMETERS)
        self._reset()
        return reply.OK

    def _noop(self, argument: str) -> Answered:
        return reply.OK

    def _vrfy(self, argument: str) -> Answered:
        """RFC 5321 section 4.1.1.6, RFC 6531 section 3.7.4.2."""
        checkVrfy(argument, self._offered)
        return reply.VRFY

    def _help(self, argument: str) -> Answered:
        return reply.HELP

    def _quit(self, argument: str) -> Answered:
        return reply.QUIT

    def _startTLS(self, argument: str) -> Answered:
        """RFC 3207 section 4."""
        if argument:
            raise CommandError(reply.NO_PARAMETERS)
        if self.client.tls:
            raise CommandError(reply.TLS_ACTIVE)
        if not self._canStartTLS:
            raise CommandError(reply.NOT_IMPLEMENTED)
        self.isSecuring = True
        return reply.START_TLS

    def _auth(self, argument: str) -> Answered:
        """RFC 4954 section 4."""
        self._hides = True
        client, terms = self.client, self._rules.auth
        if terms is None:
            raise CommandError(reply.NOT_IMPLEMENTED)
        no = refusal(client, self._transaction is not None)
        if no is not None:
            raise CommandError(no)
        if self._authentication is None:
            self._authentication = Authentication(self.id, self._rules.hostName, terms, self._log)
        return self._authAnswered(self._authentication.begin(client, argument))

    def _xclient(self, argument: str) -> Answered:
        """The session begins anew, with another client."""
        if not self._isFilter:
            raise CommandError(reply.NOT_A_FILTER)
        if self._transaction is not None:
            raise CommandError(reply.NESTED_MAIL)
        self.client = xclient.introduced(self.client, argument)
        self.mechanism = ""
        self._offered = frozenset()
        self._log.introduced(self.id, self.client)
        self.introduced(self.client)
        if self._filtering is not None and self.client.helo:
            self._filtering.introduced(self.client)
        return self.greeting()

    def _authLine(self, line: bytes) -> Answered:
        assert self._exchange is not None
        answer = self._authAnswered(self._exchange.line(line))
        return self.counted(answer, b"AUTH") if isinstance(answer, Reply) and answer.code >= 400 else answer

    def _authAnswered(self, answer: Answered) -> Answered:
        """What comes later has been logged and counted there."""
        self._exchange = None
        if isinstance(answer, Deferred):
            return answer.addCallback(self._authAnswered)
        if answer.code == 334:
            self._exchange = self._authentication
        elif answer.code == 235 and self._authentication is not None:
            self.client = replace(self.client, login=self._authentication.login)
            self.mechanism = self._authentication.mechanism
        return answer


_KNOWN = frozenset(("EXPN", "TURN", "ETRN", "SEND", "SOML", "SAML", "BURL", "ATRN"))
_BEFORE_TLS = frozenset(("EHLO", "HELO", "NOOP", "QUIT", "STARTTLS", "RSET", "HELP"))
_BEFORE_AUTH = _BEFORE_TLS | {"AUTH"}
_COMMANDS: dict[str, Callable[[Dialogue, str], Answered]] = {
    "HELO": Dialogue._helo,
    "EHLO": Dialogue._ehlo,
    "MAIL": Dialogue._mailFrom,
    "RCPT": Dialogue._rcptTo,
    "DATA": Dialogue._data,
    "BDAT": Dialogue._bdat,
    "RSET": Dialogue._rset,
    "NOOP": Dialogue._noop,
    "VRFY": Dialogue._vrfy,
    "HELP": Dialogue._help,
    "QUIT": Dialogue._quit,
    "STARTTLS": Dialogue._startTLS,
    "AUTH": Dialogue._auth,
    "XCLIENT": Dialogue._xclient,
}
