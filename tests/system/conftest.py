"""What most system tests begin with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.dnsserver import NameServer
from tests.system.localusers import LocalUsers
from tests.system.peers import Sink
from tests.system.programs import certificate


@pytest.fixture()
def sink() -> Iterator[Sink]:
    """A next hop."""
    sink = Sink()
    yield sink
    sink.close()


@pytest.fixture()
def names() -> Iterator[NameServer]:
    """A name server."""
    server = NameServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def pem(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for C{mx.y.test}, and its key."""
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture()
def clean(users: LocalUsers) -> LocalUsers:
    """The users of a module, with empty homes."""
    for label in users.names:
        users.clean(label)
    return users
