"""What a filter costs the mail system: CPU for each message with and without one.

    python bench/filters.py [--messages 2000] [--runs 3] [--reuse] [--filters multiplexer]

Sends a message of 15 header fields and 8 KiB by 10 sessions through umbcmail to a sink,
without filter, through the multiplexer in a process of its own, with a filter that answers at
the end only and edits nothing, and with one that answers each command (as all on libmilter that
ask for no more), as it is and with pipelining.
The runs take turns.  Only the CPU of the process with the ports counts.  Needs Debian's postfix.
"""

from __future__ import annotations

import argparse
import os
import socketserver
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.milters import ALL_NR, ScriptedFilter  # noqa: E402
from tests.system.mailsystem import Umbcmail, environment, route  # noqa: E402
from tests.system.milterdaemons import answersAt  # noqa: E402
from tests.system.programs import HOST, ROOT, Program, need, until  # noqa: E402
from tests.system.servers import SmtpSink  # noqa: E402
from umbcmail.filter.negotiation import Negotiation  # noqa: E402

MULTIPLEXER = -1
"""In place of the steps of a filter: it is our own."""
KINDS = {
    "none": None,
    "multiplexer": (MULTIPLEXER, False),
    "answers at the end": (ALL_NR, False),
    "answers each command": (0, False),
    "the same, pipelined": (0, True),
}
MODULES = """
[host]
name = "filter.y.test"
[spool]
url = "memory:"
[state]
url = "memory:"
[log]
file = "{folder}/mail.log"
[filter.mx]
listen = "unix:{folder}/milter"
modules = ["pattern"]
"""
CONFIG = '[agent.delivery]\nmode = "{mode}"\nload = 0\n'


class _Connection(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        """Serve it until it ends."""
        filter = ScriptedFilter(Negotiation(6, 0, int(sys.argv[3])))
        while not filter.isClosed and (octets := self.request.recv(65536)):
            self.request.sendall(filter.feed(octets))
            filter.heard.clear()


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 100


def message() -> bytes:
    """What is sent."""
    fields = "".join(f"X-Field-{n}: some words of a usual length, {n} of them\r\n" for n in range(11))
    body = "".join(f"{n:04d} some text in a line of the usual length, and then the next one\r\n" for n in range(115))
    return f"From: a@z.test\r\nTo: x@y.test\r\nSubject: s\r\nMessage-ID: <1@z.test>\r\n{fields}\r\n{body}".encode()


def spent(pid: int) -> float:
    """Seconds of CPU that a process has had."""
    numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(numbers[11]) + int(numbers[12])) / os.sysconf("SC_CLK_TCK")


def run(folder: Path, kind: tuple[int, bool] | None, given: argparse.Namespace) -> float:
    """@return: microseconds of CPU for each message."""
    folder.mkdir()
    (folder / "message").write_bytes(message().replace(b"\r\n", b"\n"))
    sink, socket, filter = SmtpSink(folder / "sink", True), folder / "milter", None
    mode = CONFIG.format(mode=given.mode)
    config = mode + route("*", sink.port)
    if kind is not None:
        steps, isPipelined = kind
        config = mode + f'filters = ["one"]\n[milter.one]\nsocket = "unix:{socket}"\n'
        config += f"pipelining = {str(isPipelined).lower()}\n" + route("*", sink.port)
        argv = [sys.executable, __file__, "--serve", str(steps), str(socket)]
        if steps == MULTIPLEXER:
            argv = Umbcmail(folder, base=MODULES).argv("--role", "filter")
        filter = Program(argv, folder / "filter.log", cwd=ROOT, env=environment())
        until(lambda: answersAt(socket), "the filter is up")
    mail = Umbcmail(folder / "mail", config).start()

    def send(count: int) -> None:
        argv = [need("smtp-source"), "-s", "10", "-m", str(count), "-f", "a@z.test", "-t", "x@y.test"]
        argv += ["-F", str(folder / "message"), *(["-d"] if given.reuse else []), f"{HOST}:{mail.port}"]
        subprocess.run(argv, check=True, timeout=600)

    try:
        send(200)
        mail.emptied()
        before = spent(mail.running.process.pid)
        send(given.messages)
        mail.emptied(120)
        return (spent(mail.running.process.pid) - before) / given.messages * 1e6
    finally:
        mail.stop()
        sink.stop()
        if filter is not None:
            filter.stop()


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--reuse", action="store_true", help="several messages on a connection")
    parser.add_argument("--mode", choices=["interactive", "background"], default="interactive", help="of the agent")
    parser.add_argument("--filters", default=";".join(KINDS), help="some of these, with ; between them")
    given = parser.parse_args()
    kinds = {name: KINDS[name] for name in dict.fromkeys(["none", *given.filters.split(";")])}
    found: dict[str, list[float]] = {name: [] for name in kinds}
    with tempfile.TemporaryDirectory(prefix="umbcmail-bench-") as folder:
        for number in range(given.runs):
            for at, (name, kind) in enumerate(kinds.items()):
                found[name].append(run(Path(folder) / f"{number}-{at}", kind, given))
    base = statistics.median(found["none"])
    print(f"{'filter':<22}{'us a message':>14}{'ratio':>8}   ({given.runs} runs of {given.messages})")
    for name, numbers in found.items():
        middle = statistics.median(numbers)
        print(f"{name:<22}{middle:>14.0f}{middle / base:>8.2f}   {' '.join(f'{n:.0f}' for n in numbers)}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        sys.argv[3:] = [sys.argv[2], sys.argv[3]]
        _Server(sys.argv[4], _Connection).serve_forever()
    main()
