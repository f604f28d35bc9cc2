"""What we say in place of a next hop that does not speak, or not sensibly.

Own words only, so that nothing of an exception reaches the sender of a message.
All of it is "try later" (4xx), but for what can be known to be wrong for good.
Used by all of this folder.
"""

from __future__ import annotations

from twisted.internet import error
from twisted.python.failure import Failure

from umbcmail.outcome import Outcome
from umbcmail.reply import Reply, reply

NO_HOPS = reply(451, "4.4.4", "There is no next hop to try")
REFUSED = reply(451, "4.4.1", "Connection refused")
CONNECT_TIMEOUT = reply(451, "4.4.1", "Connection timed out")
UNREACHABLE = reply(451, "4.4.1", "Host can't be reached")
WAITED_TOO_LONG = reply(451, "4.4.5", "All connections to the next hop were busy for too long")
OUT_OF_TIME = reply(451, "4.4.7", "The time for this attempt is over")
STOPPING = reply(451, "4.3.2", "Delivery is being stopped")
NONSENSE = reply(451, "4.5.0", "The next hop's reply is not understood")
INJECTED = reply(451, "4.7.0", "The next hop said more in clear behind its reply to STARTTLS")
NO_TLS = reply(451, "4.7.4", "The next hop does not offer TLS, which is required")
TLS_FAILED = reply(451, "4.7.5", "TLS could not be set up")
UNVERIFIED = reply(451, "4.7.5", "The next hop's certificate can't be verified")
NO_POLICY = reply(451, "4.7.0", "How to protect the way to the next hop can't be found out at present")
BUSY_CONVERTING = reply(451, "4.3.1", "Too many messages are being converted at present")
UNREADABLE = reply(451, "4.3.0", "The message can't be read at present")
NEEDS_AGENT = reply(451, "4.3.5", "Programs and files need the local delivery agent, and this is another server")

BAD_SENDER = reply(553, "5.1.7", "The sender's address can't be sent")
BAD_RECIPIENT = reply(553, "5.1.3", "The recipient's address can't be sent")
NEEDS_SMTPUTF8 = reply(553, "5.6.7", "The next hop does not take addresses that are not ASCII (RFC 6531)")
WIDE_HEADER = reply(553, "5.6.9", "The next hop does not take headers that are not ASCII (RFC 6531)")
NEEDS_8BITMIME = reply(554, "5.6.3", "The next hop takes no 8-bit content, and this can't be converted (RFC 6152)")
TOO_BIG_TO_CONVERT = reply(554, "5.6.3", "The next hop takes no 8-bit content, and this is too large to be converted")
NEEDS_REQUIRETLS = reply(550, "5.7.30", "The next hop does not support REQUIRETLS (RFC 8689)")
NEEDS_DELIVERBY = reply(554, "5.3.3", "The next hop does not support DELIVERBY (RFC 2852)")
NEEDS_MORE_TIME = reply(554, "5.4.7", "The next hop needs more time than is left")
TOO_BIG = reply(552, "5.3.4", "Message is larger than the next hop takes")


def lost(command: str) -> Reply:
    """The connection ended while a reply was awaited.

    @param command: one of our own names, as in L{Outcome.command}.
    """
    return reply(451, "4.4.2", f"Connection lost while waiting for the reply to {command}")


def timedOut(command: str) -> Reply:
    """A reply did not come in time."""
    return reply(451, "4.4.2", f"Timed out while waiting for the reply to {command}")


def unwilling(said: Reply) -> Reply:
    """A next hop that does not take any mail now, whatever its code is: its 5xx
    is about itself, not about the message (RFC 5321 section 3.1)."""
    return reply(451, "4.3.2", f"The next hop does not take mail now: {said}"[:512])


def connectProblem(failure: Failure) -> Reply:
    """Why a connection could not be made."""
    if failure.check(error.ConnectionRefusedError):
        return REFUSED
    if failure.check(error.TimeoutError, error.TCPTimedOutError):
        return CONNECT_TIMEOUT
    return UNREACHABLE


def telling(outcome: Outcome | None) -> int:
    """How much an outcome tells about why there is no delivery; of several
    problems the most telling one is reported."""
    if outcome is None:
        return 0
    if outcome.remote:
        return 3
    return 1 if outcome.command in ("", "connect") else 2
