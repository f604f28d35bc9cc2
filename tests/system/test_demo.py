"""C{script/demo} as a newcomer runs it, but for the set-up."""

from __future__ import annotations

import os
import re
import signal
import smtplib
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

from programs import ROOT, answers, until

FOLDER = ROOT / "script" / "demonstration"

sys.path.insert(0, str(FOLDER))
from demonstration import Demonstration  # noqa: E402
from nexthop import Arrival  # noqa: E402
from samples import Sample, isIntact, samples  # noqa: E402

sys.path.remove(str(FOLDER))


class Run:
    """The demonstration as a process.

    @ivar folder: where it may put files.
    """

    def __init__(self, folder: Path, *words: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, str(FOLDER), *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=dict(os.environ, TMPDIR=str(folder)),
            start_new_session=True,
        )
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.append(line)

    @property
    def output(self) -> str:
        """What it has said so far."""
        return "".join(self._lines)

    def says(self, text: str) -> re.Match[str]:
        """Wait until it says something."""
        found: re.Match[str] = until(lambda: re.search(text, self.output), f"{text!r} in:\n{self.output}", 30)
        return found

    def end(self) -> int:
        """Wait until it ends.  @return: its status."""
        status = self.process.wait(60)
        self._reader.join(10)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status

    def processes(self) -> list[int]:
        """Processes that have to do with its folder, itself left out."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                isOurs = str(self.folder).encode() in path.read_bytes()
            except OSError:
                continue
            if isOurs:
                found.append(int(path.parent.name))
        return found


class DemoTests(unittest.TestCase):
    """The whole program."""

    def setUp(self) -> None:
        """A folder of its own."""
        folder = tempfile.TemporaryDirectory(prefix="umbcmail-test-demo-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def start(self, *words: str) -> Run:
        """Start it; whatever happens, it does not outlive the test."""
        run = Run(self.folder, *words)
        self.addCleanup(self._end, run)
        return run

    def _end(self, run: Run) -> None:
        if run.process.poll() is None:
            run.process.terminate()
            run.end()

    def assertNothingLeft(self, run: Run) -> None:
        """No file, no process."""
        self.assertEqual(list(self.folder.iterdir()), [])
        self.assertEqual(run.processes(), [])

    def test_all(self) -> None:
        """Everything arrives, the tables say where, and nothing is left behind."""
        run = self.start()
        self.assertEqual(run.end(), 0, run.output)
        for sample in samples():
            last = "-" if sample.reply[:1] == b"5" or sample.shape == "next hop is down" else "yes"
            self.assertRegex(run.output, rf"(?m)^{re.escape(sample.shape)}  .*(250|550) .*  {last}$")
        for text in (
            r"all recipients refused +\S+ B +550 5\.1\.1 .* refused +-\n",
            r"200 recipients .*\n +\S+ \(\d+\)\n +\S+ \(\d+\)\n",
            r"next hop is down .* in the queue +-\n",
            r"<nobody@away\.test>\n +Why: there is no such mailbox",
            r"patient@down\.test +next attempt in \d",
            r"1 entry to be tried now\narrived after \S+ s, intact: yes\nthe queue: 0 entries\n",
            r"Z connected id=(\w+) (.|\n)* bounced id=\1-1 bounce=",
            r"\nEverything arrived as it should\. ",
        ):
            self.assertRegex(run.output, text)
        self.assertTrue(run.output.isascii())
        self.assertNotRegex(run.output, "[\r\x1b]", "plain where it is no terminal")
        self.assertLess(max(map(len, run.output.splitlines())), 100)
        self.assertNothingLeft(run)

    def test_keep(self) -> None:
        """It goes on and takes mail until Ctrl-C, which ends it well."""
        run = self.start("--keep")
        port = int(run.says(r"delivery agent +127\.0\.0\.1:(\d+) ")[1])
        relay = int(run.says(r"relay agent +127\.0\.0\.1:(\d+) ")[1])
        command = run.says(r"(?m)^(\S.*) queue list --config (\S+)$")
        for number in (port, relay):
            with smtplib.SMTP("127.0.0.1", number, timeout=20) as client:
                client.sendmail("me@elsewhere.test", ["Cid@campus.test"], f"Subject: by {number}\r\n\r\nhello\r\n")
        run.says(r"(arrived: Maildir: from <me@elsewhere\.test> to Cid@campus\.test, \d+ B\n.*){2}")
        with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
            client.sendmail("me@elsewhere.test", ["dora@lab.test"], "Subject: to another host\r\n\r\nhello\r\n")
        run.says(r"arrived: lab\.test: from <me@elsewhere\.test> to dora@lab\.test, \d+ B\n")
        argv = [*command[1].split(), "queue", "list", "--config", command[2]]
        listed = subprocess.run(
            argv, capture_output=True, text=True, timeout=30, env=dict(os.environ, PYTHONPATH=str(ROOT))
        )
        self.assertIn("patient@down.test", listed.stdout)
        run.process.send_signal(signal.SIGINT)
        self.assertEqual(run.end(), 0, run.output)
        self.assertFalse(answers(port))
        self.assertNothingLeft(run)

    def test_interrupted(self) -> None:
        """Ctrl-C or a request to end in the middle of it leaves nothing behind."""
        for number in (signal.SIGINT, signal.SIGTERM):
            run = self.start()
            run.says("umbcmail is up")
            run.process.send_signal(number)
            self.assertEqual(run.end(), 130, run.output)
            self.assertNothingLeft(run)

    def test_failure(self) -> None:
        """When the system dies the demonstration says so, fails, and leaves nothing behind."""
        run = self.start("--keep")
        run.says("Ctrl-C ends it")
        [system] = run.processes()
        os.kill(system, signal.SIGKILL)
        self.assertEqual(run.end(), 1, run.output)
        self.assertIn("NOT as it should be: umbcmail has ended by itself", run.output)
        self.assertNothingLeft(run)


class VerdictTests(unittest.TestCase):
    """What counts as arrived."""

    TOP = b"Received: from a ([192.0.2.1])\r\n\tby b with ESMTP;\r\n\tMon, 2 Nov 2026 10:00:00 +0000\r\n"

    def setUp(self) -> None:
        """Nothing has been started."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.demo = Demonstration(Path(folder.name))
        self.addCleanup(self.demo.stop)
        self.samples = {sample.shape: sample for sample in samples()}

    def test_intact(self) -> None:
        """Only trace fields may be put on top, and nothing may be changed."""
        sent = b"Subject: a\r\n\r\nb\r\n"
        self.assertTrue(isIntact(sent, self.TOP + sent))
        self.assertTrue(isIntact(sent, b"Return-Path: <>\r\nDelivered-To: a@b\r\n" + self.TOP + sent))
        for arrived in (
            b"",
            sent[1:],
            self.TOP + sent[:-2],
            self.TOP + sent.replace(b"b", b"B"),
            self.TOP + sent + b"\r\n",
            self.TOP + b"X-Spam: no\r\n" + sent,
            self.TOP + b"\r\n" + sent,
            self.TOP + sent + sent,
        ):
            self.assertFalse(isIntact(sent, arrived), arrived)

    def arrive(self, sample: Sample, *recipients: str, change: bytes = b"") -> None:
        """Put a message into one of the hosts."""
        content = self.TOP + sample.content + change
        self.demo.away.arrivals.append(Arrival(self.demo.away.name, sample.sender, list(recipients), content))

    def test_problems(self) -> None:
        """A copy that is lost, doubled, changed, or in a wrong place is a problem."""
        plain, local = self.samples["plain text"], self.samples["to a local user"]
        self.demo.check(plain, plain.expected())
        self.assertIn("missing", self.demo.problems.pop())
        self.arrive(plain, *plain.recipients)
        self.assertEqual(self.demo.check(plain, plain.expected()), "yes")
        self.assertEqual(self.demo.problems, [])
        self.arrive(plain, *plain.recipients, change=b".\r\n")
        self.assertEqual(self.demo.check(plain, plain.expected()), "NO")
        self.assertEqual(len(self.demo.problems), 2, self.demo.problems)
        self.arrive(local, *local.recipients)
        self.demo.check(local, local.expected())
        self.assertEqual(len(self.demo.problems), 3, self.demo.problems)
