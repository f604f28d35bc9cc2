"""Dovecot's submission service in front of umbcmail."""

from __future__ import annotations

import contextlib
import smtplib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.interop import CONTENT, Meeting, Way, parameters
from tests.system.mailsystem import running
from tests.system.programs import HOST
from tests.system.servers import Submission


@pytest.fixture(scope="module")
def meeting(tmp_path_factory: pytest.TempPathFactory, pem: tuple[Path, Path]) -> Iterator[Meeting]:
    """umbcmail runs."""
    meeting = Meeting(tmp_path_factory.mktemp("umbcmail"), pem)
    with contextlib.closing(meeting), running(meeting.mail):
        yield meeting


@pytest.mark.parametrize("how", ["clear", "starttls", "first", "plain", "firstplain"])
def test_submission(meeting: Meeting, how: str) -> None:
    """It hands on what its user sends, and DSN parameters, by BDAT, whatever way it comes
    to us."""
    recipient = f"a@{how}.next.test"
    dovecot = Submission(Way("", meeting.port(how), how))
    try:
        with smtplib.SMTP(HOST, dovecot.port, "c.test", timeout=20) as client:
            client.login("somebody", "something")
            mail = ["BODY=8BITMIME", "RET=HDRS", "ENVID=QQ314159"]
            rcpt = ["NOTIFY=FAILURE", "ORCPT=rfc822;old@z.test"]
            assert client.sendmail("s@z.test", [recipient], CONTENT, mail, rcpt) == {}
        message, trace = meeting.arrived(recipient, CONTENT, 2)
        assert b"BDAT " in dovecot.sent()
    except BaseException:
        sys.stderr.write(dovecot.output()[-3000:])
        raise
    finally:
        dovecot.stop()
    assert message.sender == "s@z.test"
    assert parameters(message.commands) == [set(mail), set(rcpt)]
    meeting.checkWay(how, trace)


def test_xclient(meeting: Meeting) -> None:
    """It says by XCLIENT where its user comes from, and who that is."""
    recipient = "a@xclient.next.test"
    dovecot = Submission(Way("", meeting.filters, "clear"), trusted=True)
    with contextlib.ExitStack() as failed:
        failed.callback(dovecot.stop)
        failed.callback(lambda: sys.stderr.write(dovecot.output()[-3000:]))
        with smtplib.SMTP(HOST, dovecot.port, "c.test", timeout=20, source_address=("127.0.0.7", 0)) as client:
            client.login("somebody", "something")
            assert client.sendmail("s@z.test", [recipient], CONTENT, ["BODY=8BITMIME"]) == {}
        _, trace = meeting.arrived(recipient, CONTENT, 2)
    assert "from dovecot.test ([127.0.0.7])" in trace
    assert "with ESMTPA id" in trace
    assert " client=127.0.0.7 " in meeting.mail.logged(" login=somebody")
