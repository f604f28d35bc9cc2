"""A process of one user: does what the server orders, and says what came of it.

Made by `forker`.  It drops what root may do before it reads the first order.  Whatever
goes wrong is an answer; when the process itself is lost the server knows by its socket,
and the mail waits.  Nothing but the standard library here.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from typing import Any

from umbcmail.lda import command, dotforward, files, frames, mailbox, privileges
from umbcmail.lda.programs import Forbidden, argvOf

ALARM = 30
"""Seconds beyond the time of an order after which a child that hangs is ended."""


def serve(link: socket.socket, person: dict[str, Any]) -> None:
    """Become the user, and carry out orders until there are no more.

    @param person: C{uid}, C{gid}, C{groups}, C{lowest}, C{home}, C{user}, C{shell},
        C{limits}, and C{time}: seconds that an order may take.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (1, 2):
        os.dup2(null, fd)
    try:
        privileges.limit(person["limits"])
        privileges.become(person["uid"], person["gid"], person["groups"], person["lowest"])
    except (privileges.Refused, OSError, ValueError) as why:
        frames.answer(link, {"result": "refused", "why": str(why)})
        return
    frames.answer(link, {"result": "ready", "pid": os.getpid()})
    patience = int(person["time"]) + ALARM
    spare = int(person["limits"].get("cpu", 0)) / 2
    while True:
        got = frames.receive(link)
        if got is None:
            return
        signal.alarm(patience)
        order, data, file = got
        try:
            answer = _done(person, order, data, file)
        except OSError as why:
            answer = {"result": "trouble", "why": str(why)}
        except Exception as why:
            answer = {"result": "bug", "why": f"{type(why).__name__}: {why}"[:500]}
        finally:
            if file >= 0:
                os.close(file)
        # The limit would end it in the middle of an order.
        answer["last"] = bool(spare and time.process_time() > spare)
        frames.answer(link, answer)
        signal.alarm(0)
        if answer["last"]:
            return


def authorize(link: socket.socket, order: dict[str, Any]) -> None:
    """Run what makes tokens, as who we are, where all processes of users get them from.

    @param order: C{argv}, C{environment}, and C{time}: seconds that it may take.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.alarm(int(order["time"]) + ALARM)
    frames.answer(link, command.run(order["argv"], order["environment"], b"", -1, order["time"]))


def _done(person: dict[str, Any], order: dict[str, Any], data: bytes, file: int) -> dict[str, Any]:
    """Carry out one order.  @return: C{result}, and C{why} for the log."""
    if order["way"] == "forward":
        return dotforward.read(person, order)
    if len(data) + (os.fstat(file).st_size if file >= 0 else 0) != order["octets"]:
        return {"result": "bug", "why": "this is not all of the message"}
    if order["way"] == "maildir":
        return mailbox.deliver(person, order, data, file)
    if order["way"] == "file":
        return files.deliver(person, order, data, file)
    try:
        os.chdir(person["home"])
    except OSError as why:
        return {"result": "trouble", "why": f"home: {why.strerror}"}
    try:
        argv = order["argv"] if order["way"] == "command" else argvOf(order["program"], order["folder"])
    except Forbidden as why:
        return {"result": "forbidden", "why": str(why)}
    return command.run(argv, _environment(person), data, file, person["time"])


def _environment(person: dict[str, Any]) -> dict[str, str]:
    """All that a command finds: nothing that a stranger has chosen."""
    return {
        "PATH": command.PATH,
        "HOME": person["home"],
        "USER": person["user"],
        "LOGNAME": person["user"],
        "SHELL": person["shell"] or "/bin/sh",
        "LANG": "C.UTF-8",
    }
