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
        "j": hostName,
        "v": f"umbcmail {__version__}",
        "_": f"{name} [{client.address}]",
        "daemon_name": port,
        "if_name": hostName,
        "client_addr": address,
        "client_name": name,
        "client_ptr": name,
        "client_port": str(client.port),
    }
    if client.tls:
        version, _, cipher = client.tls.partition(" ")
        bits = _BITS.search(cipher)
        found |= {"tls_version": version, "cipher": cipher, "verify": "NO"}
        if bits is not None:
            found["cipher_bits"] = "128" if bits[0] == "128" else "256"
    if client.login:
        found["auth_authen"] = client.login
        found["auth_type"] = mechanism or "XCLIENT"
    return encoded(found)


def encoded(values: Mapping[str, str]) -> dict[bytes, bytes]:
    """Names and values as octets."""
    return {name.encode(): value.encode("utf-8", "replace")[:VALUE_LIMIT] for name, value in values.items()}


def chosenMacros(
    letter: bytes, wanted: Mapping[bytes, tuple[bytes, ...]] | None, *known: Mapping[bytes, bytes]
) -> dict[bytes, bytes]:
    """Those that go with a command, as far as there are values.

    @param letter: of the command.
    @param wanted: what a filter has asked for, by letter.
    @param known: values; later ones go before earlier ones.
    """
    names = wanted[letter] if wanted and letter in wanted else USUAL.get(letter, ())
    found = {}
    for name in names:
        for values in reversed(known):
            if name in values:
                found[name] = values[name]
                break
    return found
