"""The command C{sendmail}, and C{mailq} and C{newaliases}, which are the same program: mail of the
programs of this host (cron, mail, mutt, git, PHP) comes in by it.

Hands the message to the running system by its UNIX socket, or leaves it in the drop folder where
that does not run or can't take it now.  Ends with a status of C{sysexits.h}: 0 when the message is
taken, 64 (EX_USAGE), 65 (EX_DATAERR), 66 (EX_NOINPUT), 67 (EX_NOUSER), 69 (EX_UNAVAILABLE), 75
(EX_TEMPFAIL).  Part of the composition.  Starts quickly: Twisted is imported for C{mailq} only.
"""

from __future__ import annotations

import os
import pwd
import re
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from umbcmail.address import AddressError
from umbcmail.submit.addresslist import address, addresses
from umbcmail.submit.arguments import UsageError, Wanted, parse
from umbcmail.submit.client import Answer, Away, Order, handOver
from umbcmail.submit.drop import leave
from umbcmail.submit.message import recipientsOf, taken, withFrom

CONFIG = "/etc/umbcmail/umbcmail.toml"
SOCKET = "/run/umbcmail/submit"
FOLDER = "/var/spool/umbcmail-drop"
LIMIT = 200 << 20
"""Octets of a message."""
OK, USAGE, DATA, NO_INPUT, NO_USER, UNAVAILABLE, TEMPORARY = 0, 64, 65, 66, 67, 69, 75
_NO_SUCH = (550, 551, 553)


