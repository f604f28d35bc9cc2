"""A client address that a POP or IMAP host has seen a login from (POP-before-SMTP).

Values only.  `drac` makes them of reports, `state` keeps them, the rule C{drac} in
`check` lets the address relay until it expires.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sighting:
    """An entry of the roster.

    @ivar address: as L{umbcmail.clientaddress.clientAddress} writes it.
    @ivar expires: seconds since 1970; from then on it counts for nothing.
    @ivar reporter: address of the host that reported it last, or C{""}.
    """

    address: str
    expires: float
    reporter: str = ""


class StateError(Exception):
    """What hosts share can't be reached, or can't be written; nothing that was
    asked for is sure to have happened."""
