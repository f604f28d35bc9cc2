"""Tests of `umbcmail.watch.listen`: from where one listens to how one gets there."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.watch.listen import Place, hostsOf, placeOf


class PlaceTests(SynchronousTestCase):
    """Endpoints of Twisted."""

    def test_places(self) -> None:
        """TCP and UNIX sockets, with their values in order or by name."""
        for endpoint, place in (
            ("tcp:8025", "127.0.0.1:8025"),
            ("tcp:port=8025", "127.0.0.1:8025"),
            ("tcp:8025:interface=127.0.0.2", "127.0.0.2:8025"),
            ("tcp:interface=127.0.0.2:port=8025:backlog=3", "127.0.0.2:8025"),
            ("tcp:8025:interface=0.0.0.0", "127.0.0.1:8025"),
            ("tcp:8025:interface=\\:\\:1", "[::1]:8025"),
            ("tcp:8025:interface=\\:\\:", "[::1]:8025"),
            ("tcp6:8025", "[::1]:8025"),
            ("tcp6:8025:interface=fe80\\:\\:1", "[fe80::1]:8025"),
            ("tcp4:8025", "127.0.0.1:8025"),
            ("unix:/run/w", "unix:/run/w"),
            ("unix:/run/w:mode=660", "unix:/run/w"),
            ("unix:address=/run/w", "unix:/run/w"),
            ("unix:/run/a\\:b\\\\c\\=d", "unix:/run/a:b\\c=d"),
        ):
            self.assertEqual(str(placeOf(endpoint)), place, endpoint)

    def test_noPlaces(self) -> None:
        """Where the description does not say where it is, there is no way."""
        for endpoint in ("", "tcp", "tcp:", "tcp:0", "tcp:65536", "tcp:x", "tcp:-1", "tcp:²", "unix", "unix:"):
            self.assertIsNone(placeOf(endpoint), endpoint)
        for endpoint in ("systemd:domain=INET:index=0", "fd:3", "8025", "\\", "tcp:1" + "0" * 5000):
            self.assertIsNone(placeOf(endpoint), endpoint[:50])

    @given(st.text(alphabet="tcpunix46:=\\/1 port"))
    def test_anything(self, endpoint: str) -> None:
        """Nothing breaks it."""
        self.assertIsInstance(placeOf(endpoint), (Place, type(None)))

    def test_private(self) -> None:
        """Loopback and UNIX sockets are private; all else is told."""
        addresses = [
            IPv4Address("TCP", "127.0.0.1", 1),
            IPv4Address("TCP", "127.9.9.9", 1),
            IPv6Address("TCP", "::1", 1),
            UNIXAddress(b"/run/w"),
            IPv4Address("TCP", "0.0.0.0", 1),
            IPv6Address("TCP", "::", 1),
            IPv4Address("TCP", "192.0.2.1", 1),
        ]
        self.assertEqual(hostsOf(addresses), ["0.0.0.0", "::", "192.0.2.1"])
