"""Tests of L{umbcmail.submit.arguments}."""

from __future__ import annotations

import shlex

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.submit.arguments import UsageError, Wanted, parse


class ParseTests(SynchronousTestCase):
    """Command lines."""

    def parsed(self, line: str, name: str = "sendmail") -> Wanted:
        """What is wanted."""
        return parse(shlex.split(line), name)

    def test_programs(self) -> None:
        """As programs call it: cron, mutt, git, PHP, mailx, s-nail, at, Perl."""
        for line, expected in (
            (
                "-FCronDaemon -i -B8BITMIME -oem root",
                Wanted(fullName="CronDaemon", dotEnds=False, body="8BITMIME", recipients=["root"]),
            ),
            (
                "-oem -oi -f a@x.test -N failure,delay -R hdrs -B 8BITMIME -- b@y.test c@y.test",
                Wanted(
                    sender="a@x.test", dotEnds=False, notify="FAILURE,DELAY", ret="HDRS", body="8BITMIME",
                    recipients=["b@y.test", "c@y.test"],
                ),
            ),
            ("-i b@y.test", Wanted(dotEnds=False, recipients=["b@y.test"])),
            ("-t -i", Wanted(fromHeader=True, dotEnds=False)),
            ("-ti -fwww@x.test", Wanted(fromHeader=True, dotEnds=False, sender="www@x.test")),
            ("-i -r a@x.test -- b", Wanted(dotEnds=False, sender="a@x.test", recipients=["b"])),
            ("-oi -oee -odb -oMrlocal -m -v b", Wanted(dotEnds=False, isVerbose=True, recipients=["b"],
                                                       isQuiet=True, isForgiving=True)),
            ("-f '' -F '' -V id=1 b", Wanted(sender="", fullName="", envid="id=1", recipients=["b"])),
            ("-O IgnoreDots=true -OErrorMode=q b", Wanted(dotEnds=False, isQuiet=True, recipients=["b"])),
            ("-bm b -t", Wanted(recipients=["b", "-t"])),
            ("-bs", Wanted(mode="smtp")),
            ("-bp", Wanted(mode="queue")),
            ("-bi", Wanted(mode="aliases")),
            ("-q", Wanted(mode="run")),
            ("-q -v", Wanted(mode="run", isVerbose=True)),
            ("-C /x.toml -Am -G -U -n -c -d0 -L tag -p SMTP:h b", Wanted(config="/x.toml", recipients=["b"])),
        ):  # fmt: skip
            self.assertEqual(expected, self.parsed(line), line)

    def test_names(self) -> None:
        """C{mailq} and C{newaliases} are what they say."""
        self.assertEqual("queue", self.parsed("-v", "mailq").mode)
        self.assertEqual("aliases", self.parsed("", "newaliases").mode)

    def test_wrong(self) -> None:
        """What it can't do is refused, and where there is a way the way is named."""
        for line in ("-Z", "-f", "-bz", "-B9", "-R all", "-N never,success", "-N x", "--help"):
            self.assertRaises(UsageError, self.parsed, line)
        for line, way in (("-bd -q30m", "systemctl"), ("-bv x", "umbcmail explain"), ("-bh", "umbcmail hosts")):
            self.assertIn(way, str(self.assertRaises(UsageError, self.parsed, line)))

    @given(st.lists(st.text(alphabet="-abqtiofNRVBOX x=", max_size=5)))
    def test_anything(self, words: list[str]) -> None:
        """Any words are taken or refused."""
        try:
            parse(words)
        except UsageError:
            pass
