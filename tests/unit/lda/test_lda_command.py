"""L{umbcmail.lda.placeholders}, C{statuses}, C{programs} and C{command}: what is run, and what
its status means."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.lda import command, placeholders, programs, statuses
from umbcmail.reply import DELIVERED, UNKNOWN_USER

VALUES = dict.fromkeys(placeholders.NAMES, "v")


class PlaceholderTests(SynchronousTestCase):
    """Values of strangers in arguments."""

    def test_filled(self) -> None:
        """Each value stays inside of its argument, whatever it is."""
        words = ["procmail", "-a", "%detail", "-d", "%user", "x%%y", "--for=%recipient"]
        values = {**VALUES, "user": "a b;c", "detail": "", "recipient": "%user|$(id) -x"}
        self.assertEqual(
            ["procmail", "-a", "", "-d", "a b;c", "x%y", "--for=%user|$(id) -x"], placeholders.fill(words, values)
        )

    def test_dash(self) -> None:
        """Nobody's value becomes an option; a dash further on does no harm."""
        for word in ("%user", "%user%detail", "%sender"):
            self.assertRaises(placeholders.BadValue, placeholders.fill, [word], dict.fromkeys(VALUES, "-d"))
        self.assertEqual(["-f-x"], placeholders.fill(["-f%sender"], {**VALUES, "sender": "-x"}))
        self.assertEqual(["v-x"], placeholders.fill(["%user%detail"], {**VALUES, "detail": "-x"}))
        self.assertRaises(
            placeholders.BadValue, placeholders.fill, ["%user%detail"], {**VALUES, "user": "", "detail": "-"}
        )

    def test_unknown(self) -> None:
        """A placeholder that does not exist is an operator's mistake."""
        for text in ("%users", "50%", "%U", "%{user}"):
            self.assertRaises(ValueError, placeholders.check, text)
        placeholders.check("%user-%detail 100%%")

    @given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
    def test_oneArgument(self, text: str) -> None:
        """As many arguments as were configured, and the value is in there as it is."""
        filled = placeholders.fill(["a", "=%user"], {**VALUES, "user": text})
        self.assertEqual(["a", "=" + text], filled)


class StatusTests(SynchronousTestCase):
    """What an exit status means."""

    def test_default(self) -> None:
        """0 is delivered, 67 no such user, and what is not known for sure waits."""
        self.assertEqual(DELIVERED, statuses.meaning(0, {}))
        self.assertEqual(UNKNOWN_USER, statuses.meaning(67, {}))
        permanent = {status for status in range(256) if statuses.meaning(status, {}).isPermanent}
        self.assertEqual({65, 67, 68, 77, 100}, permanent)
        self.assertTrue(all(statuses.meaning(n, {}).isTransient for n in range(1, 256) if n not in permanent))

    def test_configured(self) -> None:
        """Each can be made to mean something else."""
        wanted = dict(statuses.parse(text) for text in ("69=fail", "77=delay", "1=ok", "67=fail", "0=delay"))
        self.assertEqual("554 5.3.0", str(statuses.meaning(69, wanted))[:9])
        self.assertEqual(UNKNOWN_USER, statuses.meaning(67, wanted))
        self.assertTrue(statuses.meaning(77, wanted).isTransient)
        self.assertTrue(statuses.meaning(0, wanted).isTransient)
        self.assertEqual(DELIVERED, statuses.meaning(1, wanted))

    def test_wrong(self) -> None:
        """Anything else is no setting."""
        for text in ("69", "69=maybe", "256=ok", "-1=ok", "x=ok", "69 = ok"):
            self.assertRaises(ValueError, statuses.parse, text)


class ProgramTests(SynchronousTestCase):
    """The programs that users may name."""

    def setUp(self) -> None:
        """A folder with one of them."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        Path(self.folder, "vacation").write_text("#!/bin/sh\n")
        Path(self.folder, "vacation").chmod(0o755)
        Path(self.folder, "data").write_text("")
        self.uid, self.mode = 0, 0o40755
        self.patch(programs, "os", mock.Mock(wraps=os, path=os.path, X_OK=os.X_OK, stat=self.status))

    def status(self, path: str) -> Any:
        """What the folder looks like."""
        return mock.Mock(st_mode=self.mode, st_uid=self.uid)

    def refused(self, line: str) -> str:
        """Why a line is not run."""
        return str(self.assertRaises(programs.Forbidden, programs.argvOf, line, self.folder))

    def test_runs(self) -> None:
        """A program of the folder, whatever folder the user has named."""
        path = f"{self.folder}/vacation"
        self.assertEqual([path, "-a", "me", "fred"], programs.argvOf(" /usr/bin/vacation -a me  fred ", self.folder))
        self.assertEqual([path], programs.argvOf("vacation", self.folder))
        self.assertEqual([path], programs.argvOf("../../bin/vacation", self.folder))

    def test_others(self) -> None:
        """No other program, and nothing that is none."""
        for line in ("sh", "/bin/sh -c id", "data", "", " ", "/", "..", ".", "-x", "vacation/..", "x" * 1001):
            self.refused(line)

    def test_metacharacters(self) -> None:
        """Nothing that a shell would look at."""
        for char in "`|;&$()<>{}[]*?!~#'\"\\^\n\r\t\0\x7f\xa0\u2028":
            self.assertIn("may stand", self.refused(f"vacation a{char}b"))

    def test_folder(self) -> None:
        """A folder that others than root can write to has no programs."""
        self.mode = 0o40775
        self.assertIn("only root", self.refused("vacation"))
        self.mode, self.uid = 0o40755, 1000
        self.assertIn("only root", self.refused("vacation"))


def _runs(pid: int) -> bool:
    """A process is there, and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False


