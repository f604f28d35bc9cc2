"""Files that trial's C{mktemp} makes go to a folder that is removed; no test depends on
how quick the machine is."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("umbcmail", deadline=None)
settings.load_profile("umbcmail")


@pytest.fixture(autouse=True, scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Work there."""
    before = os.getcwd()
    os.chdir(tmp_path_factory.mktemp("unit"))
    yield
    os.chdir(before)