class Failure(Exception):
    """It can't be sent.

    @ivar status: for the shell.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class Place:
    """Where mail goes, by the configuration; what can't be read or makes no sense is as if it were
    not there, for mail must go on.

    @ivar socket: of the running system.
    @ivar folder: where it is left.
    @ivar domain: what addresses have that are local parts alone.
    @ivar hostName: of this host.
    """

    socket: str = SOCKET
    folder: str = FOLDER
    domain: str = ""
    hostName: str = ""


def readPlace(file: str | None) -> Place:
    """@param file: the configuration, L{None} for the usual one."""
    from umbcmail import hostoptions
    from umbcmail.config import ConfigError, load
    from umbcmail.config.host import HOST
    from umbcmail.options import PATH, TEXT, WORD, Option, Section, listOf

    port = Section("agent.*.port.*", "", (Option("endpoint", TEXT, "", ""),))
    drop = Section("drop", "", (Option("folder", PATH, FOLDER, ""),))
    domains = Section("domains", "", (Option("local", listOf(WORD), [], ""),))
    path = file or CONFIG
    try:
        sets = hostoptions.saved() if file is None else []
    except ValueError:
        sets = []
    try:
        config = load((HOST, port, drop, domains), path, sets, isPart=True)
    except ConfigError as wrong:
        if wrong.config is None:
            return Place(domain=_hostName(), hostName=_hostName())
        config = wrong.config
    ports = [config.section(f"agent.{name.replace('.', '.port.')}") for name in config.names("agent.*.port.*")]
    sockets = [socketOf(each["endpoint"]) for each in ports if each["endpoint"].startswith("unix:")]
    name = config.section("host")["name"] or _hostName()
    local = [each for each in config.section("domains")["local"] if "*" not in each]
    return Place(sockets[0] if sockets else SOCKET, config.section("drop")["folder"], (*local, name)[0], name)


def socketOf(endpoint: str) -> str:
    """The path of a Twisted endpoint C{unix:…}."""
    parts = [part.replace("\\", "") for part in re.split(r"(?<!\\):", endpoint)[1:]]
    named = [part[8:] for part in parts if part.startswith("address=")]
    return (named or parts)[0]


def _hostName() -> str:
    """The name of this host, without asking the network."""
    return socket.gethostname() or "localhost"


class Sender:
    """Sends one message.

    @param say: told lines for the user, C{isError} for those about what went wrong.
    """

    def __init__(self, wanted: Wanted, place: Place) -> None:
        self._wanted = wanted
        self._place = place

    def send(self, data: bytes) -> int:
        """Send it.

        @param data: what the program has written.
        @return: exit status.
        @raise Failure: it can't be sent.
        """
        wanted = self._wanted
        if len(data) > LIMIT:
            raise Failure(DATA, f"the message has more than {LIMIT >> 20} MiB")
        content = taken(data, wanted.dotEnds)
        recipients = self._recipients(content)
        sender = self._sender()
        content = withFrom(content, sender or f"MAILER-DAEMON@{self._place.domain}", self._fullName())
        is8bit = wanted.body == "8BITMIME" or not content.isascii()
        order = Order(sender, recipients, len(content), is8bit, wanted.notify, wanted.ret, wanted.envid)
        try:
            return self._submit(order, content)
        except Away as why:
            self._leave(order, content, str(why))
            return OK

    def _recipients(self, content: bytes) -> list[str]:
        try:
            given = ", ".join(self._wanted.recipients)
            found = addresses(given, self._place.domain)
        except AddressError as why:
            raise Failure(NO_USER, f"{given}... {why}") from None
        if self._wanted.fromHeader:
            try:
                found += recipientsOf(content, self._place.domain)
            except AddressError as why:
                raise Failure(DATA, str(why)) from None
        if not found:
            isHeader = self._wanted.fromHeader
            raise Failure(USAGE, "no recipients in the header" if isHeader else "recipients must be given")
        return list(dict.fromkeys(found))

    def _sender(self) -> str:
        given = self._wanted.sender
        if given is None:
            try:
                user = pwd.getpwuid(os.getuid()).pw_name
            except KeyError:
                user = f"uid{os.getuid()}"
            return f"{user}@{self._place.domain}"
        if given in ("", "<>"):
            return ""
        try:
            return address(given, self._place.domain)
        except AddressError as why:
            raise Failure(USAGE, f"-f {given}: {why}") from None

    def _fullName(self) -> str:
        if self._wanted.fullName is not None:
            return self._wanted.fullName
        if self._wanted.sender is not None:
            return ""
        try:
            user = pwd.getpwuid(os.getuid())
        except KeyError:
            return ""
        name = user.pw_gecos.partition(",")[0].replace("&", user.pw_name.capitalize())
        return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")

    def _submit(self, order: Order, content: bytes) -> int:
        """@raise Away: to be left in the folder."""
        show = print if self._wanted.isVerbose else lambda line: None
        result = handOver(self._place.socket, self._place.hostName, order, [content], show)
        if result.answer is not None and not result.isTaken:
            self._refused(result.answer)
        later = [address for address, answer in result.refused if answer.code < 500]
        if later and len(later) == len(order.recipients):
            raise Away(str(result.refused[0][1]))
        if later:
            self._leave(replace(order, recipients=later), content, "")
        failures = [(address, answer) for address, answer in result.refused if answer.code >= 500]
        if not failures:
            return OK
        text = "\n".join(f"{address}... {answer}" for address, answer in failures)
        status = NO_USER if all(answer.code in _NO_SUCH for _, answer in failures) else UNAVAILABLE
        raise Failure(status, text)

    def _refused(self, answer: Answer) -> None:
        """The message as a whole.  Where there is no room it is not left in the folder either."""
        if answer.code == 452:
            raise Failure(TEMPORARY, str(answer))
        if answer.code < 500:
            raise Away(str(answer))
        raise Failure(UNAVAILABLE, str(answer))

    def _leave(self, order: Order, content: bytes, why: str) -> None:
        try:
            leave(self._place.folder, order, content)
        except OSError as problem:
            text = f"umbcmail can't take it ({why}), and it can't be left in {self._place.folder}: {problem.strerror}"
            raise Failure(TEMPORARY, text) from None
        if self._wanted.isVerbose:
            print(f"left in {self._place.folder}: {why}")


def main(argv: Sequence[str] | None = None) -> int:
    """@param argv: with the name that the program was called by.  @return: exit status."""
    name, *words = sys.argv if argv is None else argv
    name = os.path.basename(name)
    try:
        return _done(name, words)
    except KeyboardInterrupt:
        return TEMPORARY
    except Exception as why:
        # Nothing of which a program might think that the mail is sent, or that it never can be.
        return _told(name, f"can't do it: {type(why).__name__}: {why}", TEMPORARY)


def _done(name: str, words: Sequence[str]) -> int:
    """@param words: what stands behind the name.  @return: exit status."""
    try:
        wanted = parse(words, name)
    except UsageError as why:
        return _told(name, str(why), USAGE)
    if wanted.mode == "smtp":
        return _talk(readPlace(wanted.config))
    if wanted.mode != "send":
        return _manage(wanted, name)
    if sys.stdin is None:
        return _told(name, "the standard input is closed, so there is no message", NO_INPUT)
    try:
        return Sender(wanted, readPlace(wanted.config)).send(sys.stdin.buffer.read(LIMIT + 1))
    except Failure as why:
        status = OK if wanted.isForgiving else why.status
        return status if wanted.isQuiet else _told(name, str(why), status)


def _told(name: str, text: str, status: int) -> int:
    for line in text.splitlines():
        print(f"{name}: {line}", file=sys.stderr)
    return status


def _manage(wanted: Wanted, name: str) -> int:
    """What is asked of the queue, or of the aliases."""
    from umbcmail.cli import main as command

    config = ["--config", wanted.config] if wanted.config else []
    if wanted.mode == "queue":
        return command(["queue", "list", *config])
    if wanted.mode == "run":
        return command(["queue", "retry", "--all", *config])
    from umbcmail.cli.aliasparser import FILE

    # They are read when they are needed, so nothing has to be made of them.
    return command(["aliases", "check"]) if os.path.exists(FILE) else OK


def _talk(place: Place) -> int:
    """SMTP by the standard input and output: the words of the program go to the system, and
    its answers come back."""
    import select

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as system:
        try:
            system.connect(place.socket)
        except OSError:
            os.write(1, b"421 4.3.2 The mail system is not running\r\n")
            return TEMPORARY
        inputs: list[int] = [0, system.fileno()]
        while True:
            ready, _, _ = select.select(inputs, (), ())
            if 0 in ready:
                data = os.read(0, 1 << 16)
                try:
                    system.sendall(data)
                    if not data:
                        system.shutdown(socket.SHUT_WR)
                except OSError:
                    data = b""
                if not data:
                    inputs.remove(0)
            if system.fileno() in ready:
                data = system.recv(1 << 16)
                if not data:
                    return OK
                sys.stdout.buffer.write(data)
                sys.stdout.buffer.flush()
