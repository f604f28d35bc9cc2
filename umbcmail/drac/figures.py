"""What the role C{drac} tells of itself for metrics and status."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from umbcmail.drac.notify import Peer
from umbcmail.drac.reception import Reception
from umbcmail.figure import Figure

_ADDS = "Addresses that clients have added, new ones and those that were there."
_REFUSED = "Adds that have been refused, by reason."
_ERRORS = "Calls that were not for us or make no sense, by what is wrong."
_NOTIFIED = "Addresses that other servers were to be told of, by what became of it."


def figuresOf(
    reception: Reception, unsent: int, connections: int, noRoom: int, peers: Iterable[Peer]
) -> Iterator[Figure]:
    """All of them."""
    counts = reception.counts
    for kind, name in (("new", "added"), ("renewed", "renewed")):
        yield Figure("drac_adds_total", counts.get(name, 0), _ADDS, (("kind", kind),), True)
    for key, count in sorted(counts.items()):
        group, _, reason = key.partition(".")
        if group == "refused":
            yield Figure("drac_refused_total", count, _REFUSED, (("reason", reason),), True)
        elif group == "error":
            yield Figure("drac_errors_total", count, _ERRORS, (("wrong", reason),), True)
    for name, key, meaning in (
        ("drac_pings_total", "null", "Calls of procedure 0."),
        ("drac_garbage_total", "garbage", "Messages that are no calls."),
        ("drac_duplicates_total", "duplicate", "Calls sent again while they were under way."),
    ):
        yield Figure(name, counts.get(key, 0), meaning, (), True)
    yield Figure("drac_unsent_total", unsent, "Replies that the system has not taken.", (), True)
    yield Figure("drac_waiting", reception.waiting, "Adds that wait for the roster.")
    yield Figure("drac_connections", connections, "TCP connections.")
    yield Figure("drac_connections_refused_total", noRoom, "TCP connections that there was no room for.", (), True)
    for peer in peers:
        for result, number in (("taken", peer.told), ("failed", peer.failed), ("lost", peer.lost)):
            labels = (("server", peer.host), ("result", result))
            yield Figure("drac_notified_total", number, _NOTIFIED, labels, True)
        server = (("server", peer.host),)
        yield Figure("drac_notify_waiting", peer.waiting, "Addresses that it has not been told of yet.", server)
