"""The program that makes the children; run by the server with C{python -I}, as root.

It has nothing of the server in its memory: no message, no Twisted, no threads.  So a
child costs little, and has nothing of others' mail to be found in it when it has become
its user.  Standard input is the server's socket; a packet there is a user in JSON, and
the socket of the child to be.  It ends when the server does.

Tokens (AFS) are had by a child of it too, so that they are had where all children are: it was
started in a PAG of its own.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket

from umbcmail.lda.child import authorize, serve
from umbcmail.lda.frames import receiveFiles

PACKET = 1 << 20


def main() -> None:
    """Make children until nobody asks for any."""
    control = socket.socket(fileno=os.dup(0))
    os.set_inheritable(control.fileno(), False)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # none is waited for
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # they end with the server, when they have done what they are at
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    gc.freeze()
    while True:
        packet, fds = receiveFiles(control, PACKET)
        if not packet:
            return
        if fds:
            _make(control, json.loads(packet), fds[0])


def _make(control: socket.socket, person: dict[str, object], link: int) -> None:
    """One child.  When it can't be made the server sees its socket closed."""
    try:
        child = os.fork()
    except OSError as why:
        os.write(2, f"no process: {why.strerror}\n".encode())
        child = -1
    if child:
        os.close(link)
        return
    status = 1
    try:
        control.close()
        do = authorize if "argv" in person else serve
        do(socket.socket(fileno=link), person)
        status = 0
    finally:
        os._exit(status)
