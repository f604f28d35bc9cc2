"""swaks, smtplib, msmtp and OpenSSL's s_client send to umbcmail in all ways that they know."""

from __future__ import annotations

import base64
import contextlib
import re
import shutil
import smtplib
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.system.interop import CONTENT, LOGIN, PASSWORD, UTF8, Meeting, mechanism, parameters
from tests.system.mailsystem import running
from tests.system.peers import stuffed
from tests.system.programs import HOST, need


def msmtpHasSCRAM() -> bool:
    """From 1.8.26 on it tells GNU SASL of a channel binding that is not asked for, and
    that refuses to begin SCRAM with a server that has none, whoever that is."""
    said = (
        subprocess.run(["msmtp", "--version"], capture_output=True, text=True).stdout if shutil.which("msmtp") else ""
    )
    found = re.match(r"msmtp version (\d+)\.(\d+)\.(\d+)", said)
    return found is not None and tuple(map(int, found.groups())) < (1, 8, 26)


WAYS = {
    "swaks": ["clear", "starttls", "first", "plain", "login", "cram", "firstplain", "firstlogin"],
    "smtplib": ["clear", "starttls", "first", "plain", "login", "cram", "firstplain", "firstcram"],
    "msmtp": ["clear", "starttls", "first", "plain", "login", "cram", *["scram", "firstscram"] * msmtpHasSCRAM()],
    "s_client": ["starttls", "first", "plain", "login", "firstplain", "firstlogin"],
}


@pytest.fixture(scope="module")
def meeting(tmp_path_factory: pytest.TempPathFactory, pem: tuple[Path, Path]) -> Iterator[Meeting]:
    """umbcmail runs."""
    meeting = Meeting(tmp_path_factory.mktemp("umbcmail"), pem)
    with contextlib.closing(meeting), running(meeting.mail):
        yield meeting


def run(argv: Sequence[str], content: bytes = b"") -> str:
    """Run a program.

    @return: what it says.
    @raise PermissionError: it failed.
    """
    done = subprocess.run(argv, input=content, capture_output=True, timeout=60)
    said = (done.stdout + done.stderr).decode("utf-8", "replace")
    if done.returncode:
        raise PermissionError(said)
    return said


def bySwaks(meeting: Meeting, how: str, recipient: str, password: str, folder: Path) -> None:
    """Send L{CONTENT} by swaks."""
    path = folder / "content"
    path.write_bytes(stuffed(CONTENT).removesuffix(b"\r\n"))
    argv = [need("swaks"), "--server", f"{HOST}:{meeting.port(how)}", "--helo", "c.test"]
    argv += ["--from", "s@z.test", "--to", recipient, "--data", f"@{path}", "--no-data-fixup"]
    if how != "clear":
        argv += ["--tls-on-connect" if how.startswith("first") else "--tls"]
    if mechanism(how):
        argv += ["--auth", mechanism(how), "--auth-user", LOGIN, "--auth-password", password]
    run(argv)


def client(meeting: Meeting, how: str, password: str = PASSWORD) -> smtplib.SMTP:
    """smtplib, connected and logged in."""
    context = ssl.create_default_context(cafile=str(meeting.pem[0]))
    context.check_hostname = False  # we connect to an address
    if how.startswith("first"):
        found: smtplib.SMTP = smtplib.SMTP_SSL(HOST, meeting.port(how), "c.test", timeout=20, context=context)
    else:
        found = smtplib.SMTP(HOST, meeting.port(how), "c.test", timeout=20)
    found.ehlo()
    if how != "clear" and not how.startswith("first"):
        found.starttls(context=context)
        found.ehlo()
    if mechanism(how):
        found.user, found.password = LOGIN, password  # type: ignore[attr-defined]
        words = {"PLAIN": found.auth_plain, "LOGIN": found.auth_login, "CRAM-MD5": found.auth_cram_md5}
        # Both forms: with an initial response and without.
        found.auth(mechanism(how), words[mechanism(how)], initial_response_ok=how.startswith("first"))
    return found


