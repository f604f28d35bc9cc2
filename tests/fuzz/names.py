"""Answers of name servers: L{umbcmail.route.answers}."""

from __future__ import annotations

from twisted.names import dns

from umbcmail.destination import NoAnswer, NoSuchName
from umbcmail.route.answers import isAbout, read, textName, wireName

KINDS = (dns.MX, dns.A, dns.AAAA, dns.PTR)


def _message(*answers: dns.RRHeader, rCode: int = 0, kind: int = dns.MX) -> bytes:
    message = dns.Message(1, answer=1, rCode=rCode)
    message.addQuery(b"y.test", kind)
    message.answers = list(answers)
    message.authority = [
        dns.RRHeader(b"test", dns.SOA, dns.IN, 60, dns.Record_SOA(b"ns.test", b"h.test", 1, 2, 3, 4, 5))
    ]
    return message.toStr()


SEEDS = [
    b"\0" + _message(dns.RRHeader(b"y.test", dns.MX, dns.IN, 60, dns.Record_MX(10, b"m.y.test"))),
    b"\1" + _message(dns.RRHeader(b"y.test", dns.A, dns.IN, 60, dns.Record_A("192.0.2.1")), kind=dns.A),
    b"\2" + _message(dns.RRHeader(b"y.test", dns.AAAA, dns.IN, 60, dns.Record_AAAA("2001:db8::1")), kind=dns.AAAA),
    b"\3" + _message(dns.RRHeader(b"y.test", dns.PTR, dns.IN, 60, dns.Record_PTR(b"a.test")), kind=dns.PTR),
    b"\1"
    + _message(
        dns.RRHeader(b"y.test", dns.CNAME, dns.IN, 60, dns.Record_CNAME(b"z.test")),
        dns.RRHeader(b"z.test", dns.A, dns.IN, 60, dns.Record_A("192.0.2.1")),
        kind=dns.A,
    ),
    b"\0" + _message(rCode=3),
]


def check(data: bytes) -> None:
    """An answer, or that there is none; a decoder's error is Twisted's own."""
    if not data:
        return
    try:
        assert wireName(data.decode("utf-8", "replace")).isascii()
    except NoSuchName:
        pass
    message = dns.Message()
    try:
        message.fromStr(data[1:])
    except Exception:
        return
    kind = KINDS[data[0] % 4]
    for query in message.queries[:1]:
        name = query.name.name.lower().removesuffix(b".")
        isAbout(message, name, kind)
        try:
            answer = read(message, name, kind)
        except NoAnswer:
            continue
        assert answer.seconds >= 0 and answer.alias.isascii()
        for found in answer.found or ():
            text = found[1] if isinstance(found, tuple) else found
            assert isinstance(text, str) and text.isascii()
    textName(data)
