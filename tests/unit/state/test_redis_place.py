"""Tests of L{umbcmail.state.redisplace}, and of what else the settings for Redis say."""

from __future__ import annotations

import os

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.config import ConfigError, load
from umbcmail.sections import sections
from umbcmail.state.redis import RedisState
from umbcmail.state.redisplace import Place, placeOf, written
from umbcmail.storage import openState


class PlaceTests(SynchronousTestCase):
    """The url."""

    def test_server(self) -> None:
        """A server; port and database may be left out."""
        for url, place in (
            ("redis://127.0.0.1:6380/3", Place((("127.0.0.1", 6380),), db=3)),
            ("redis://Redis.umbc.edu", Place((("redis.umbc.edu", 6379),))),
            ("redis://[2001:db8::1]:1", Place((("2001:db8::1", 1),))),
            ("rediss://redis.umbc.edu/0", Place((("redis.umbc.edu", 6379),), isTLS=True)),
        ):
            self.assertEqual(placeOf(url), place)

    def test_sentinels(self) -> None:
        """Sentinels and the name of the service."""
        hosts = (("a.test", 26379), ("192.0.2.1", 7), ("2001:db8::1", 26379))
        url = "redis+sentinel://a.test,192.0.2.1:7,[2001:db8::1]/mail"
        self.assertEqual(placeOf(url), Place(hosts, "mail"))
        self.assertEqual(placeOf(url + "/2"), Place(hosts, "mail", db=2))
        self.assertEqual(placeOf("rediss+sentinel://a.test/mail"), Place(hosts[:1], "mail", isTLS=True))

    def test_socket(self) -> None:
        """A UNIX socket."""
        self.assertEqual(placeOf("redis+unix:/run/redis.sock"), Place(path="/run/redis.sock"))
        self.assertEqual(placeOf("redis+unix:/run/a b?db=12"), Place(path="/run/a b", db=12))

    def test_wrong(self) -> None:
        """What names no place is refused with a reason."""
        for url, why in (
            ("redis:/x", "must be redis://HOST:PORT or"),
            ("redis://", "must be redis://HOST:PORT"),
            ("redis://a b", "is not host:port"),
            ("redis+sentinel:///mail", "must be redis+sentinel://HOST:PORT"),
            ("redis://a.test:0", "not a port"),
            ("redis://a.test:6379/mail", "must be redis://HOST:PORT or"),
            ("redis://a.test/1/2", "must be redis://HOST:PORT or"),
            ("redis://a.test/", "must be redis://HOST:PORT or"),
            ("redis://a.test,b.test", "need Sentinels"),
            ("redis://:secret@a.test", "state.password-file"),
            ("redis://unix:/1", "needs an absolute path"),
            ("redis+sentinel://a.test", "HOST:PORT/SERVICE"),
            ("redis+sentinel://a.test/mail/x", "HOST:PORT/SERVICE"),
            ("redis+sentinel://a.test//2", "HOST:PORT/SERVICE"),
            ("redis+unix://a.test", "must be redis+unix:/PATH"),
            ("redis+unix:/x?db=y", "must be redis+unix:/PATH"),
            ("redis+other://a.test", "must be"),
            ("rediss", "must be rediss://HOST:PORT"),
        ):
            self.assertIn(why, str(self.assertRaises(ValueError, placeOf, url)), url)

    def test_written(self) -> None:
        """An address of IPv6 is written in brackets."""
        self.assertEqual((written("a.test", 1), written("::1", 2)), ("a.test:1", "[::1]:2"))


class SettingsTests(SynchronousTestCase):
    """The section C{[state]}."""

    def open(self, **settings: str) -> RedisState:
        """What is made of it."""
        sets = [f"state.{key.replace('_', '-')}={value}" for key, value in settings.items()]
        state = openState(load(sections(), None, sets), MemoryReactorClock())
        assert isinstance(state, RedisState)
        return state

    def refused(self, **settings: str) -> str:
        """All that is wrong."""
        return str(self.assertRaises(ConfigError, self.open, **settings))

    def file(self, content: bytes, mode: int = 0o600) -> str:
        """A file."""
        path = os.path.abspath(self.mktemp())
        with open(path, "wb") as file:
            file.write(content)
        os.chmod(path, mode)
        return path

    def test_password(self) -> None:
        """A line in a file that nobody else may read."""
        self.open(url="redis://a.test", password_file=self.file(b"s\xc3\xb6 ecret\r\n"))
        for mode in (0o640, 0o604, 0o620):
            self.assertIn("others may read", self.refused(url="redis://a.test", password_file=self.file(b"x", mode)))

    def test_several(self) -> None:
        """All mistakes are told at once, with their keys."""
        text = self.refused(url="redis://a.test/x", password_file=self.file(b"\n"), ca_file=self.file(b"x"))
        self.assertIn("state.url", text)
        self.assertIn("state.password-file", text)
        self.assertIn("there is no password in", text)
        self.assertIn("there are no certificates in", text)
        text = self.refused(url="redis://a.test", password_file="/nowhere", ca_file="/nowhere")
        self.assertEqual(text.count("No such file"), 2)

    def test_badCertificate(self) -> None:
        """What only looks like a certificate is none."""
        pem = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
        self.assertIn("there are no certificates", self.refused(url="rediss://a.test", ca_file=self.file(pem)))

    def test_notOpen(self) -> None:
        """Before it is opened it says so, and asks nobody."""
        self.assertIn(
            "Redis is away since 1970-01-01T00:00:00Z: is not open", self.open(url="redis://a.test").condition()
        )
