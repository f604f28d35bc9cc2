"""The command C{sendmail} beside the running system, called by the programs that call it, and the
folder that it leaves mail in while the system does not run."""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import subprocess
import sys
import traceback
from email import message_from_bytes
from pathlib import Path

from tests.system.mailsystem import MAILDIRS, MailCase, Umbcmail, environment, route
from tests.system.peers import Sink
from tests.system.programs import missing, need, until
from umbcmail.sendmail import main, readPlace
from umbcmail.submit.client import Order
from umbcmail.submit.drop import leave

_CONFIG = """
[agent.relay.port.local]
endpoint = "unix:{folder}/submit"
relay = {relay}
[rule.table]
files = ["{folder}/access"]
poll = "1s"
[drop]
folder = "{folder}/drop"
poll = "1s"
damaged-age = "1m"
[recipients]
domains = ["y.test"]
tables = ["{folder}/users"]
"""
TEXT = b"From: ann@y.test\nTo: bob@y.test, z@other.test\nBcc: carol\nSubject: hello\n\n.\nbody\n"
NOBODY = 65534


class _Case(MailCase):
    """A system with a port for programs of this host, not started yet."""

    RELAY = '["auth"]'

    def setUp(self) -> None:
        """A folder that programs may write into."""
        MailCase.setUp(self)
        self.folder.chmod(0o755)
        (self.folder / "users").write_text("bob@y.test\ncarol@y.test\nroot@y.test\nann@y.test\n")
        (self.folder / "access").write_text("")
        self.drop = self.folder / "drop"
        self.drop.mkdir()
        self.drop.chmod(0o3733)
        self.sink = Sink()
        self.addCleanup(self.sink.close)
        self.mail = Umbcmail(
            self.folder, _CONFIG.replace("{relay}", self.RELAY) + route("other.test", self.sink.port), base=MAILDIRS
        )
        self.command = self.folder / "sendmail"
        self.command.write_text(f'#!/bin/sh\nexec {sys.executable} -m umbcmail sendmail -C {self.mail.config} "$@"\n')
        self.command.chmod(0o755)

    def run_(self) -> None:
        """Start the system."""
        self.mail.start()
        self.addCleanup(lambda: self.mail.running.ended or self.mail.stop())

    def sendmail(self, *words: str, text: bytes = TEXT, status: int = 0) -> str:
        """C{sendmail WORDS…}: what it says."""
        done = subprocess.run(
            [str(self.command), *words], input=text, capture_output=True, timeout=60, env=environment(), check=False
        )
        said = (done.stdout + done.stderr).decode()
        self.assertEqual(status, done.returncode, said + self.mail.log()[-3000:])
        return said

    def taken(self, name: str) -> None:
        """A file of the folder has been fetched."""
        until(lambda: not (self.drop / name).exists(), f"{name} is fetched")

    def left(self) -> str:
        """The only file of the folder."""
        [name] = os.listdir(self.drop)
        return name

    def calling(self, *argv: str, text: str = "", **more: str) -> None:
        """A program that calls it."""
        home = {"HOME": str(self.folder), "MAILRC": "/dev/null", "EMAIL": "", **more}
        done = subprocess.run(
            argv, input=text, text=True, capture_output=True, timeout=60, env=environment() | home, cwd=self.folder
        )
        self.assertEqual(0, done.returncode, f"{argv} {done.stdout} {done.stderr} {self.mail.log()[-3000:]}")

    def inProcess(self, uid: int, *words: str) -> int:
        """What the command ends with as another user.  It is run in a process of ours, since that
        user may not be able to reach the interpreter."""
        readPlace(str(self.mail.config))  # imports all that it needs
        child = os.fork()
        if child == 0:
            try:
                text = os.open(self.folder / "text", os.O_RDONLY)
                os.dup2(text, 0)
                sys.stdin = open(0)  # noqa: SIM115
                os.setgroups([])
                os.setgid(uid)
                os.setuid(uid)
                os._exit(main(["sendmail", "-C", str(self.mail.config), *words]))
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(99)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class RunningTests(_Case):
    """The system runs."""

    def test_messages(self) -> None:
        """Recipients of header and command line, dots, envelope, and what is refused with which status."""
        self.run_()
        self.sendmail("-t", "-i", "ann")
        content = self.mail.arrived("bob")
        for user in ("carol", "ann"):
            self.assertEqual(content.split(b"\n\n")[-1], self.mail.arrived(user).split(b"\n\n")[-1])
        message = message_from_bytes(content)
        self.assertEqual(("hello", None, "<root@y.test>"), (message["Subject"], message["Bcc"], message["Return-Path"]))
        self.assertIn("(umbcmail, from user root)", message["Received"])
        self.assertTrue(message["Date"] and message["Message-ID"])
        self.assertEqual(".\nbody\n", message.get_payload())
        found = self.sink.arrived("z@other.test")
        self.assertEqual(("root@y.test", b".\r\nbody\r\n"), (found.sender, found.content.split(b"\r\n\r\n")[-1]))
        self.assertNotIn(b"carol", found.content)

        self.sendmail("-f", "<>", "-N", "never", "-R", "hdrs", "-V", "a b", "z@other.test", text=b"x\n.\ny\n")
        found = self.sink.arrived("z@other.test")
        self.assertEqual("", found.sender)
        self.assertIn(b"\r\nFrom: MAILER-DAEMON@y.test\r\n", found.content)
        self.assertTrue(found.content.endswith(b"\r\n\r\nx\r\n"))

        said = self.sendmail("bob", "nobody@y.test", "who", status=67)
        self.assertIn("nobody@y.test... 550 ", said)
        self.mail.arrived("bob")
        self.sendmail("-oeq", "who", status=67)
        self.assertEqual("", self.sendmail("-oee", "who"))
        self.sendmail("a b", status=67)
        self.sendmail("-t", text=b"Subject: x\n\nTo: bob\n", status=64)
        self.sendmail(status=64)
        self.sendmail("-t", text=b"To: a b\n\n", status=65)
        self.assertEqual([], os.listdir(self.drop))

        said = self.sendmail("-bs", text=b"EHLO x\r\nMAIL FROM:<root@y.test>\r\nRCPT TO:<bob@y.test>\r\nDATA\r\n"
                                         b"Subject: smtp\r\n\r\nb\r\n.\r\nQUIT\r\n")  # fmt: skip
        self.assertIn("250 2.0.0 OK, queued", said)
        self.assertIn(b"\nSubject: smtp\n", self.mail.arrived("bob"))

        self.sendmail("-q")
        self.sink.stall.add("RCPT")
        self.sendmail("x@other.test")
        self.assertIn("x@other.test", self.sendmail("-bp"))
        self.sink.goOn.set()

    def test_users(self) -> None:
        """Whose program it is is told by the kernel: a sender that is not that user's is noted."""
        if os.geteuid():
            missing("not root")
        self.run_()
        (self.folder / "text").write_bytes(b"Received: by x\nSubject: s\n\nb\n")
        user = pwd.getpwuid(NOBODY).pw_name
        self.assertEqual(0, self.inProcess(NOBODY, "-f", "ceo@y.test", "bob"))
        message = message_from_bytes(self.mail.arrived("bob"))
        self.assertEqual(f"mx.y.test: {user} set sender to ceo@y.test using -f", message["X-Authentication-Warning"])
        self.assertIn(f"from user {user}", message.get_all("Received", [])[0])
        self.assertEqual(0, self.inProcess(NOBODY, "bob"))
        message = message_from_bytes(self.mail.arrived("bob"))
        self.assertEqual((None, f"<{user}@y.test>"), (message["X-Authentication-Warning"], message["Return-Path"]))
        self.assertEqual(0, self.inProcess(0, "-f", "ceo@y.test", "bob"))
        self.assertNotIn(b"Warning", self.mail.arrived("bob"))
        # Whom somebody speaks for may be said by the system itself only.
        (self.folder / "text").write_bytes(b"EHLO x\r\nXCLIENT LOGIN=root\r\nQUIT\r\n")
        self.assertEqual(0, self.inProcess(NOBODY, "-bs"))
        self.assertIn('command="XCLIENT LOGIN=root"', self.mail.logged(" rejected "))

    def test_programs(self) -> None:
        """mailx of BSD, s-nail, mutt, git send-email and PHP, as they are."""
        self.run_()
        (self.folder / "mailrc").write_text(f"set sendmail={self.command}\n")
        rc = {"MAILRC": str(self.folder / "mailrc")}
        self.calling(need("bsd-mailx"), "-s", "by bsd", "bob@y.test", text=".x\nb\n", **rc)
        self.assertIn(b"\nSubject: by bsd\n", self.mail.arrived("bob"))
        self.calling(need("s-nail"), "-:/", "-S", f"mta={self.command}", "-r", "ann@y.test", "-s", "by nail",
                     "bob@y.test", text="täxt\n.\nmore\n")  # fmt: skip
        content = self.mail.arrived("bob")
        self.assertIn(b"Return-Path: <ann@y.test>\n", content)
        self.assertIn(b"more", content)
        sets = f'set sendmail="{self.command} -oem -oi"; set use_envelope_from; set envelope_from_address=ann@y.test'
        mutt = (need("mutt"), "-n", "-F", "/dev/null", "-e", sets + "; set dsn_notify='failure,delay'; set copy=no")
        self.calling(*mutt, "-s", "by mutt", "bob@y.test", "-b", "carol@y.test", text="b\n.\nc\n")
        self.assertIn(b"\nb\n.\nc\n", self.mail.arrived("bob"))
        self.assertNotIn(b"\nBcc:", self.mail.arrived("carol"))
        php = (
            "-d",
            f"sendmail_path={self.command} -t -i",
            "-r",
            'exit(mail("bob@y.test","by php","b","Cc: carol@y.test\\r\\n")?0:1);',
        )
        self.calling(need("php"), "-n", *php)
        self.assertIn(b"\nSubject: by php\n", self.mail.arrived("bob"))
        self.mail.arrived("carol")
        self.git()

    def git(self) -> None:
        """A patch by C{git send-email}."""
        author = {f"GIT_{who}_{what}": text for who in ("AUTHOR", "COMMITTER")
                  for what, text in (("NAME", "Ann Ö"), ("EMAIL", "ann@y.test"))}  # fmt: skip
        for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "one"], ["add", "users"],
                      ["commit", "-q", "-m", "by git: tö"], ["format-patch", "-q", "-1"]):  # fmt: skip
            self.calling("git", *words, **author)
        [patch] = self.folder.glob("0001-*.patch")
        if not Path("/usr/lib/git-core/git-send-email").exists():
            missing("git-email is not installed (script/bootstrap --dev as root)")
        options = [
            "--from=ann@y.test",
            "--to=bob@y.test",
            "--envelope-sender=ann@y.test",
            "--confirm=never",
            "--quiet",
            "--suppress-cc=all",
        ]
        self.calling("git", "send-email", f"--sendmail-cmd={self.command}", *options, str(patch), **author)
        content = self.mail.arrived("bob")
        self.assertIn(b"Return-Path: <ann@y.test>\n", content)
        self.assertIn(b"\n+bob@y.test\n", content)


