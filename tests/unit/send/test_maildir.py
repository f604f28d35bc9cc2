"""L{umbcmail.send.maildir}, C{mailbox} and C{mailboxpath}: into Maildirs."""

from __future__ import annotations

import errno
import os
import stat
import threading
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, execute, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.fakes import FakeLog
from umbcmail import content, mailfolder, reply
from umbcmail.content import FileContent, MemoryContent
from umbcmail.envelope import Envelope, Recipient
from umbcmail.interfaces import ICourier
from umbcmail.localaddress import userOf
from umbcmail.send import maildir
from umbcmail.send.mailboxpath import BadMailbox, Template
from umbcmail.send.maildir import OPTIONS, MaildirCourier, make

MESSAGE = b"Subject: x\r\n\r\n.one\r\ntwo\r\n"


class MaildirCase(SynchronousTestCase):
    """A courier for a folder of its own; "threads" run at once."""

    def setUp(self) -> None:
        self.base = os.path.abspath(self.mktemp())
        os.makedirs(self.base)
        self.log = FakeLog()
        self.clock = Clock()
        self.clock.advance(1_700_000_000.25)
        self.before = set(os.listdir("/proc/self/fd"))

    def tearDown(self) -> None:
        """No test leaves a descriptor open."""
        now = {fd for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")}
        self.assertLessEqual(len(now), len(self.before), [os.readlink(f"/proc/self/fd/{fd}") for fd in now])

    def courier(self, template: str = "/%user", **more: Any) -> MaildirCourier:
        """A courier below C{self.base}."""
        more.setdefault("inThread", execute)
        return MaildirCourier(self.base + template, self.clock, self.log, hostName="mx.y.test", **more)  # type: ignore[arg-type]

    def deliver(self, *addresses: str, message: Any = None, courier: Any = None, sender: str = "s@x.test") -> Any:
        """The replies to a delivery."""
        self.found = (courier or self.courier()).deliver(
            Envelope("id1", sender, (), 0.0),
            message or MemoryContent(MESSAGE),
            [Recipient(address) for address in addresses],
            (),
        )
        return [outcome.reply for outcome in self.successResultOf(self.found)]

    def mail(self, user: str, folder: str = "new") -> list[bytes]:
        """The messages in a mailbox."""
        where = os.path.join(self.base, user, folder)
        return [open(os.path.join(where, name), "rb").read() for name in sorted(os.listdir(where))]

    def nothingIn(self, user: str) -> None:
        """A mailbox has nothing, not even a beginning."""
        self.assertEqual([[], []], [self.mail(user, "tmp"), self.mail(user, "new")])

    def fileContent(self, data: bytes, size: int | None = None) -> FileContent:
        """Content in a file."""
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(data)
        return FileContent(path, len(data) if size is None else size, execute)


class DeliveryTests(MaildirCase):
    """Messages arrive."""

    def test_interface(self) -> None:
        """It is a courier."""
        verifyObject(ICourier, self.courier())

    def test_delivered(self) -> None:
        """Complete, with two header fields on top, as LF lines, in a mailbox that is
        made for it and that only its owner can read."""
        self.assertEqual([reply.DELIVERED], self.deliver("u@y.test"))
        self.assertEqual(
            [b"Return-Path: <s@x.test>\nDelivered-To: u@y.test\nSubject: x\n\n.one\ntwo\n"], self.mail("u")
        )
        self.assertEqual([[], []], [self.mail("u", "tmp"), self.mail("u", "cur")])
        modes = [stat.S_IMODE(os.stat(os.path.join(self.base, p)).st_mode) for p in ("u", "u/new", "u/tmp", "u/cur")]
        self.assertEqual([0o700] * 4, modes)
        name = os.listdir(self.base + "/u/new")[0]
        self.assertEqual(0o600, stat.S_IMODE(os.stat(f"{self.base}/u/new/{name}").st_mode))

    def test_crlf(self) -> None:
        """By option the octets stay as they came."""
        self.deliver("u@y.test", courier=self.courier(lineEnds="crlf"))
        self.assertEqual([b"Return-Path: <s@x.test>\r\nDelivered-To: u@y.test\r\n" + MESSAGE], self.mail("u"))

    def test_nullSender(self) -> None:
        """Bounces have an empty Return-Path (RFC 5321 section 4.4)."""
        self.deliver("u@y.test", sender="")
        self.assertIn(b"Return-Path: <>\n", self.mail("u")[0])

    def test_otherLineEnds(self) -> None:
        """Only CRLF is a line end, a CR alone stays."""
        self.deliver("u@y.test", message=MemoryContent(b"A: b\r\n\r\na\rb\r\r\nc\r"))
        self.assertTrue(self.mail("u")[0].endswith(b"\n\na\rb\r\nc\r"))

    def test_several(self) -> None:
        """Each mailbox gets its own copy; two addresses of one mailbox two."""
        replies = self.deliver("u@y.test", "v@y.test", "u+more@y.test")
        self.assertEqual([reply.DELIVERED] * 3, replies)
        self.assertEqual([2, 1], [len(self.mail("u")), len(self.mail("v"))])
        self.assertEqual([b"u@y.test", b"u+more@y.test"], [m.split(b"\n")[1][14:] for m in self.mail("u")])

    def test_domainInThePath(self) -> None:
        """The domain can be part of the path; that of the bare postmaster is our name."""
        courier = self.courier("/%domain/box/%user/Maildir")
        self.deliver("u@Y.test", "postmaster", courier=courier)
        self.assertEqual([1, 1], [len(self.mail(f"{p}/Maildir")) for p in ("y.test/box/u", "mx.y.test/box/postmaster")])

    def test_names(self) -> None:
        """Names of files tell time, process, host and size (maildir(5)), and are
        unique, whoever makes them."""
        for _ in range(3):
            self.deliver("u@y.test", courier=self.courier())
        size = len(self.mail("u")[0])
        names = os.listdir(self.base + "/u/new")
        self.assertEqual(3, len(names))
        for name in names:
            self.assertRegex(name, rf"^1700000000\.M250000P{os.getpid()}Q1R[0-9a-f]{{16}}\.mx\.y\.test,S={size}$")

    def test_stableBeforeVisible(self) -> None:
        """The file is synced before it shows, and its folder after."""
        events: list[str] = []

        def fsync(fd: int) -> None:
            events.append("sync " + os.path.relpath(os.readlink(f"/proc/self/fd/{fd}"), self.base).split("/1700")[0])

        def rename(*names: Any, **folders: Any) -> None:
            events.append("rename")
            real(*names, **folders)

        self.deliver("u@y.test")
        real = os.rename
        self.patch(mailfolder, "os", SimpleNamespace(**{**vars(os), "fsync": fsync, "rename": rename}))
        self.deliver("u@y.test")
        self.assertEqual(["sync u/tmp", "rename", "sync u/new"], events)

    def test_newFoldersAreStable(self) -> None:
        """A folder that was made is synced in the one above."""
        synced: list[str] = []

        def fsync(fd: int) -> None:
            synced.append(os.path.relpath(os.readlink(f"/proc/self/fd/{fd}"), self.base))

        self.patch(mailfolder, "os", SimpleNamespace(**{**vars(os), "fsync": fsync}))
        self.deliver("u@y.test")
        self.assertEqual([".", "u", "u"], synced[:3])

    def test_large(self) -> None:
        """A message in a file arrives by pieces, wherever they are cut."""
        body = b"A: b\r\n\r\n" + b"line\r\n\rx\r\r\n" * 30
        for piece in (1, 2, 7, 1 << 20):
            self.patch(maildir, "AT_ONCE", 2)
            self.patch(content, "PIECE", piece)
            users = [f"u{piece}x{n}@y.test" for n in range(5)]
            self.assertEqual([reply.DELIVERED] * 5, self.deliver(*users, message=self.fileContent(body)))
            for user in users:
                self.assertEqual(body.replace(b"\r\n", b"\n"), self.mail(user[:-7])[0].split(b"y.test\n", 1)[1])

    def test_largeEndsInCR(self) -> None:
        """A CR at the very end is not lost."""
        self.deliver("u@y.test", message=self.fileContent(b"A: b\r\n\r\nx\r"))
        self.assertTrue(self.mail("u")[0].endswith(b"x\r"))


class RefusalTests(MaildirCase):
    """What is refused for good, and what is not."""

    def test_badMailboxes(self) -> None:
        """Local parts that can't be one component of a path."""
        bad = ["../x", "..", ".", ".hidden", "a/b", '""', '"a/b"', '"\\/"', "x" * 201, "a\0b", "a\nb", "\xe9" * 101]
        replies = self.deliver(*[f"{local}@y.test" for local in bad], "ok@y.test")
        self.assertEqual([reply.BAD_MAILBOX] * len(bad) + [reply.DELIVERED], replies)
        self.assertEqual(["ok"], os.listdir(self.base))

    def test_badDomain(self) -> None:
        """The same holds for a domain in the path."""
        replies = self.deliver("u@..", "u@a/b", "u@[192.0.2.1]", courier=self.courier("/%domain/%user"))
        self.assertEqual([reply.BAD_MAILBOX, reply.BAD_MAILBOX, reply.DELIVERED], replies)

    def test_unknownUser(self) -> None:
        """Where mailboxes are not made, one that is missing is no user."""
        os.mkdir(self.base + "/v")
        replies = self.deliver("u@y.test", "v@y.test", courier=self.courier(create=False))
        self.assertEqual([reply.UNKNOWN_USER, reply.DELIVERED], replies)
        self.assertEqual(["v"], os.listdir(self.base))

    def test_missingBase(self) -> None:
        """A base that is missing, or has nobody, is perhaps not mounted: later."""
        for create in (True, False):
            self.assertEqual(
                [reply.MAILBOX_TROUBLE], self.deliver("u@y.test", courier=self.courier("/no/%user", create=create))
            )
        self.assertEqual([reply.MAILBOX_TROUBLE], self.deliver("u@y.test", courier=self.courier(create=False)))
        courier = self.courier("/%domain/%user", create=False)
        self.assertEqual([reply.MAILBOX_TROUBLE], self.deliver("u@y.test", courier=courier))
        self.assertEqual(4, len(self.log.troubles))
        self.assertEqual([], os.listdir(self.base))

    def test_loop(self) -> None:
        """A message that this address has had before goes round in circles."""
        for field in (b"Delivered-To: u@y.test", b"A: b\r\ndelivered-to:U@Y.test ", b"DELIVERED-TO:\r\n u@y.test"):
            for message in (MemoryContent(field + b"\r\n\r\nx"), self.fileContent(field + b"\r\n\r\nx")):
                replies = self.deliver("u@y.test", "v@y.test", message=message)
                self.assertEqual([reply.DELIVERED_BEFORE, reply.DELIVERED], replies)

    def test_noLoop(self) -> None:
        """The body, and other fields, say nothing about that."""
        message = b"X-Delivered-To: u@y.test\r\nA: Delivered-To: u@y.test\r\n\r\nDelivered-To: u@y.test\r\n"
        self.assertEqual([reply.DELIVERED], self.deliver("u@y.test", message=MemoryContent(message)))

    def test_symbolicLinks(self) -> None:
        """None is followed below the base, so no mailbox is outside of it."""
        outside = os.path.abspath(self.mktemp())
        os.makedirs(outside + "/new")
        os.symlink(outside, self.base + "/u")
        for user, folder in (("v", "new"), ("w", "tmp")):
            os.mkdir(f"{self.base}/{user}")
            os.symlink(outside, f"{self.base}/{user}/{folder}")
        self.assertEqual([reply.MAILBOX_TROUBLE] * 3, self.deliver("u@y.test", "v@y.test", "w@y.test"))
        self.assertEqual([["new"], []], [os.listdir(outside), os.listdir(outside + "/new")])

    def test_baseMayBeALink(self) -> None:
        """The operator's own part of the path may have links."""
        link = os.path.abspath(self.mktemp())
        os.symlink(self.base, link)
        courier = MaildirCourier(link + "/%user", self.clock, self.log, execute, "mx")  # type: ignore[arg-type]
        self.assertEqual([reply.DELIVERED], self.deliver("u@y.test", courier=courier))


class TroubleTests(MaildirCase):
    """Whatever goes wrong delays and leaves nothing."""

    def broken(self, call: str, error: int = errno.EIO, times: int = 99) -> None:
        """From now on a system call fails."""
        real = getattr(os, call)
        left = [times]

        def failing(*args: Any, **more: Any) -> Any:
            if left[0] <= 0:
                return real(*args, **more)
            left[0] -= 1
            raise OSError(error, os.strerror(error))

        self.patch(mailfolder, "os", SimpleNamespace(**{**vars(os), call: failing}))

    def test_anyStep(self) -> None:
        """Each step of writing: nothing is left, the mail waits, and the log knows."""
        self.deliver("u@y.test", courier=self.courier("/%user"))
        for name in os.listdir(self.base + "/u/new"):
            os.unlink(f"{self.base}/u/new/{name}")
        for call in ("write", "fsync", "rename"):
            for message in (MemoryContent(MESSAGE), self.fileContent(MESSAGE)):
                self.broken(call)
                self.assertEqual([reply.MAILBOX_TROUBLE], self.deliver("u@y.test", message=message), call)
                self.nothingIn("u")
        self.assertEqual(6, len(self.log.troubles))

    def test_lastStep(self) -> None:
        """When only the last sync fails the message is taken back."""
        self.deliver("u@y.test")
        real, calls = os.fsync, []

        def fsync(fd: int) -> None:
            calls.append(fd)
            if len(calls) == 2:
                raise OSError(errno.EIO, "broken")
            real(fd)

        self.patch(mailfolder, "os", SimpleNamespace(**{**vars(os), "fsync": fsync}))
        self.assertEqual([reply.MAILBOX_TROUBLE], self.deliver("u@y.test"))
        self.assertEqual([1, []], [len(self.mail("u")), self.mail("u", "tmp")])

    def test_full(self) -> None:
        """No room and no quota are told apart, both for later."""
        for error, expected in ((errno.ENOSPC, reply.NO_STORAGE), (errno.EDQUOT, reply.MAILBOX_FULL)):
            self.broken("write", error)
            self.assertEqual([expected], self.deliver("u@y.test"))
            self.nothingIn("u")

    def test_othersArrive(self) -> None:
        """Trouble with one mailbox is no trouble of the others."""
        self.deliver("u@y.test", "v@y.test")
        for message in (MemoryContent(MESSAGE), self.fileContent(MESSAGE)):
            self.broken("write", times=1)
            replies = self.deliver("u@y.test", "v@y.test", message=message)
            self.assertEqual([reply.MAILBOX_TROUBLE, reply.DELIVERED], replies)

    def test_partialWrites(self) -> None:
        """A disk that takes little at a time gets it all."""
        self.patch(mailfolder, "os", SimpleNamespace(**{**vars(os), "write": lambda fd, data: os.write(fd, data[:3])}))
        self.deliver("u@y.test")
        self.assertTrue(self.mail("u")[0].endswith(b"Subject: x\n\n.one\ntwo\n"))

    def test_unreadableContent(self) -> None:
        """Content that is missing, shorter or longer than it was is not delivered."""
        for data, size in ((b"A: b\r\n\r\nx", 10), (b"A: b\r\n\r\nx", 8)):
            self.assertEqual([reply.LOCAL_ERROR], self.deliver("u@y.test", message=self.fileContent(data, size)))
            self.nothingIn("u")
        gone = FileContent(self.mktemp(), 3, execute)
        self.assertEqual([reply.LOCAL_ERROR], self.deliver("u@y.test", message=gone))
        self.assertEqual(3, len(self.log.troubles))

    def test_bug(self) -> None:
        """An error that nobody expected is logged and delays; nothing is left."""
        self.deliver("u@y.test")
        kept = self.mail("u")

        def broken(*_: Any, **__: Any) -> None:
            raise ZeroDivisionError

        self.patch(mailfolder, "os", SimpleNamespace(**{**vars(os), "rename": broken}))
        for message in (MemoryContent(MESSAGE), self.fileContent(MESSAGE)):
            self.assertEqual([reply.LOCAL_ERROR], self.deliver("u@y.test", message=message))
        self.assertEqual([kept, []], [self.mail("u"), self.mail("u", "tmp")])
        self.assertEqual(2, len(self.log.bugs))

    def test_noThreads(self) -> None:
        """When there are no threads to run in, the mail waits."""
        courier = self.courier(inThread=lambda *_: fail(ZeroDivisionError()))
        self.assertEqual([reply.LOCAL_ERROR] * 2, self.deliver("u@y.test", "v@y.test", courier=courier))
        self.assertEqual(1, len(self.log.bugs))

    def test_stop(self) -> None:
        """Stopping waits for what is being written."""
        self.assertIsNone(self.successResultOf(self.courier().stop()))
        waiting: Deferred[Any] = Deferred()
        courier = self.courier(inThread=lambda *_: waiting)
        courier.deliver(Envelope("id1", "", (), 0.0), MemoryContent(MESSAGE), [Recipient("u@y.test")], ())
        stopped = courier.stop()
        self.assertNoResult(stopped)
        waiting.callback([None])
        self.assertIsNone(self.successResultOf(stopped))

    def test_oneJob(self) -> None:
        """A message in memory is one job, for however many mailboxes."""
        jobs: list[Any] = []

        def inThread(job: Any, *args: Any) -> Deferred[Any]:
            jobs.append(job)
            return succeed(job(*args))

        self.deliver(*[f"u{n}@y.test" for n in range(30)], courier=self.courier(inThread=inThread))
        self.assertEqual(1, len(jobs))

    def test_atTheSameTime(self) -> None:
        """Threads that make the same mailbox at the same time don't disturb each other."""
        courier = self.courier()
        done: list[Any] = []
        threads = [threading.Thread(target=lambda: done.append(self._one(courier))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([[reply.DELIVERED]] * 8, done)
        self.assertEqual(8, len(self.mail("u")))

    def _one(self, courier: MaildirCourier) -> list[Any]:
        found: list[Any] = []
        courier.deliver(Envelope("id1", "", (), 0.0), MemoryContent(MESSAGE), [Recipient("u@y.test")], ()).addCallback(
            found.extend
        )
        return [outcome.reply for outcome in found]


class PathTests(SynchronousTestCase):
    """Addresses become folders."""

    def test_userOf(self) -> None:
        """Detail and case go, quotes too; letters that are not ASCII stay."""
        users = {
            "User+detail@y.test": "user",
            "+x@y.test": "+x",
            "u+@y.test": "u",
            '"a b"@y.test': "a b",
            '"a\\"b"@y.test': 'a"b',
            "a@b@y.test": "a@b",
            "Postmaster": "postmaster",
            "\u212a\xc9x@y.test": "\u212a\xc9x",
        }
        self.assertEqual(users, {address: userOf(address, "+", True) for address in users})

    def test_userOfOptions(self) -> None:
        """Both can be turned off."""
        self.assertEqual("User+detail", userOf("User+detail@y.test", "", False))
        self.assertEqual("user", userOf("user-detail@y.test", "-", True))

    def test_templates(self) -> None:
        """Base, components, and which is the user's."""
        cases = {
            "/srv/mail": ("/srv/mail", ("u",), 0),
            "/srv//%domain/%user/": ("/srv", ("d", "u"), 1),
            "/home/%user/Maildir": ("/home", ("u", "Maildir"), 0),
            "/%user": ("/", ("u",), 0),
            "/": ("/", ("u",), 0),
        }
        for text, expected in cases.items():
            path = Template(text).path("u", "d")
            self.assertEqual(expected, (path.base, path.below, path.user))

    def test_badTemplates(self) -> None:
        """What can't be used is refused when the configuration is read."""
        kind = OPTIONS[0].kind
        for text in ("srv/%user", "/srv/../x", "/srv/u-%user", "/srv/%host/%user", "/srv/%user/%user", "/./%user"):
            self.assertRaises(ValueError, kind.parse, text)
        self.assertEqual("/srv/%user", kind.parse("/srv/%user"))

    @given(st.text(max_size=20), st.text(max_size=20))
    def test_staysBelow(self, user: str, domain: str) -> None:
        """Whatever strangers write, a path stays below the base, and has the
        same number of components."""
        try:
            path = Template("/srv/%domain/%user").path(userOf(f"{user}@x", "+", True), domain)
        except BadMailbox:
            return
        joined = os.path.normpath(os.path.join(path.base, *path.below))
        self.assertEqual((3, "/srv"), (joined.count("/"), joined[:4]))
        self.assertNotIn("\0", joined)

    def test_make(self) -> None:
        """The courier is made from the declared options, and all of them."""
        base = os.path.abspath(self.mktemp())
        os.makedirs(base)
        settings = {option.name: option.kind.parse(option.default) for option in OPTIONS}
        settings.update({"base": base, "line-ends": "crlf", "lower-case": False, "delimiter": "-", "connections": 5})
        tools = SimpleNamespace(reactor=Clock(), log=FakeLog(), inThread=execute, hostName="mx")
        courier = make(settings, tools)
        courier.deliver(Envelope("id1", "", (), 0.0), MemoryContent(MESSAGE), [Recipient("U-x@y.test")], ())
        name = os.listdir(base + "/U/new")[0]
        with open(f"{base}/U/new/{name}", "rb") as file:
            self.assertTrue(file.read().endswith(MESSAGE))
