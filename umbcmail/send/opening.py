"""How a session begins: greeting, EHLO (LHLO, HELO), STARTTLS, EHLO again.

One for each connection, without a socket: the client hands it the replies and
does what it asks for through L{OpeningLink}.  Ends in C{link.opened} or in
C{link.notOpened}; then the client turns to the transactions.  Everything that
goes wrong here is about the next hop and never about a message.
"""

from __future__ import annotations

from collections.abc import Callable

from umbcmail.outcome import Outcome
from umbcmail.reply import Reply
from umbcmail.send.commands import Extensions, parseExtensions
from umbcmail.send.problems import INJECTED, NO_TLS, NONSENSE, TLS_FAILED, UNVERIFIED, lost, timedOut, unwilling
from umbcmail.send.replies import RemoteReply, toReply
from umbcmail.send.session import Dialect, Limits, OpeningLink


class Opening:
    """The beginning of one session.

    @param heloName: who we are.
    @param host: for outcomes.
    @param tls: C{"none"}, C{"may"}, C{"encrypt"} or C{"verify"}.
    """

    def __init__(self, link: OpeningLink, dialect: Dialect, heloName: str, host: str, tls: str, limits: Limits) -> None:
        self._link = link
        self._dialect = dialect
        self._heloName = heloName
        self._host = host
        self._tls = tls
        self._limits = limits
        self._command = "greeting"
        self._inTLS = False
        self._shakingHands = False
        self._expect: Callable[[RemoteReply], None] = self._greeted

    def replied(self, remote: RemoteReply) -> None:
        """A reply has come."""
        self._shakingHands = False
        self._expect(remote)

    def _greeted(self, remote: RemoteReply) -> None:
        if remote[0] == 220:
            self._hello(self._dialect.hello)
        else:
            self._refused(remote)

    def _hello(self, verb: str) -> None:
        self._command = verb
        self._expect = self._helloReplied
        limit = self._limits.connect if self._shakingHands else self._limits.command
        self._link.write(f"{verb} {self._heloName}\r\n".encode(), limit)

    def _helloReplied(self, remote: RemoteReply) -> None:
        code, lines = remote
        if code == 250:
            plain = self._command == self._dialect.fallback
            self._offered(Extensions() if plain else parseExtensions(lines))
        elif code >= 500 and self._dialect.fallback and self._command != self._dialect.fallback:
            self._hello(self._dialect.fallback)
        else:
            self._refused(remote)

    def _offered(self, extensions: Extensions) -> None:
        if self._inTLS or self._tls == "none":
            self._link.opened(extensions)
        elif extensions.starttls:
            self._command = "STARTTLS"
            self._expect = self._startTLSReplied
            self._link.write(b"STARTTLS\r\n", self._limits.command)
        elif self._tls in ("encrypt", "verify"):
            self._fail(NO_TLS)
        else:
            self._link.opened(extensions)

    def _startTLSReplied(self, remote: RemoteReply) -> None:
        code = remote[0]
        if code == 220:
            self._link.secure()
        else:  # also 421: a server that always says so would get no mail at all
            self._fail(unwilling(toReply(remote)) if code == 421 else NO_TLS, tlsFault=True)

    def secured(self) -> None:
        """TLS has been started; what was said before is forgotten (RFC 3207
        section 4.2).  Where the certificate matters nothing is said before it has
        been looked at."""
        self._inTLS = True
        self._shakingHands = True
        if self._tls == "verify":
            self._expect = self._refused
        else:
            self._hello(self._dialect.hello)

    def shookHands(self, isVerified: bool = True) -> None:
        """The TLS handshake is done.

        @param isVerified: the certificate is good, or does not matter.
        """
        self._shakingHands = False
        if self._tls == "verify":
            if isVerified:
                self._hello(self._dialect.hello)
            else:
                self._fail(UNVERIFIED)

    def injected(self) -> None:
        """Octets in clear came behind the reply to STARTTLS."""
        self._fail(INJECTED)

    def lost(self) -> None:
        """The connection has ended."""
        if self._shakingHands:
            self._fail(TLS_FAILED, tlsFault=True)
        else:
            self._fail(lost(self._command), self._command == "STARTTLS")

    def timedOut(self) -> None:
        """The reply did not come in time."""
        if self._shakingHands:
            self._fail(TLS_FAILED, tlsFault=True)
        else:
            self._fail(timedOut(self._command), self._command == "STARTTLS")

    def nonsense(self) -> None:
        """What came is no reply."""
        self._fail(NONSENSE)

    def _refused(self, remote: RemoteReply) -> None:
        if remote[0] < 400:
            self._fail(NONSENSE)
        else:
            self._fail(unwilling(toReply(remote)))

    def _fail(self, own: Reply, tlsFault: bool = False) -> None:
        command = "STARTTLS" if tlsFault else self._command
        self._link.notOpened(Outcome(own, self._host, command), tlsFault and self._tls == "may")