def bySmtplib(meeting: Meeting, how: str, recipient: str, password: str, folder: Path) -> None:
    """Send L{CONTENT} by Python's smtplib."""
    try:
        with client(meeting, how, password) as found:
            assert found.sendmail("s@z.test", [recipient], CONTENT, ["BODY=8BITMIME"]) == {}
    except smtplib.SMTPAuthenticationError as why:
        raise PermissionError(str(why)) from why


def byMsmtp(meeting: Meeting, how: str, recipient: str, password: str, folder: Path, more: Sequence[str] = ()) -> None:
    """Send L{CONTENT} by msmtp."""
    lines = ["defaults", f"host {HOST}", f"port {meeting.port(how)}", "from s@z.test", "domain c.test", "timeout 20"]
    if how != "clear":
        lines += ["tls on", f"tls_trust_file {meeting.pem[0]}", "tls_host_override mx.y.test"]
        lines.append(f"tls_starttls {'off' if how.startswith('first') else 'on'}")
    if mechanism(how):
        lines += [f"auth {mechanism(how).lower()}", f"user {LOGIN}", f'password "{password}"']
    config = folder / "msmtprc"
    config.write_text("\n".join([*lines, *more, "account default", ""]))
    config.chmod(0o600)
    run([need("msmtp"), "-C", str(config), "--", recipient], CONTENT.replace(b"\r\n", b"\n"))


class SClient:
    """OpenSSL's s_client, as one who types would use it."""

    def __init__(self, meeting: Meeting, how: str) -> None:
        argv = [need("openssl"), "s_client", "-quiet", "-verify_return_error", "-verify_hostname", "mx.y.test"]
        argv += ["-CAfile", str(meeting.pem[0]), "-connect", f"{HOST}:{meeting.port(how)}"]
        argv += [] if how.startswith("first") else ["-starttls", "smtp"]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        # With STARTTLS it keeps the greeting to itself.
        assert not how.startswith("first") or self.reply().startswith("220 mx.y.test")
        self.say("EHLO c.test", "250")

    def reply(self) -> str:
        """The next reply."""
        assert self.process.stdout is not None
        text = ""
        while True:
            line = self.process.stdout.readline().decode()
            text += line
            if not line or line[3:4] != "-":
                return text

    def write(self, octets: bytes) -> None:
        """Send octets."""
        assert self.process.stdin is not None
        self.process.stdin.write(octets)
        self.process.stdin.flush()

    def say(self, line: str, code: str) -> None:
        """Send a line, and get a reply with a code."""
        self.write(line.encode() + b"\r\n")
        answer = self.reply()
        if answer.startswith("535"):
            raise PermissionError(answer)
        assert answer.startswith(code), (line, answer)

    def logIn(self, name: str, password: str) -> None:
        """AUTH."""
        if name == "PLAIN":
            self.say("AUTH PLAIN " + base64.b64encode(f"\0{LOGIN}\0{password}".encode()).decode(), "235")
        elif name == "LOGIN":
            self.say("AUTH LOGIN", "334")
            self.say(base64.b64encode(LOGIN.encode()).decode(), "334")
            self.say(base64.b64encode(password.encode()).decode(), "235")

    def close(self) -> None:
        """QUIT; it ends with the connection."""
        self.say("QUIT", "221")
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()
        if self.process.wait(20):
            raise AssertionError("s_client failed")


def bySClient(meeting: Meeting, how: str, recipient: str, password: str, folder: Path) -> None:
    """Send L{CONTENT} by s_client."""
    with contextlib.closing(SClient(meeting, how)) as found:
        found.logIn(mechanism(how), password)
        found.say("MAIL FROM:<s@z.test> BODY=8BITMIME", "250")
        found.say(f"RCPT TO:<{recipient}>", "250")
        found.say("DATA", "354")
        found.write(stuffed(CONTENT))
        assert found.reply().startswith("250")


