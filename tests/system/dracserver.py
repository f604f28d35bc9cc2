"""umbcmail with its server of DRAC on loopback and a status page, and clients of other addresses of loopback."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import socket
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.system.mailsystem import MAILDIRS, Umbcmail, running
from tests.system.programs import HOST, freePort, until

LISTED, OTHER, UNLISTED = "127.0.0.2", "127.0.3.7", "127.0.9.9"
_CONFIG = """
[watch]
listen = ["tcp:{page}:interface=127.0.0.1"]
[drac]
listen = ["127.0.0.1", "::1"]
port = {port}
rpcbind = false
clients = ["127.0.0.2", "127.0.3.0/24", "::1"]
"""


class DracServer(Umbcmail):
    """The system.

    @ivar drac: port.
    """

    def __init__(self, folder: Path, config: str = "") -> None:
        """
        @param config: more of C{[drac]}.
        """
        self.drac, self._page = freePort(), freePort()
        super().__init__(folder, _CONFIG.format(page=self._page, port=self.drac) + config, base=MAILDIRS)
        (folder / "maildirs").mkdir()

    def figures(self) -> dict[str, float]:
        """What Prometheus reads of DRAC: by name and value of the label, C{adds_total new}."""
        connection = http.client.HTTPConnection(HOST, self._page, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", "/metrics")
            families = list(text_string_to_metric_families(connection.getresponse().read().decode()))
        samples = [sample for family in families for sample in family.samples]
        return {
            " ".join([sample.name.removeprefix("umbcmail_drac_"), *sample.labels.values()]): sample.value
            for sample in samples
            if sample.name.startswith("umbcmail_drac_")
        }

    def becomes(self, name: str, value: float) -> None:
        """Wait until a figure has a value."""
        until(lambda: self.figures().get(name) == value, f"{name} is {value:g}")

    def roster(self) -> list[str]:
        """The addresses that C{umbcmail drac list} shows."""
        return [line.split()[0] for line in self.tool("drac", "list").splitlines()[1:-1]]

    @contextlib.contextmanager
    def stuck(self) -> Iterator[None]:
        """Nothing can be written into the roster meanwhile."""
        with (self.folder / "state" / "turn").open("a") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            yield

    def udp(self, client: str = LISTED) -> socket.socket:
        """A socket that is connected to it."""
        made = socket.socket(socket.AF_INET6 if ":" in client else socket.AF_INET, socket.SOCK_DGRAM)
        made.settimeout(8)
        made.bind((client, 0))
        made.connect(("::1" if ":" in client else HOST, self.drac))
        return made

    def tcp(self, client: str = LISTED) -> socket.socket:
        """A connection to it."""
        return socket.create_connection(("::1" if ":" in client else HOST, self.drac), 8, (client, 0))


@contextlib.contextmanager
def serving(folder: Path, config: str = "") -> Iterator[DracServer]:
    """It, while the test runs; nothing goes wrong in it that we did not know of."""
    server = DracServer(folder, config)
    with running(server):
        yield server
    assert "Traceback" not in server.running.output(), server.running.output()
