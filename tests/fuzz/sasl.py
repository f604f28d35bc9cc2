"""AUTH: L{umbcmail.accept.auth.sasl} and L{umbcmail.accept.auth.scram} for any answers."""

from __future__ import annotations

from base64 import b64decode, b64encode

from umbcmail.accept.auth.exchange import Challenge, Finished, KeysNeeded, SASLError, unbase64
from umbcmail.accept.auth.sasl import MECHANISMS
from umbcmail.accept.auth.saslprep import saslprep
from umbcmail.accept.auth.scram import ScramCredentials, ScramExchange, ScramKeys

KEYS = ScramKeys.derive(b"pencil", b"salt", 2)
NAMES = sorted(MECHANISMS)
_GOOD = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
_FINAL = b"c=biws,r=rOprNGfwEbeRWgbNEkqOnonce,p=" + b64encode(b"x" * 32)
SEEDS = [
    *(bytes((number,)) + b"\0ann\0secret" for number in range(len(NAMES))),
    b"\0ann\nsecret",
    b"\2" + _GOOD + b"\n" + _FINAL,
    b"\2n,a=user,n=us=2Cer,r=abc,x=y\nc=bixhPXVzZXIs,r=abcnonce,p=AAAA",
    b"\1ann 0123456789abcdef0123456789abcdef",
]


def check(data: bytes) -> None:
    """A step or L{SASLError}, and soon an end; nothing but the right proof fits."""
    if not data:
        return
    _base64(data[1:])
    try:
        prepared = saslprep(data[1:].decode("utf-8", "replace"))
        assert saslprep(prepared) == prepared
    except ValueError:
        pass
    mechanism = MECHANISMS[NAMES[data[0] % len(NAMES)]]
    exchange = ScramExchange("nonce") if "SCRAM" in mechanism.name else mechanism.make("mx.y.test")
    answers = data[1:].split(b"\n")
    try:
        step = exchange.begin(answers.pop(0) if data[0] & 0x80 and mechanism.name != "CRAM-MD5" else None)
        for answer in [*answers[:4], b"", b""]:
            if isinstance(step, KeysNeeded):
                step = exchange.keys(KEYS)
            if isinstance(step, Finished):
                break
            assert isinstance(step, Challenge)
            step = exchange.respond(answer)
    except SASLError:
        return
    assert isinstance(step, (Finished, KeysNeeded))
    assert step.login and "\0" not in step.login
    if isinstance(step, Finished) and isinstance(step.credentials, ScramCredentials):
        assert not step.credentials.checkKeys(KEYS)


def _base64(octets: bytes) -> None:
    try:
        found = unbase64(octets)
    except SASLError:
        return
    assert found == b64decode(octets, validate=True)
    assert len(octets) == (len(found) + 2) // 3 * 4