class DownTests(_Case):
    """The system does not run, or not so that it can take mail."""

    def test_down(self) -> None:
        """What comes meanwhile is delivered when it runs, once, and in the name of whose it is."""
        if os.geteuid():
            missing("not root")
        (self.folder / "text").write_bytes(TEXT)
        self.assertEqual(0, self.inProcess(NOBODY, "-t", "-i", "-f", "ceo@y.test"))
        status = (self.drop / self.left()).stat()
        self.assertEqual(
            (NOBODY, 0o640, self.drop.stat().st_gid), (status.st_uid, status.st_mode & 0o777, status.st_gid)
        )
        self.assertIn("421 ", self.sendmail("-bs", text=b"QUIT\r\n", status=75))
        self.run_()
        user = pwd.getpwuid(NOBODY).pw_name
        message = message_from_bytes(self.mail.arrived("bob"))
        self.assertIn(f"{user} set sender to ceo@y.test", message["X-Authentication-Warning"])
        self.assertEqual(".\nbody\n", message.get_payload())
        self.sink.arrived("z@other.test")
        self.mail.arrived("carol")
        self.mail.logged(" fetched ")
        until(lambda: not os.listdir(self.drop), "the folder is empty")
        self.mail.stop()
        self.sendmail("bob")
        self.run_()
        self.mail.arrived("bob")

    def test_unforeseen(self) -> None:
        """Nobody who waits for the status takes it for sent what is not, whatever happened: also without a standard
        input, or with one that can't be read."""
        closed = subprocess.run(
            ["sh", "-c", 'exec "$0" "$@" <&-', str(self.command), "bob"], capture_output=True, env=environment()
        )
        self.assertEqual((66, 1), (closed.returncode, closed.stderr.count(b"\n")), closed.stderr)
        self.assertIn(b"standard input", closed.stderr)
        mute = subprocess.run(
            ["sh", "-c", 'exec "$0" "$@" 0>/dev/null', str(self.command), "bob"], capture_output=True, env=environment()
        )
        self.assertEqual((75, 1), (mute.returncode, mute.stderr.count(b"\n")), mute.stderr)
        self.assertEqual([], os.listdir(self.drop))

    def test_refused(self) -> None:
        """Who has gone long since is told by mail what was refused for good; the others get theirs."""
        self.sendmail("-f", "ann", "bob", "who")
        self.run_()
        self.mail.arrived("bob")
        notice = message_from_bytes(self.mail.arrived("ann"))
        self.assertEqual(("multipart/report", "<>"), (notice.get_content_type(), notice["Return-Path"]))
        text = notice.as_string()
        self.assertIn("Final-Recipient: rfc822; who@y.test", text)
        self.assertIn("Action: failed", text)
        self.assertIn("Subject: hello", text)
        self.mail.stop()
        self.sendmail("-f", "<>", "who")
        self.sendmail("-f", "ann", "-N", "never", "who")
        self.sendmail("-f", "gone@y.test", "who")
        self.run_()
        until(lambda: not os.listdir(self.drop), "all are fetched")
        self.assertFalse((self.folder / "maildirs" / "gone").exists())
        self.assertEqual([], list((self.folder / "maildirs" / "ann" / "new").iterdir()))
        self.assertEqual([], self.mail.queue())

    def test_odd(self) -> None:
        """What is no message is told once and removed in the end, and the messages beside it are sent.  One that
        somebody is writing waits."""
        old = 1_700_000_000
        whole = self._written(1)
        data = whole.read_bytes()
        for name, text in (("a" * 32, data[:-3]), ("b" * 32, b"\0"), ("notes", b"x")):
            (self.drop / name).write_bytes(text)
        (self.drop / ("c" * 32)).symlink_to("/etc/passwd")
        os.mkfifo(self.drop / ("d" * 32))
        os.link(whole, self.drop / ("e" * 32))
        (self.drop / "f").mkdir()
        (self.drop / ("0" * 32)).write_bytes(data[:-3])
        for path in self.drop.iterdir():
            if path.name not in ("a" * 32, whole.name, "e" * 32):
                os.utime(path, (old, old), follow_symlinks=False)
        busy = self._written(2)
        with busy.open("rb") as writer:
            fcntl.flock(writer, fcntl.LOCK_EX)
            self._written(3)
            self.run_()
            self.assertIn(b"Subject: 3", self.mail.arrived("bob"))
            kept = {"a" * 32, whole.name, "e" * 32, busy.name}
            until(lambda: set(os.listdir(self.drop)) == kept, "what is old and odd is gone")
            # One turn more, which tells nothing anew.
            self._written(4)
            self.assertIn(b"Subject: 4", self.mail.arrived("bob"))
        os.unlink(self.drop / ("e" * 32))
        for number in (b"1", b"2"):
            until(
                lambda number=number: any(b"Subject: " + number in p.read_bytes() for p in self._arrived()), "the rest"
            )
        self.assertEqual(["a" * 32], os.listdir(self.drop))
        told = [line for line in self.mail.events("trouble") if "is no message" in line]
        self.assertEqual(9, len(told), "\n".join(told))
        self.assertEqual([], self.mail.events("bug"))

    def _written(self, number: int) -> Path:
        content = b"Subject: %d\r\n\r\nb\r\n" % number
        before = set(self.drop.iterdir())
        leave(str(self.drop), Order("ann@y.test", ["bob@y.test"], len(content)), content)
        [path] = set(self.drop.iterdir()) - before
        return path

    def _arrived(self) -> list[Path]:
        return list((self.folder / "maildirs" / "bob" / "new").glob("*"))

    def test_killed(self) -> None:
        """A command that is killed while it writes has not said that the mail is sent, and leaves nothing that is."""
        stop = f"""
import os, signal, sys
from umbcmail.submit import drop
def stopping(file, data):
    os.write(file, data[: len(data) // 2])
    os.kill(os.getpid(), signal.SIGKILL)
drop._writeAll = stopping
from umbcmail.sendmail import main
main(["sendmail", "-C", {str(self.mail.config)!r}, "bob"])
"""
        done = subprocess.run([sys.executable, "-c", stop], input=TEXT, env=environment(), timeout=60)
        self.assertEqual(-9, done.returncode)
        name = self.left()
        self.run_()
        self.mail.logged(name)
        self.assertEqual([], self._arrived())
        self.assertEqual([], self.mail.events("accepted"))