class CommandTests(SynchronousTestCase):
    """Commands that are run, with a real kernel."""

    def run_(self, script: str, data: bytes = b"", limit: float = 20.0, file: int = -1) -> dict[str, Any]:
        """What becomes of a script."""
        return command.run(["/bin/sh", "-c", script], {"PATH": command.PATH}, data, file, limit)

    def test_statuses(self) -> None:
        """Each status as it is, with the last line that was printed."""
        for status in (0, 1, 64, 67, 75, 78, 100, 111, 127):
            said = self.run_(f"cat >/dev/null; echo first; echo 'the last' >&2; exit {status}", b"x" * 100_000)
            self.assertEqual({"result": "exit", "status": status, "why": "the last"}, said)

    def test_signals(self) -> None:
        """Killed."""
        for number in (9, 15):
            self.assertEqual({"result": "signal", "signal": number, "why": ""}, self.run_(f"kill -{number} $$"))

    def test_readsNothing(self) -> None:
        """Whether it reads is its own matter: what counts is its status."""
        data = b"x" * 5_000_000
        self.assertEqual(0, self.run_("exit 0", data)["status"])
        self.assertEqual(0, self.run_("exec <&-; sleep 0.2; exit 0", data)["status"])
        self.assertEqual(0, self.run_("head -c 10 >/dev/null; exit 0", data)["status"])

    def test_all(self) -> None:
        """It gets all of the message, from memory and from a file."""
        with tempfile.TemporaryFile() as file:
            file.write(b"y" * 3_000_000)
            file.flush()
            said = self.run_("cat | wc -c", b"x" * 1_000_000, file=file.fileno())
            self.assertEqual("4000000", said["why"])

    def test_prints(self) -> None:
        """However much it prints, the last line is told, without what does not belong into a log."""
        said = self.run_(
            "head -c 1048576 /dev/zero | tr '\\0' x >&2; printf '\\nred \\033[31m line\\n\\n' >&2; exit 69"
        )
        self.assertEqual({"result": "exit", "status": 69, "why": "red ?[31m line"}, said)
        self.assertEqual(command.LINE, len(self.run_("head -c 1048576 /dev/zero | tr '\\0' x >&2")["why"]))

    def test_leavesSomebody(self) -> None:
        """A child of its own that keeps the pipe open is not waited for."""
        begun = time.monotonic()
        self.assertEqual(0, self.run_("sleep 15 & exit 0")["status"])
        self.assertLess(time.monotonic() - begun, 10)

    def test_late(self) -> None:
        """It is ended, and those that it has started with it, when its time is over."""
        self.patch(command, "MERCY", 0.2)
        said = self.run_("trap '' TERM; echo tired; sleep 300 & sleep 300", limit=0.3)
        self.assertEqual({"result": "timeout", "why": "tired"}, said)

    def test_leftBehind(self) -> None:
        """One that heeds SIGTERM, and what it has started does not: that is ended too, at once."""
        with tempfile.NamedTemporaryFile("r") as file:
            script = f"sh -c 'trap \"\" TERM; echo $$ >{file.name}; echo up; while :; do sleep 1; done' & wait"
            clock = SimpleNamespace(monotonic=lambda: time.monotonic() + (60 if os.stat(file.name).st_size else 0))
            self.patch(command, "time", clock)  # its time is over when it is up
            self.assertEqual("timeout", self.run_(script, limit=60)["result"])
            pid = int(file.read())
            end = time.monotonic() + 20
            while _runs(pid) and time.monotonic() < end:
                time.sleep(0.01)
            self.assertFalse(_runs(pid))

    def test_missing(self) -> None:
        """No such program, or none that may be run."""
        for argv in (["/no/such"], ["no-such-program"], ["/etc/passwd"], ["/etc"]):
            self.assertEqual("missing", command.run(argv, {}, b"", -1, 5)["result"])

    def test_surroundings(self) -> None:
        """It finds the environment that it is given, no open files of ours, and signals as usual."""
        said = command.run(["env"], {"PATH": command.PATH}, b"", -1, 20)
        self.assertEqual("PATH=" + command.PATH, said["why"])
        with tempfile.NamedTemporaryFile(prefix="held-by-us-"):
            self.assertEqual("0", self.run_("ls -l /proc/self/fd | grep -c held-by-us-")["why"])
        ignored = self.run_("grep SigIgn /proc/self/status | tr '\\t' ' '")["why"].split()[-1]
        self.assertEqual(0, int(ignored, 16) & 0x7FFFFFFF)
