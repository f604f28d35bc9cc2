"""The demonstration: starts the system, sends samples, shows where each one went.

C{script/demo} calls it.  Ends with 0 when everything arrived as it should, 1 when
not, 130 after Ctrl-C.  Whatever happens, the processes that it started are ended
and its folder is removed.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from demonstration import Demonstration, waitFor
from report import say, sizeText, table, title, wrapped
from samples import ANN, DOWN, INTERNAL, NOBODY, REMOTE, Sample, samples
from system import Failed, toolCommand

INTERRUPTED = 130


def showBounce(demo: Demonstration) -> None:
    """What the sender of the message with a wrong address was told."""
    title("The bounce, in Ann's Maildir")
    bounces = [a.content.decode("utf-8", "replace") for a in demo.bounces()]
    if len(bounces) != 1 or f"Final-Recipient: rfc822; {NOBODY[0]}" not in bounces[0]:
        demo.problems.append(f"there must be one bounce about {NOBODY[0]}, there are {len(bounces)}")
    for bounce in bounces:
        body = bounce.partition("\n\n")[2].partition("\n\n")[2]
        say(body.partition("\n--")[0].strip())


def showQueue(demo: Demonstration) -> None:
    """What waits for the host that is down."""
    title("The queue: umbcmail queue list")
    queue = demo.system.tool("queue", "list")
    say(queue.rstrip())
    if f"patient@{DOWN}" not in queue or not queue.splitlines()[-1].startswith("1 entry"):
        demo.problems.append("the queue must have one entry, for the host that is down")


def comeUp(demo: Demonstration, sample: Sample) -> None:
    """The host comes up, and gets what has waited for it."""
    title(f"The host of {DOWN} comes up: umbcmail queue retry --all")
    demo.patient.start()
    began = time.monotonic()
    say(demo.system.tool("queue", "retry", "--all").rstrip())
    waitFor(lambda: demo.patient.arrivals and demo.system.tool("queue", "list") == "0 entries\n")
    intact = demo.check(sample, sample.expected(isDown=False))
    say(f"arrived after {time.monotonic() - began:.1f} s, intact: {intact}")
    queue = demo.system.tool("queue", "list")
    say(f"the queue: {queue.rstrip()}")
    if queue != "0 entries\n":
        demo.problems.append("the queue must be empty in the end")


def showLog(demo: Demonstration, sample: Sample) -> None:
    """The life of one message, and of its bounce."""
    title(f"The log of one message and its bounce: {sample.shape}")
    bounced = re.compile(r" bounced id=(\w+)-1 bounce=(\S+) ")
    found = waitFor(lambda: bounced.search("\n".join(demo.system.lines(" bounced "))))
    if not found:
        demo.problems.append("the log says nothing about the message that bounced")
        return
    waitFor(lambda: any(" removed " in line for line in demo.system.lines(f" id={found[2]}")))
    wrapped(demo.system.lines(f" id={found[1]}"))
    wrapped(demo.system.lines(f" id={found[2]}"))


def keep(demo: Demonstration) -> None:
    """Go on until Ctrl-C, and tell what arrives."""
    system, port, tool = demo.system, demo.system.ports["delivery"], " ".join(toolCommand())
    title("It goes on running; Ctrl-C ends it and removes everything")
    say(f"""\
delivery agent  127.0.0.1:{port}  (tries to deliver before it answers)
relay agent     127.0.0.1:{system.ports["relay"]}  (spool first, answers at once)
local domain    {ANN} and others, each with a Maildir
other domains   x@{INTERNAL}, x@{DOWN} (down), and all else as x@{REMOTE}
configuration   {system.config}
log             {system.log}
spool           {system.folder}/spool
Maildirs        {system.maildirs}

swaks --server 127.0.0.1:{port} --from me@{REMOTE} --to {ANN}
nc -C 127.0.0.1 {port}
python3 -c 'import smtplib as s; s.SMTP("127.0.0.1", {port}).sendmail("{ANN}", "x@{DOWN}", "hi")'
{tool} queue list --config {system.config}
tail -f {system.log}
""")
    shown = {id(arrival) for arrival in demo.arrivals}
    while system.isRunning:
        for arrival in demo.arrivals:
            if id(arrival) not in shown:
                shown.add(id(arrival))
                to = ", ".join(arrival.recipients[:3]) + (", .." if len(arrival.recipients) > 3 else "")
                say(f"arrived: {arrival.place}: from <{arrival.sender}> to {to}, {sizeText(len(arrival.content))}")
        time.sleep(0.3)
    raise Failed("umbcmail has ended by itself:\n" + (system.folder / "console.log").read_text()[-3000:])


def run(demo: Demonstration, isKept: bool) -> None:
    """The whole story."""
    title("Start")
    demo.start()
    ports = demo.system.ports
    say(f"umbcmail is up: delivery agent on port {ports['delivery']}, relay agent on port {ports['relay']}")
    say(f"all files are in {demo.system.folder}")
    wanted = samples()
    title("Sending")
    demo.send(wanted)
    title("Where each one went")
    head = ("message", "size", "reply to the client", "arrived at", "intact")
    table(head, [row for sample in wanted for row in demo.rows(sample)])
    showBounce(demo)
    showQueue(demo)
    if not isKept:
        comeUp(demo, wanted[-1])
    showLog(demo, next(sample for sample in wanted if NOBODY[0] in sample.recipients))
    if isKept and not demo.problems:
        # Ctrl-C is how it is meant to end.
        with contextlib.suppress(KeyboardInterrupt):
            keep(demo)


def main() -> int:
    """@return: exit status."""
    parser = argparse.ArgumentParser("script/demo", description="Shows the mail system at work on this machine.")
    parser.add_argument("--keep", action="store_true", help="leave it running until Ctrl-C")
    given = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="umbcmail-demo-"))
        demo = Demonstration(Path(folder))
        stack.callback(demo.stop)
        try:
            run(demo, given.keep)
        except (Failed, OSError, subprocess.SubprocessError) as why:
            demo.problems.append(str(why))
        except KeyboardInterrupt:
            say("\nstopping")
            return INTERRUPTED
        finally:
            # Nothing may come between us and the clean-up.
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
    title("Result")
    for problem in demo.problems:
        say(f"NOT as it should be: {problem}")
    if not demo.problems:
        say(f"Everything arrived as it should. {time.monotonic() - began:.1f} s; all is stopped and removed.")
    return 1 if demo.problems else 0


if __name__ == "__main__":
    sys.exit(main())