SENDERS = {"swaks": bySwaks, "smtplib": bySmtplib, "msmtp": byMsmtp, "s_client": bySClient}


@pytest.mark.parametrize("name, how", [(name, how) for name in WAYS for how in WAYS[name]])
def test_send(meeting: Meeting, tmp_path: Path, name: str, how: str) -> None:
    """What it sends arrives octet for octet, and Received and the log say how."""
    recipient = f"a@{how}.next.test"
    SENDERS[name](meeting, how, recipient, PASSWORD, tmp_path)
    message, trace = meeting.arrived(recipient, CONTENT)
    assert message.sender == "s@z.test"
    meeting.checkWay(how, trace)


@pytest.mark.parametrize("name", WAYS)
def test_wrongPassword(meeting: Meeting, tmp_path: Path, name: str) -> None:
    """It understands that the password is wrong, and sends nothing."""
    with pytest.raises(PermissionError, match="5\\.7\\.8"):
        SENDERS[name](meeting, "plain", "a@wrong.next.test", "sesame", tmp_path)
    assert not meeting.sink.messages


def test_smtplibSMTPUTF8(meeting: Meeting) -> None:
    """Addresses and header in UTF-8 (RFC 6531)."""
    recipient = "gr\u00f6\u00dfe@login.next.test"
    with client(meeting, "login") as found:
        assert found.sendmail("j\u00fcrgen@z.test", [recipient], UTF8, ["SMTPUTF8", "BODY=8BITMIME"]) == {}
    message, trace = meeting.arrived(recipient, UTF8)
    assert message.sender == "j\u00fcrgen@z.test"
    assert "SMTPUTF8" in message.commands[0]
    assert "with UTF8SMTPSA id" in trace


def test_smtplibDSN(meeting: Meeting) -> None:
    """What the sender wants to be told of goes on (RFC 3461)."""
    mail, rcpt = ["RET=FULL", "ENVID=a+2Bb"], ["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;o+3Dld@z.test"]
    with client(meeting, "clear") as found:
        found.sendmail("s@z.test", ["dsn@a.next.test"], b"Subject: x\r\n\r\n", mail, rcpt)
    message, _ = meeting.arrived("dsn@a.next.test", b"Subject: x\r\n\r\n")
    assert parameters(message.commands) == [set(mail), set(rcpt)]


def test_msmtpDSN(meeting: Meeting, tmp_path: Path) -> None:
    """It asks for notifications in its own way."""
    more = ["dsn_notify failure,delay", "dsn_return headers"]
    byMsmtp(meeting, "plain", "dsn@plain.next.test", PASSWORD, tmp_path, more)
    message, _ = meeting.arrived("dsn@plain.next.test", CONTENT)
    mail, rcpt = parameters(message.commands)
    assert mail - {"BODY=8BITMIME", "SMTPUTF8"} == {"RET=HDRS"}
    assert {word for word in rcpt if word.startswith("NOTIFY")} in ({"NOTIFY=FAILURE,DELAY"}, {"NOTIFY=DELAY,FAILURE"})


def test_sClientChunks(meeting: Meeting) -> None:
    """Chunks under TLS, all at once, cut where it is worst (RFC 3030)."""
    recipient = "chunks@first.next.test"
    with contextlib.closing(SClient(meeting, "first")) as found:
        found.say("MAIL FROM:<s@z.test> BODY=8BITMIME", "250")
        found.say(f"RCPT TO:<{recipient}>", "250")
        cut = CONTENT.index(b"\r\n.\r\n") + 1
        chunks = [CONTENT[:cut], CONTENT[cut : cut + 2], CONTENT[cut + 2 :]]
        found.write(b"".join(b"BDAT %d\r\n%b" % (len(chunk), chunk) for chunk in chunks) + b"BDAT 0 LAST\r\n")
        for _ in range(4):
            assert found.reply().startswith("250")
    meeting.arrived(recipient, CONTENT)
