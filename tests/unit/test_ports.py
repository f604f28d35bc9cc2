"""L{umbcmail.ports}: what only the whole configuration can tell about a port."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from umbcmail.config import Config, Problem, load
from umbcmail.ports import checkPort, endpointOf, holder, makeTLS
from umbcmail.sections import sections


def configured(text: str) -> Config:
    """The configuration of a text."""
    with tempfile.TemporaryDirectory(prefix="umbcmail-test-") as folder:
        file = Path(folder, "umbcmail.toml")
        file.write_text(text)
        confD = os.path.join(folder, "conf.d")
        os.mkdir(confD)
        return load(sections(), str(file), confD=confD)


class PortTests(SynchronousTestCase):
    """One port."""

    def test_submission(self) -> None:
        """Headers are never mended on port 25, however it is written."""
        for endpoint, isWrong in (
            ("tcp:25", True),
            ("tcp:25:interface=192.0.2.1", True),
            ("tcp6:port=25", True),
            ("tcp:587", False),
            ("tcp:2525", False),
            ("tcp:250:interface=192.0.2.25", False),
        ):
            config = configured(f'[agent.delivery.port.a]\nendpoint = "{endpoint}"\nsubmission = true\n')
            self.assertEqual(bool(checkPort(config, "agent.delivery.port.a")), isWrong, endpoint)
        self.assertEqual(
            checkPort(configured('[agent.delivery.port.a]\nendpoint = "tcp:25"\n'), "agent.delivery.port.a"), []
        )

    def test_address(self) -> None:
        """A port has the address of its agent unless it names one; when all do, that of the agent is a mistake."""
        bound = '[agent.relay.port.b]\nendpoint = "tcp:2525:interface=127.0.0.1"\n'
        free = '[agent.relay.port.a]\nendpoint = "tcp:25"\n'
        address = '[agent.relay]\naddress = "192.0.2.1"\n'
        config = configured(address + free + bound)
        keys = ["agent.relay.port.a", "agent.relay.port.b"]
        expected = ["tcp:25:interface=192.0.2.1", "tcp:2525:interface=127.0.0.1"]
        self.assertEqual([endpointOf(config, key) for key in keys], expected)
        self.assertEqual([checkPort(config, key) for key in keys], [[], []])
        [problem] = checkPort(configured(address + bound), keys[1])
        self.assertEqual((problem.key, problem.value), ("agent.relay.address", "192.0.2.1"))
        self.assertEqual(checkPort(configured(bound), keys[1]), [])

    def test_holder(self) -> None:
        """No networks cost nothing."""
        self.assertIsNone(holder(()))
        config = configured('[agent.delivery.port.a]\nendpoint = "tcp:1"\nproxy = ["192.0.2.0/24", "2001:db8::/32"]\n')
        holds = holder(config.section("agent.delivery.port.a")["proxy"])
        assert holds is not None
        found = [holds(address) for address in ("192.0.2.9", "192.0.3.9", "2001:db8::9", "2001:db9::9")]
        self.assertEqual(found, [True, False, True, False])


class TLSTests(SynchronousTestCase):
    """TLS of all ports."""

    def problems(self, text: str) -> list[Problem]:
        """What is wrong."""
        found: list[Problem] = []
        self.assertIsNone(makeTLS(configured(text), found))
        return found

    def test_none(self) -> None:
        """Without a certificate there is none, and nothing is wrong."""
        self.assertEqual(self.problems(""), [])

    def test_wrong(self) -> None:
        """Each pair that can't be read is a mistake of its own."""
        text = '[tls]\ncertificate = "/nonexistent/a"\nkey = "/nonexistent/b"\n'
        name = '[[tls-name]]\nname = "a.test"\ncertificate = "/nonexistent/c"\nkey = "/nonexistent/d"\n'
        keys = [problem.key for problem in self.problems(text + name + name)]
        self.assertEqual(keys, ["tls.certificate", "tls-name[1].certificate", "tls-name[2].certificate"])