class LaterTests(_Case):
    """The system runs, and can't take everything."""

    RELAY = '["table"]'

    def test_later(self) -> None:
        """What can't be taken now is left in the folder, by recipient, and sent when it can."""
        delay = "recipient carol@y.test delay 451 4.7.1 Later\n"
        (self.folder / "access").write_text(delay)
        self.run_()
        self.assertIn("left in", self.sendmail("-v", "bob", "carol"))
        self.mail.arrived("bob")
        name = self.left()
        self.assertEqual(["carol@y.test"], json.loads((self.drop / name).open().readline())["recipients"])
        (self.folder / "access").write_text("")
        self.mail.arrived("carol")
        self.taken(name)
        self.mail.stop()
        (self.folder / "access").write_text(delay)
        (self.folder / "text").write_bytes(TEXT)
        self.assertEqual(0, self.inProcess(NOBODY if not os.geteuid() else os.geteuid(), "bob", "carol"))
        name = self.left()
        self.run_()
        self.mail.arrived("bob")
        self.taken(name)
        [rest] = self.drop.iterdir()
        self.assertEqual(os.geteuid(), rest.stat().st_uid)
        (self.folder / "access").write_text("")
        message = message_from_bytes(self.mail.arrived("carol"))
        if not os.geteuid():
            self.assertIn(f"from user {pwd.getpwuid(NOBODY).pw_name}", message["Received"])
