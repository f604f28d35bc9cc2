"""Who has ordered what: a line in the mail log for each change by an operator.

It goes where the program writes its own; where that is the standard output of the
program, to syslog, facility mail, or the standard error where there is none.
"""

from __future__ import annotations

import os
import pwd
import sys
import syslog
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from umbcmail.config import Config
from umbcmail.maillog import LogFile, MailLog

SOCKET = "/dev/log"
"""Where syslog listens, if it does."""


@dataclass(frozen=True, slots=True)
class Operator:
    """Who gives the command.

    @ivar user: name, C{""} when the uid has none.
    @ivar uid: the real one.
    @ivar sudo: who has become this user by sudo, C{""} for nobody.
    """

    user: str
    uid: int
    sudo: str = ""


def whoAsks() -> Operator:
    """Whose process this is.  To be asked before root becomes another user."""
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = ""
    return Operator(name, uid, os.environ.get("SUDO_USER", ""))


def openLog(config: Config, reactor: Any) -> MailLog:
    """The mail log of a configuration."""
    settings = config.section("log")
    return MailLog(_writer(settings["file"]), reactor, settings["format"] == "json")


def _writer(path: str) -> Callable[[bytes], None]:
    file = LogFile(path)

    def write(data: bytes) -> None:
        # What root makes the program could not write.
        isThere = path != "-" and (os.geteuid() != 0 or os.path.exists(path))
        (file.write if isThere else _toSystem)(data)

    return write


def _toSystem(data: bytes) -> None:
    if not os.path.exists(SOCKET):
        sys.stderr.write(data.decode("utf-8", "replace"))
        return
    syslog.openlog("umbcmail", 0, syslog.LOG_MAIL)
    for line in data.decode("utf-8", "replace").splitlines():
        syslog.syslog(syslog.LOG_INFO, line)


class Audit:
    """Writes the lines of one command.

    @param log: makes the log when there is something to be written.
    """

    def __init__(self, log: Callable[[], MailLog], who: Operator) -> None:
        self._log = log
        self._who = who

    def wrote(self, what: str, **values: Any) -> None:
        """Something has been changed.

        @param what: the command, C{"queue remove"}.
        @param values: about what, and how many.
        """
        self._log().ordered(what, self._who.user, self._who.uid, self._who.sudo, **values)
