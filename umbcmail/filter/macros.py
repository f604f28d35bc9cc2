"""Macros: what an MTA tells its filters beside the commands.  Pure.

Names and values are those of Sendmail (C{op.me}) and Postfix (C{MILTER_README}); what is
not known is left out.  A filter may ask for others than the usual ones of a stage.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from umbcmail import __version__
from umbcmail.envelope import Client

USUAL: Mapping[bytes, tuple[bytes, ...]] = {
    b"C": (b"j", b"_", b"v", b"daemon_name", b"if_name", b"client_addr", b"client_name", b"client_port", b"client_ptr"),
    b"H": (b"tls_version", b"cipher", b"cipher_bits", b"verify"),
    b"M": (b"i", b"auth_type", b"auth_authen", b"mail_host", b"mail_addr"),
    b"R": (b"i", b"rcpt_mailer", b"rcpt_host", b"rcpt_addr"),
    b"T": (b"i",),
    b"N": (b"i", b"msg_id"),
    b"E": (b"i", b"msg_id"),
}
"""Names by letter of a command.  Those of the last two are the same: libmilter before
8.17.2 takes one for the other."""

VALUE_LIMIT = 2000
"""Octets of a value."""

_BITS = re.compile(r"(256|128|CHACHA20)")


def clientMacros(client: Client, name: str, hostName: str, port: str, mechanism: str) -> dict[bytes, bytes]:
    """Of a session.

    @param name: of the client, C{""} where there is none.
    @param hostName: ours.
    @param port: name of the port that the client has come to.
    @param mechanism: by which it has logged in; C{""}: somebody else says so.
    """
    address = f"IPv6:{client.address}" if ":" in client.address else client.address
    name = client.name or name or "unknown"
    found = {
        b"j": octets(hostName),
        b"v": b"umbcmail " + __version__.encode(),
        b"_": octets(f"{name} [{client.address}]"),
        b"daemon_name": octets(port),
        b"if_name": octets(hostName),
        b"client_addr": address.encode(),
        b"client_name": octets(name),
        b"client_ptr": octets(name),
        b"client_port": b"%d" % client.port,
    }
    if client.tls:
        version, _, cipher = client.tls.partition(" ")
        bits = _BITS.search(cipher)
        found |= {b"tls_version": octets(version), b"cipher": octets(cipher), b"verify": b"NO"}
        if bits is not None:
            found[b"cipher_bits"] = b"128" if bits[0] == "128" else b"256"
    if client.login:
        found[b"auth_authen"] = octets(client.login)
        found[b"auth_type"] = octets(mechanism or "XCLIENT")
    return found


def octets(value: str) -> bytes:
    """A value as it is sent."""
    return value.encode("utf-8", "replace")[:VALUE_LIMIT]


def chosenMacros(letter: bytes, wanted: Mapping[bytes, tuple[bytes, ...]] | None) -> tuple[bytes, ...]:
    """Names of those that go with a command.

    @param letter: of the command.
    @param wanted: what a filter has asked for, by letter.
    """
    return wanted[letter] if wanted and letter in wanted else USUAL.get(letter, ())
