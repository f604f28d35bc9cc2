"""C{umbcmail drac add}: tells mail hosts that somebody has logged in from an address.

Run on POP and IMAP hosts at each login, so it needs no configuration and starts
quickly: C{__main__} comes here without Twisted and without the other commands, and
nothing may be imported here that takes long.  C{cli} knows it too, for its help.

Ends with 0 when all hosts have added all addresses; 1 when one has answered anything
else; 2 when the command is wrong; 75 when one has not answered (C{EX_TEMPFAIL}).
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

from umbcmail.clientaddress import clientAddress
from umbcmail.drac.client import Answer, Server, parseServer
from umbcmail.drac.program import encodeAddress

ALL, REFUSED, USAGE, SILENT = 0, 1, 2, 75
"""Exit status."""
SUMMARY = "Tell mail hosts that somebody has logged in from an address (POP-before-SMTP)."
HOST = "localhost"
TIMEOUT = 10.0
LONGEST = 3600.0
STACK = 256 << 10
"""Octets of a thread's stack: Dovecot gives its scripts little memory."""

Say = Callable[[str], object]


def addArguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("addresses", metavar="ADDRESS", nargs="+", type=_address, help="of a client that has logged in")
    parser.add_argument(
        "--host",
        metavar="HOST[:PORT]",
        dest="hosts",
        action="append",
        type=_server,
        help="who is told; repeat it for several; without a port the portmapper there is asked (localhost)",
    )
    parser.add_argument("--tcp", action="store_true", help="by TCP and not by UDP")
    parser.add_argument(
        "--timeout", metavar="SECONDS", type=_seconds, default=TIMEOUT, help=f"give up after that time ({TIMEOUT:g})"
    )


def _address(text: str) -> str:
    address = clientAddress(text)
    try:
        encodeAddress(address)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is not an IP address") from None
    return address


def _server(text: str) -> tuple[str, int]:
    try:
        return parseServer(text)
    except ValueError as why:
        raise argparse.ArgumentTypeError(str(why)) from None


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= LONGEST:
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is not a number of seconds up to {LONGEST:g}")
    return seconds


def tell(given: argparse.Namespace, out: Say, note: Say) -> int:
    """Tell all hosts, at the same time.

    @param given: as L{addArguments} has it.
    @param out: takes a line for each success.
    @param note: takes a line for all else.
    @return: exit status.
    """
    addresses = list(dict.fromkeys(given.addresses))
    hosts = list(dict.fromkeys(given.hosts or [parseServer(HOST)]))
    found = _askAll(hosts, addresses, given.tcp, given.timeout)
    lack = Answer(False, False, "no answer in time")
    every: list[Answer] = []
    for host in hosts:
        answers = {address: found.get(host, {}).get(address, lack) for address in addresses}
        _report(_nameOf(host), answers, out, note)
        every += answers.values()
    if all(answer.isAdded for answer in every):
        return ALL
    return REFUSED if any(answer.isFinal and not answer.isAdded for answer in every) else SILENT


def _nameOf(server: tuple[str, int]) -> str:
    host, port = server
    if not port:
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _report(name: str, answers: dict[str, Answer], out: Say, note: Say) -> None:
    """A line for each answer, and one for what all the others lack."""
    silent = [address for address, answer in answers.items() if not answer.isFinal]
    for address, answer in answers.items():
        if answer.isFinal or len(silent) == 1:
            (out if answer.isAdded else note)(f"{name}: {address}: {answer.text}")
    if len(silent) > 1:
        note(f"{name}: {len(silent)} addresses: {answers[silent[0]].text}")


def _askAll(
    hosts: Sequence[tuple[str, int]], addresses: Sequence[str], isStream: bool, seconds: float
) -> dict[tuple[str, int], dict[str, Answer]]:
    """The answers of the hosts that are there when the time is over: looking up a name
    can't be ended, so each host has a thread that nobody need wait for."""
    until = time.monotonic() + seconds
    found: dict[tuple[str, int], dict[str, Answer]] = {}

    def ask(host: tuple[str, int]) -> None:
        found[host] = Server(*host, isStream).add(addresses, until)

    threading.stack_size(STACK)
    threads = [threading.Thread(target=ask, args=(host,), daemon=True) for host in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(until - time.monotonic(), 0) + 0.5)
    return dict(found)


class _Parser(argparse.ArgumentParser):
    """Tells of an error in one line."""

    def error(self, message: str) -> NoReturn:
        """See L{argparse.ArgumentParser.error}."""
        _note(f"{message} (see {self.prog} --help)")
        raise SystemExit(USAGE)


def _note(text: str) -> None:
    print(f"umbcmail: {text}", file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """The command alone.

    @param argv: what stands behind C{drac add}.
    @return: exit status.
    """
    parser = _Parser("umbcmail drac add", description=SUMMARY, allow_abbrev=False)
    addArguments(parser)
    try:
        return tell(parser.parse_args(argv), print, _note)
    except SystemExit as end:
        return int(end.code or 0)
    except KeyboardInterrupt:
        return 130
