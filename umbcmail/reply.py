"""SMTP replies as values: what we say to a peer, and what a peer said to us.

Every text that umbcmail itself can answer is named here once, with the section
that asks for it.  `Reply.wire` is made when the value is made, so that a named
reply costs nothing at run time.  Nothing here may carry a path, a setting or
the text of an exception: peers read it.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply (RFC 5321 section 4.2).

    @ivar code: three digits, 200 to 599.
    @ivar enhanced: the enhanced status code (RFC 3463) such as C{"2.1.0"}, or
        C{""} where none belongs (greeting, HELO/EHLO, 3xx).
    @ivar lines: the texts, at least one, each printable and without line ends.
    @ivar wire: the octets, CRLF at the end of each line.
    """

    code: int
    enhanced: str
    lines: tuple[str, ...]
    wire: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        prefix = f"{self.enhanced} " if self.enhanced else ""
        last = len(self.lines) - 1
        text = "".join(f"{self.code}{'-' if n < last else ' '}{prefix}{line}\r\n" for n, line in enumerate(self.lines))
        object.__setattr__(self, "wire", text.encode("utf-8", "replace"))

    @property
    def isSuccess(self) -> bool:
        """2xx: the other side has taken it."""
        return 200 <= self.code < 300

    @property
    def isTransient(self) -> bool:
        """4xx: try again later."""
        return 400 <= self.code < 500

    @property
    def isPermanent(self) -> bool:
        """5xx: do not try again."""
        return 500 <= self.code < 600

    @property
    def text(self) -> str:
        """All lines in one, without the codes."""
        return " ".join(self.lines)

    def __str__(self) -> str:
        words = [str(self.code), self.enhanced, self.text]
        return " ".join(word for word in words if word)


def reply(code: int, enhanced: str, *lines: str) -> Reply:
    """A reply of one or several lines."""
    return Reply(code, enhanced, lines)


# Session (RFC 5321 sections 4.1 to 4.3)
QUIT = reply(221, "2.0.0", "Bye")
OK = reply(250, "2.0.0", "OK")
SENDER_OK = reply(250, "2.1.0", "Sender OK")
RECIPIENT_OK = reply(250, "2.1.5", "Recipient OK")
VRFY = reply(252, "2.5.2", "Cannot VRFY, but will take mail for it")
START_DATA = reply(354, "", "End data with <CR><LF>.<CR><LF>")
HELP = reply(214, "2.0.0", "HELO EHLO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT STARTTLS", "See RFC 5321")
TIMEOUT = reply(421, "4.4.2", "Idle for too long, closing")
SHUTTING_DOWN = reply(421, "4.3.2", "Service is being stopped, try again later")
TOO_MANY_CONNECTIONS = reply(421, "4.7.0", "Too many connections, try again later")
TOO_FAST = reply(421, "4.7.0", "Too many connections in a short time, try again later")
TOO_SLOW = reply(421, "4.4.2", "Too slow, closing")
TRANSACTION_TOO_LONG = reply(421, "4.4.2", "This transaction takes too long, closing")
TOO_MANY_ERRORS = reply(421, "4.7.0", "Too many errors, closing")
TOO_MANY_COMMANDS = reply(421, "4.7.0", "Too many commands without mail, closing")

# Grammar and order (RFC 5321 section 4.2.4, RFC 2034 / RFC 5248)
UNKNOWN_COMMAND = reply(500, "5.5.2", "Command not recognized")
LINE_TOO_LONG = reply(500, "5.5.2", "Line too long")
BARE_LINE_END = reply(500, "5.5.2", "Bare CR or LF in a command, lines end with CRLF (RFC 5321 2.3.8)")
NOT_IMPLEMENTED = reply(502, "5.5.1", "Command not implemented")
BAD_SYNTAX = reply(501, "5.5.4", "Syntax error in parameters")
NO_PARAMETERS = reply(501, "5.5.4", "This command takes no parameters")
BAD_HELO = reply(501, "5.5.4", "A domain name or an address literal is needed")
BAD_SENDER = reply(501, "5.1.7", "Bad sender address syntax")
BAD_RECIPIENT = reply(501, "5.1.3", "Bad recipient address syntax")
UNKNOWN_PARAMETER = reply(555, "5.5.4", "Parameter not recognized")
BAD_PARAMETER = reply(501, "5.5.4", "Bad value of a parameter")
NEED_HELO = reply(503, "5.5.1", "Say HELO or EHLO first")
NEED_MAIL = reply(503, "5.5.1", "Say MAIL first")
NEED_RCPT = reply(503, "5.5.1", "No valid recipients")
NESTED_MAIL = reply(503, "5.5.1", "A transaction is under way, say RSET first")
TLS_ACTIVE = reply(503, "5.5.1", "TLS is active already")
NEED_TLS = reply(530, "5.7.0", "Say STARTTLS first")
START_TLS = reply(220, "2.0.0", "Ready to start TLS")
NOT_A_FILTER = reply(550, "5.7.0", "XCLIENT is not for you")

