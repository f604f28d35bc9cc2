"""L{umbcmail.route.servers}: which name server is asked when."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError, fail, succeed
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.names import dns
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.destination import NoAnswer
from umbcmail.route import servers
from umbcmail.route.servers import Servers, nameServers

X = b"x.test"


def answer(code: int = dns.OK, name: bytes = X, trunc: int = 0) -> Any:
    """A message about C{x.test}."""
    message = dns.Message(1, answer=1, rCode=code, trunc=trunc)
    message.queries = [dns.Query(name, dns.MX, dns.IN)]
    return message


class ServersTests(SynchronousTestCase):
    """Servers are asked in turn."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.script: dict[str, list[Any]] = {}
        self.asked: list[str] = []
        case = self

        class FakeClient:
            """In place of L{twisted.names.client.Resolver}."""

            def __init__(self, servers: Any, timeout: Any, reactor: Any) -> None:
                self.address = servers[0]
                self.connections: list[Any] = []

            def _next(self, how: str) -> Deferred[Any]:
                host, port = self.address
                case.asked.append(f"{how}{host}" + (f":{port}" if port != 53 else ""))
                said = case.script[host].pop(0)
                if isinstance(said, Deferred):
                    return said
                return fail(said) if isinstance(said, Exception) else succeed(said)

            def queryUDP(self, queries: Any) -> Deferred[Any]:
                """One question."""
                return self._next("")

            def queryTCP(self, queries: Any, timeout: float) -> Deferred[Any]:
                """The same, the other way."""
                return self._next("tcp ")

        self.patch(servers.client, "Resolver", FakeClient)

    def ask(self, twice: bool = True, **script: list[Any]) -> Deferred[Any]:
        """Ask C{192.0.2.1}, C{192.0.2.2}, twice each."""
        self.script = {f"192.0.2.{name[1:]}": said for name, said in script.items()}
        addresses = [(host, 0) for host in sorted(self.script)]
        return Servers(self.clock, addresses, 5.0, 2).ask(X, dns.MX, twice)

    def test_firstAnswer(self) -> None:
        """The first server's answer is enough."""
        good = answer()
        self.assertIs(good, self.successResultOf(self.ask(_1=[good], _2=[])))

    def test_passedOver(self) -> None:
        """Troubles, error codes and nonsense lead to the next server."""
        troubles: list[Any] = [TimeoutError(), OSError(101, "unreachable"), ConnectionRefusedError()]
        troubles += [answer(code) for code in (dns.ESERVER, dns.EREFUSED, dns.EFORMAT, dns.ENOTIMP)]
        troubles += [answer(name=b"other.test"), dns.Message(1, answer=1)]
        for trouble in troubles:
            good = answer()
            self.assertIs(good, self.successResultOf(self.ask(_1=[trouble], _2=[good])))

    def test_again(self) -> None:
        """When none knows, all are asked once more."""
        good = answer()
        found = self.ask(_1=[TimeoutError(), good], _2=[TimeoutError()])
        self.assertIs(good, self.successResultOf(found))
        self.assertEqual(["192.0.2.1", "192.0.2.2", "192.0.2.1"], self.asked)

    def test_noAnswer(self) -> None:
        """In the end nobody knows."""
        bad = answer(dns.ESERVER)
        self.failureResultOf(self.ask(_1=[bad, bad], _2=[bad, bad]), NoAnswer)

    def test_noSuchNameTwice(self) -> None:
        """One word is not enough for "no such name"."""
        gone, good = answer(dns.ENAME), answer()
        self.assertIs(gone, self.successResultOf(self.ask(_1=[gone], _2=[gone])))
        self.assertIs(good, self.successResultOf(self.ask(_1=[gone], _2=[good])))
        self.assertIs(gone, self.successResultOf(self.ask(_1=[gone, gone])))
        down = TimeoutError()
        self.assertIs(gone, self.successResultOf(self.ask(_1=[gone, gone], _2=[down])))
        self.failureResultOf(self.ask(_1=[gone, down], _2=[down, down]), NoAnswer)

    def test_noSuchNameOnce(self) -> None:
        """Where nothing is lost by it, one word is enough."""
        gone = answer(dns.ENAME)
        self.assertIs(gone, self.successResultOf(self.ask(False, _1=[gone], _2=[])))

    def test_truncated(self) -> None:
        """What does not fit a datagram comes over TCP."""
        good = answer()
        self.assertIs(good, self.successResultOf(self.ask(_1=[answer(trunc=1), good])))
        self.assertEqual(["192.0.2.1", "tcp 192.0.2.1"], self.asked)

    def test_truncatedAgain(self) -> None:
        """What does not fit TCP either is nonsense."""
        cut = answer(trunc=1)
        self.failureResultOf(self.ask(_1=[cut, cut, cut, cut]), NoAnswer)

    def test_tcpHangs(self) -> None:
        """TCP has no more time than UDP."""
        good = answer()
        found = self.ask(_1=[answer(trunc=1), Deferred()], _2=[good])
        self.clock.advance(4.9)
        self.assertNoResult(found)
        self.clock.advance(0.1)
        self.assertIs(good, self.successResultOf(found))

    def test_bugIsNotHidden(self) -> None:
        """An error that is no trouble of the network is no answer."""
        self.failureResultOf(self.ask(_1=[ZeroDivisionError()]), ZeroDivisionError)

    def test_port(self) -> None:
        """A server can have a port of its own."""
        self.script = {"192.0.2.1": [answer()]}
        self.successResultOf(Servers(self.clock, [("192.0.2.1", 5353)], 5.0, 2).ask(X, dns.MX, True))
        self.assertEqual(["192.0.2.1:5353"], self.asked)

    def test_resolvConf(self) -> None:
        """Without servers the file says, and changes of it are seen after a while."""
        path = self.mktemp()
        with open(path, "w") as file:
            file.write("nameserver 192.0.2.1\n")
        self.script = {f"192.0.2.{n}": [answer() for _ in range(9)] for n in (1, 2)}
        asker = Servers(self.clock, [], 5.0, 2, path)
        self.successResultOf(asker.ask(X, dns.MX, True))
        with open(path, "w") as file:
            file.write("search x.test\nnameserver 192.0.2.2\n")
        self.successResultOf(asker.ask(X, dns.MX, True))
        self.clock.advance(30)
        self.successResultOf(asker.ask(X, dns.MX, True))
        os.unlink(path)
        self.clock.advance(30)
        self.successResultOf(asker.ask(X, dns.MX, True))
        self.assertEqual(["192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.2"], self.asked)

    def test_noResolvConf(self) -> None:
        """Without the file this host is asked, as the C library does; and when the
        file comes, what is in it."""
        path = self.mktemp()
        self.script = {"127.0.0.1": [answer()], "192.0.2.1": [answer()]}
        asker = Servers(self.clock, [], 5.0, 2, path)
        self.successResultOf(asker.ask(X, dns.MX, True))
        with open(path, "w") as file:
            file.write("nameserver 192.0.2.1\n")
        self.clock.advance(30)
        self.successResultOf(asker.ask(X, dns.MX, True))
        self.assertEqual(["127.0.0.1", "192.0.2.1"], self.asked)

    def test_nameServers(self) -> None:
        """The first three addresses, nothing else."""
        lines = ["# nameserver 192.0.2.9", "nameserver", "nameserver ns.test", " nameserver 192.0.2.1 # x"]
        lines += ["nameserver 2001:db8::1"] + ["nameserver 192.0.2.2"] * 3
        self.assertEqual(["192.0.2.1", "2001:db8::1", "192.0.2.2"], nameServers("\n".join(lines)))
