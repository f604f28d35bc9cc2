"""A disk that fails, or loses its power, at any call that changes something on it.

C{disk/faults.c} is loaded into the program: it counts the calls of the C library below a
folder, SQLite's too, and knows nothing of the program, nor the program of it.
"""

from __future__ import annotations

import mmap
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.system.programs import need

_FIELDS = struct.Struct("iiiiii64s")
_SIZE = _FIELDS.size + 65_000


class Disk:
    """The calls of one program below a folder."""

    def __init__(self, folder: Path, place: Path) -> None:
        """
        @param folder: whose calls count.
        @param place: folder for what this needs itself.
        """
        library, control = place / "faults.so", place / "faults.control"
        source = Path(__file__).parent / "disk" / "faults.c"
        command = [need("gcc"), "-O1", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        control.write_bytes(bytes(_SIZE))
        self._environment = [f"LD_PRELOAD={library}", f"FAULTS_CONTROL={control}", f"FAULTS_FOLDER={folder}"]
        with control.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), _SIZE)

    def under(self, argv: Sequence[str]) -> list[str]:
        """The command that runs a program on this disk."""
        return [need("env"), *self._environment, *argv]

    def arm(self, call: str = "", at: int = 0, error: int = 0) -> None:
        """Note calls from now on.

        @param call: how those begin that are counted.
        @param at: which of them fails, from 1; 0: none.
        @param error: C{errno} of its failure, 0: the program is ended when it has been made.
        """
        _FIELDS.pack_into(self._shared, 0, 0, at, error, 0, 0, 0, call.encode())
        self._shared[0:4] = struct.pack("i", 1)

    def disarm(self) -> bool:
        """All is well from now on.  @return: there has been a failure."""
        self._shared[0:4] = bytes(4)
        return bool(_FIELDS.unpack_from(self._shared)[4])

    def calls(self) -> list[str]:
        """What has been called since L{arm}: C{write spool.db-wal}."""
        used = min(int(_FIELDS.unpack_from(self._shared)[5]), _SIZE - _FIELDS.size)
        return self._shared[_FIELDS.size : _FIELDS.size + used].decode("utf-8", "replace").splitlines()