# Authentication (RFC 4954 sections 4 and 6)
AUTHENTICATED = reply(235, "2.7.0", "Authentication successful")
AUTH_CANCELLED = reply(501, "5.7.0", "Authentication cancelled")
AUTH_BASE64 = reply(501, "5.5.2", "This is not base64")
AUTH_MALFORMED = reply(501, "5.5.2", "The mechanism can't make sense of this response")
AUTH_NO_INITIAL = reply(501, "5.5.4", "This mechanism takes no initial response")
AUTH_MECHANISM = reply(504, "5.5.4", "This mechanism is not offered")
AUTH_TOO_LONG = reply(500, "5.5.6", "Authentication exchange line is too long")
AUTH_NEEDS_TLS = reply(538, "5.7.11", "Encryption is needed, say STARTTLS first")
AUTH_ACTIVE = reply(503, "5.5.1", "You have authenticated already")
AUTH_IN_MAIL = reply(503, "5.5.1", "AUTH is not permitted during a mail transaction")
AUTH_FAILED = reply(535, "5.7.8", "Authentication credentials invalid")
AUTH_LATER = reply(454, "4.7.0", "Authentication is not possible at present, try again later")
NEED_AUTH = reply(530, "5.7.0", "Authentication required")
NEED_EHLO = reply(503, "5.5.1", "Say EHLO first")
TOO_MANY_FAILURES = reply(421, "4.7.0", "Too many failed authentications, closing")

# Transactions
NEED_LOGIN = reply(530, "5.7.0", "Authentication required")  # RFC 4954 section 6
NOT_YOUR_ADDRESS = reply(553, "5.7.1", "This sender address does not belong to your login")
HEADER_TOO_LARGE = reply(552, "5.3.4", "The header of this message is too large")
TOO_MANY_RECIPIENTS = reply(452, "4.5.3", "Too many recipients")
MESSAGE_TOO_BIG = reply(552, "5.3.4", "Message is larger than this system takes")
BARE_LINE_END_IN_DATA = reply(550, "5.5.2", "Bare CR or LF in the message, lines end with CRLF (RFC 5321 2.3.8)")
LOOP = reply(554, "5.4.6", "Too many Received fields, this message loops (RFC 5321 6.3)")
RELAYING_DENIED = reply(550, "5.7.1", "Relaying denied")
ACCESS_DENIED = reply(550, "5.7.1", "Access denied")  # RFC 3463 section 3.8
ACCESS_LATER = reply(450, "4.7.1", "Not now, try again later")
CLIENT_NAME_YET = reply(451, "4.4.3", "The name of your host can't be looked up at present, try again later")
RECIPIENT_YET = reply(451, "4.3.0", "Whether there is such an address can't be found out at present, try again later")
LOGINS_YET = reply(451, "4.4.3", "Logins from your host can't be looked up at present, try again later")  # RFC 3463 3.5
FILTER_REFUSES = reply(550, "5.7.1", "Command rejected")  # as Sendmail and Postfix have it
FILTER_LATER = reply(451, "4.7.1", "Service unavailable, try again later")
FILTER_CLOSES = reply(421, "4.7.1", "Service unavailable, closing")
NO_STORAGE = reply(452, "4.3.1", "Not enough storage, try again later")
LOCAL_ERROR = reply(451, "4.3.0", "Local error, try again later")

