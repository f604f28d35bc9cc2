"""L{umbcmail.accept.portkinds}: what holds at a port unless the operator says otherwise."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.accept.portkinds import LOCAL, SMTP, SUBMISSION, SUBMISSIONS, kindOf, tcpPort
from umbcmail.config import Config, load
from umbcmail.sections import sections


class TcpPortTests(SynchronousTestCase):
    """The TCP port of an endpoint."""

    def test_forms(self) -> None:
        """However it is written."""
        for endpoint, port in (
            ("tcp:25", 25),
            ("tcp:587:interface=192.0.2.1:backlog=500", 587),
            ("tcp:interface=192.0.2.1:465", 465),
            ("tcp:interface=192.0.2.25:port=587", 587),
            ("tcp6:25:interface=\\:\\:1", 25),
            ("tcp6:interface=2001\\:db8\\:\\:25:port=465", 465),
            ("haproxy:tcp:25", 25),
            ("ssl:465:privateKey=/k.pem", 465),
            ("tcp:0", 0),
        ):
            self.assertEqual(port, tcpPort(endpoint), endpoint)

    def test_none(self) -> None:
        """What has none is taken for no port."""
        for endpoint in ("", ":", "tcp", "tcp:", "tcp:smtp", "unix:/run/25", "systemd:domain=INET:index=25", "fd:25"):
            self.assertIsNone(tcpPort(endpoint), endpoint)

    @given(st.text())
    def test_anything(self, text: str) -> None:
        """No text breaks it."""
        tcpPort(text)


class KindTests(SynchronousTestCase):
    """What a port is for."""

    def test_number(self) -> None:
        """A well-known number decides, whatever the name; sockets of the file system are for programs of this host."""
        self.assertEqual(LOCAL, kindOf("relay.submission", {"endpoint": "unix:/run/x:mode=666"}))
        for number, kind in ((25, SMTP), (587, SUBMISSION), (465, SUBMISSIONS)):
            for name in ("delivery.mx", "relay.submission", "delivery.smtps", "x.y"):
                self.assertEqual(kind, kindOf(name, {"endpoint": f"tcp:{number}"}))

    def test_name(self) -> None:
        """Where the number says nothing, the name does; where neither does, it is a
        port for all."""
        for names, kind in (
            (("mx", "smtp", "clients", "25", "submit"), SMTP),
            (("submission", "msa", "587"), SUBMISSION),
            (("submissions", "smtps", "465"), SUBMISSIONS),
        ):
            for name in names:
                for values in ({"endpoint": "tcp:0"}, {"endpoint": "systemd:domain=INET:index=0"}, {}):
                    self.assertEqual(kind, kindOf(f"relay.{name}", values), name)


class DefaultsTests(SynchronousTestCase):
    """The configuration has them."""

    def configured(self, text: str, *sets: str) -> Config:
        """The configuration of a text."""
        path = os.path.abspath(self.mktemp())
        with open(path, "w") as file:
            file.write(text)
        return load(sections(), path, sets)

    def port(self, *lines: str, name: str = "delivery.port.a") -> Any:
        """Values of a port with these lines."""
        config = self.configured("\n".join((f"[agent.{name}]", *lines)))
        found = config.section(f"agent.{name}")
        return found["tls"], found["auth"], found["relay"]

    def test_threePorts(self) -> None:
        """The table of the ports: 25 relays for networks, logins seen by POP or IMAP,
        and AUTH; 587 for AUTH under TLS only; 465 is as 25 with TLS first."""
        everybody = ("networks", "drac", "auth")
        self.assertEqual(("offer", None, everybody), self.port('endpoint = "tcp:25"'))
        self.assertEqual(("require", "require", ("auth",)), self.port('endpoint = "tcp:587"'))
        self.assertEqual(("first", None, everybody), self.port('endpoint = "tcp:465"'))
        self.assertEqual(("offer", None, everybody), self.port('endpoint = "tcp:2525"'))
        for agent in ("delivery", "relay"):
            name = f"{agent}.port.submission"
            self.assertEqual(("require", "require", ("auth",)), self.port('endpoint = "tcp:2587"', name=name))

    def test_explicit(self) -> None:
        """What the operator says goes over it, each setting for itself."""
        lines = ('endpoint = "tcp:587"', 'auth = "offer"', 'relay = ["auth", "networks"]')
        self.assertEqual(("require", "offer", ("auth", "networks")), self.port(*lines))
        self.assertEqual("offer", self.port('endpoint = "tcp:465"', 'tls = "offer"')[0])

    def test_set(self) -> None:
        """The endpoint that counts is the one in effect."""
        config = self.configured('[agent.relay.port.a]\nendpoint = "tcp:25"\n', "agent.relay.port.a.endpoint=tcp:587")
        self.assertEqual(("auth",), config.section("agent.relay.port.a")["relay"])

    def test_shown(self) -> None:
        """What is shown as in effect is the same configuration again."""
        text = '[agent.relay.port.submission]\nendpoint = "tcp:1"\n[agent.relay.port.b]\nendpoint = "tcp:465"\n'
        config = self.configured(text)
        shown = config.show()
        self.assertIn('tls = "require"  # default\nrelay = ["auth"]  # default\n', shown)
        self.assertEqual(config, self.configured(shown))
