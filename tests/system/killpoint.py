"""twistd, ended as by the loss of power at a point inside of the program.

C{python killpoint.py MODULE:CLASS.METHOD N …} runs twistd with the remaining
arguments.  The N-th call of the method ends the process in place of the method.
The product knows nothing of it.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from itertools import count
from typing import Any

from twisted.scripts.twistd import run


def arm(point: str, which: int) -> None:
    """Put the end in place of the method."""
    module, _, name = point.partition(":")
    owner, _, method = name.partition(".")
    place: Any = getattr(importlib.import_module(module), owner)
    original = getattr(place, method)
    calls = count(1)

    def deadly(*args: Any, **named: Any) -> Any:
        if next(calls) == which:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **named)

    setattr(place, method, deadly)


if __name__ == "__main__":
    arm(sys.argv[1], int(sys.argv[2]))
    sys.argv[1:3] = []
    run()