# Chunks (RFC 3030 section 2)
CHUNK_OK = reply(250, "2.0.0", "Chunk OK")
BAD_CHUNK = reply(501, "5.5.4", "Bad BDAT, its octets can't be told from commands, closing")
CHUNK_TOO_BIG = reply(552, "5.3.4", "Chunk is far larger than this system takes, closing")
CHUNKS_BEGUN = reply(503, "5.5.1", "BDAT has begun, only BDAT or RSET can follow")

# Limits of a session (RFC 9422 section 4), future release (RFC 4865), deliver by (RFC 2852 section 4)
TOO_MANY_MESSAGES = reply(421, "4.7.0", "Too many messages in one session, connect again")
BAD_HOLD = reply(501, "5.5.4", "HOLDFOR or HOLDUNTIL beyond what FUTURERELEASE says, or both of them")
BY_TOO_SOON = reply(555, "5.5.4", "It can't be delivered by then, see the time behind DELIVERBY")
NEED_ARGUMENT = reply(501, "5.5.4", "This command needs a parameter")

# What stands in place of a remote reply where there is none
NO_ROUTE_YET = reply(451, "4.4.3", "The name servers do not answer for this domain")
NO_SUCH_DOMAIN = reply(550, "5.1.2", "This domain does not exist")
NO_MAIL_HOST = reply(550, "5.4.4", "No host takes mail for this domain")
NULL_MX = reply(556, "5.1.10", "This domain takes no mail (RFC 7505)")
NO_NEXT_HOP = reply(451, "4.4.3", "None of the configured next hops can be found at present")
LOOPS_BACK = reply(554, "5.4.6", "The mail hosts of this domain lead back to this system")
EXPIRED = reply(554, "5.4.7", "Could not be delivered in the time allowed")
GIVEN_UP = reply(451, "4.4.7", "Could not be delivered in the time allowed")
LATE = reply(451, "4.4.7", "Not delivered by the time that was asked for")
NOT_TRIED = reply(451, "4.4.0", "Has not been tried yet")

# Delivery into mailboxes
DELIVERED = reply(250, "2.1.5", "Delivered to the mailbox")
MAILBOX_TROUBLE = reply(451, "4.2.0", "The mailbox can't be written at present")
MAILBOX_FULL = reply(452, "4.2.2", "The mailbox is full")
UNKNOWN_USER = reply(550, "5.1.1", "There is no such user here")
BAD_MAILBOX = reply(550, "5.1.3", "This address can't be a mailbox here")
PROGRAM_REFUSED = reply(550, "5.7.1", "This program may not be run here")
NO_SUCH_FILE = reply(550, "5.7.1", "Mail is not written into this file")
EXPANDED = reply(250, "2.1.5", "Goes on to others")
NOBODY = reply(250, "2.1.5", "Thrown away, as this address says")
ALIAS_LOOP = reply(554, "5.4.6", "The address leads back to itself")
TOO_MANY_BEHIND = reply(452, "4.5.3", "Too many others are behind the address")
DELIVERED_BEFORE = reply(554, "5.4.6", "The message has been delivered to this address before, it loops")


def noSuchDomain(domain: str) -> Reply:
    """L{NO_SUCH_DOMAIN}, by its name: an address that was mistyped is most often seen then.

    @param domain: ASCII.
    """
    return reply(550, "5.1.2", f"The domain {domain} does not exist")


def noMailHost(domain: str) -> Reply:
    """L{NO_MAIL_HOST}, by its name."""
    return reply(550, "5.4.4", f"No host takes mail for the domain {domain}")


def notYet(final: Reply) -> Reply:
    """What is said as long as a failure has been met only once."""
    text = f"{final.text} (so say the name servers, which are asked again before this is final)"
    return reply(450, f"4{final.enhanced[1:]}", text)


def queued(messageId: str) -> Reply:
    """The C{250} to the end of data: the promise of RFC 5321 section 4.1.1.4."""
    return Reply(250, "2.0.0", (f"OK, queued as {messageId}",))


def sent(messageId: str) -> Reply:
    """The C{250} to the end of data after all recipients have been delivered."""
    return Reply(250, "2.0.0", (f"OK, delivered as {messageId}",))
