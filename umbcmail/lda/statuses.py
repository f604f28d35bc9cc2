"""What the exit status of a delivery command means (sysexits.h); pure.

Unless it is known for sure that the mail can't be delivered ever, it waits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from umbcmail import reply
from umbcmail.reply import Reply

COMMAND_LATER = reply.reply(451, "4.3.0", "The local delivery program can't take the message at present")
COMMAND_FAILED = reply.reply(554, "5.3.0", "The local delivery program has refused the message")

_FAILURES = {
    65: reply.reply(554, "5.6.0", "The local delivery program can't make sense of the message"),  # EX_DATAERR
    67: reply.UNKNOWN_USER,  # EX_NOUSER
    68: reply.reply(550, "5.1.2", "The local delivery program does not know this domain"),  # EX_NOHOST
    77: reply.reply(554, "5.7.1", "The local delivery program does not permit the message"),  # EX_NOPERM
    100: COMMAND_FAILED,  # qmail's permanent failure
}
"""Statuses that mean a failure by default."""


def parse(text: str) -> tuple[int, str]:
    """C{69=fail}: a status and C{ok}, C{fail} or C{delay}.  @raise ValueError: it is none."""
    found = re.fullmatch(r"([0-9]{1,3})=(ok|fail|delay)", text)
    if found is None or int(found[1]) > 255:
        raise ValueError("a status and ok, fail or delay is needed, such as 69=fail")
    return int(found[1]), found[2]


def meaning(status: int, wanted: Mapping[int, str]) -> Reply:
    """The reply for a status.

    @param wanted: statuses with other meanings.
    """
    word = wanted.get(status)
    if word == "ok" or (word is None and status == 0):
        return reply.DELIVERED
    if word == "fail":
        return _FAILURES.get(status, COMMAND_FAILED)
    if word == "delay":
        return COMMAND_LATER
    return _FAILURES.get(status, COMMAND_LATER)
