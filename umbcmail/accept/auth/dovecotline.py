"""The lines of Dovecot's authentication protocol, major version 1, as a client says
and reads them: pure functions.

Fields are separated by tabs, and what is in them is escaped.  Version 1.1 (Dovecot
2.0) and later are understood: they differ in how a failure tells its reason.
`dovecot` moves the octets.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass

from umbcmail.accept.auth.question import CantTell, Question
from umbcmail.envelope import Client

NUMBERS = 0xFFFFFFFF
"""Requests of a connection are numbered up to this."""

_ESCAPED = {"0": "\0", "1": "\1", "t": "\t", "r": "\r", "n": "\n", "l": "\n"}
_FLAGS = {"temp": "temp_fail", "authz": "authz_fail", "user_disabled": "user_disabled", "pass_expired": "pass_expired"}
"""How Dovecot before 2.3 told what is C{code=} since."""
_FINAL = {"", "nologin", "authz_fail", "user_disabled", "pass_expired"}
"""Why a login fails whoever asks again; all else, temp_fail first, may be otherwise soon."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for a request.

    @ivar number: of the request.
    @ivar right: the password is.
    @ivar login: the login as Dovecot writes it, or C{""}.
    @ivar why: its code for a failure, or C{""}.
    """

    number: int
    right: bool
    login: str = ""
    why: str = ""

    @property
    def isKnown(self) -> bool:
        """It is an answer, and not that something went wrong."""
        return self.right or self.why in _FINAL


def hello(process: int) -> bytes:
    """What a client begins with."""
    return b"VERSION\t1\t1\nCPID\t%d\n" % process


def request(number: int, asked: Question) -> bytes:
    """A question, as mechanism PLAIN (RFC 4616) with all in it."""
    response = b"\0" + asked.login.encode() + b"\0" + asked.password
    fields = ["AUTH", str(number), "PLAIN", "service=smtp", "nologin", *_known(asked.client)]
    # The response must be the last of all.
    return "\t".join([*fields, "resp="]).encode() + b64encode(response) + b"\n"


def _known(client: Client) -> list[str]:
    """What is known of the client.  Addresses are ours, not its own words."""
    found = []
    if client.tls:
        found.append("secured=tls")
    if re.fullmatch(r"[0-9A-Fa-f.:]+", client.address):
        found.append(f"rip={client.address}")
        if client.port:
            found.append(f"rport={client.port}")
    return found


def cancellation(number: int) -> bytes:
    """The answer is not wanted any more."""
    return b"CANCEL\t%d\n" % number


def fieldsOf(line: bytes) -> list[str]:
    """The fields of a line, not escaped any more."""
    text = line.decode("utf-8", "replace")
    return [
        re.sub("\1(.)", lambda found: _ESCAPED.get(found[1], found[1]), field, flags=re.DOTALL)
        for field in text.split("\t")
    ]


def version(fields: Sequence[str]) -> None:
    """Look at the line VERSION.

    @raise CantTell: another protocol.
    """
    if len(fields) < 2 or fields[1] != "1":
        raise CantTell("dovecot: speaks another version of the protocol")


def answer(fields: Sequence[str]) -> Answer | None:
    """What the line OK, FAIL or CONT means; L{None} of all others.

    @raise CantTell: it makes no sense.
    """
    if fields[0] not in ("OK", "FAIL", "CONT"):
        return None
    if len(fields) < 2 or not re.fullmatch("[0-9]{1,10}", fields[1]):
        raise CantTell("dovecot: an answer without a number")
    number = int(fields[1])
    given = dict(field.partition("=")[::2] for field in fields[2:])
    if fields[0] == "CONT":
        # All there is was in the request.
        return Answer(number, False, why="temp_fail")
    login = given.get("user", "")
    if fields[0] == "OK":
        if "nologin" in given and not given.keys() & {"proxy", "host"}:
            return Answer(number, False, login, "nologin")
        return Answer(number, True, login)
    return Answer(number, False, login, _codeOf(given))


def _codeOf(given: dict[str, str]) -> str:
    """Why it failed."""
    return given.get("code") or next((code for flag, code in _FLAGS.items() if flag in given), "")
