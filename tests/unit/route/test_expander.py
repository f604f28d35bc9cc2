"""L{umbcmail.route.expander}: what recipients stand for."""

from __future__ import annotations

import shutil
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.unit.route.aliascase import Forwards, Tables, expander
from umbcmail import reply
from umbcmail.entry import Delivery, Status
from umbcmail.envelope import Origin, Recipient
from umbcmail.interfaces import IExpander, IForwards, IRecipientCheck
from umbcmail.route.expander import Expander
from umbcmail.route.walk import Bounds


class Case(SynchronousTestCase):
    """Asks an expander."""

    def tables(self, aliases: str = "", virtual: str = "", **included: str) -> Tables:
        """Files that are removed afterwards."""
        tables = Tables(aliases, virtual, **included)
        self.addCleanup(shutil.rmtree, tables.folder)
        return tables

    def asked(self, it: Expander, address: str, sender: str = "s@z.test", **values: Any) -> Any:
        """The answer for a recipient."""
        found = it.expand(sender, Recipient(address, **values))
        return self.successResultOf(found) if isinstance(found, Deferred) else found

    def assertGoes(self, it: Expander, address: str, *to: str, sender: str = "s@z.test") -> None:
        """A recipient stands for these; an action stands behind a blank, a problem too."""
        found = self.asked(it, address, sender)
        self.assertEqual(list(to), [shown(delivery) for delivery in found or ()])


def shown(delivery: Delivery) -> str:
    """A delivery in a word or two."""
    recipient, origin = delivery.recipient, delivery.recipient.origin
    action = f" {origin.action}" if origin is not None and origin.action else ""
    problem = f" {delivery.outcome.reply.code}" if delivery.outcome is not None else ""
    return recipient.address + action + problem


class AliasTests(Case):
    """Files of aliases."""

    def test_itself(self) -> None:
        """Who has no alias, or is in another domain, stands for himself, and nobody is asked."""
        it = expander(self.tables("ann: bob\n"))
        self.assertTrue(verifyObject(IExpander, it))
        for address in ("carl@x.test", "ann@z.test", "ann@v2.test"):
            self.assertIsNone(it.expand("s@z.test", Recipient(address)))

    def test_one(self) -> None:
        """One for one: what the sender wants to hear is carried over, and he goes on being told
        (RFC 3461 section 5.2.7)."""
        it = expander(self.tables("Ann: bob\nbob: carl@z.test\n"))
        found = self.asked(it, "ANN@x.test", notify="SUCCESS,FAILURE")
        origin = Origin("ANN@x.test")
        wanted = Recipient("carl@z.test", "SUCCESS,FAILURE", "rfc822;ANN@x.test", origin)
        self.assertEqual((Delivery(wanted),), found)
        [kept] = self.asked(it, "bob@x.test", orcpt="rfc822;first@z.test")
        self.assertEqual("rfc822;first@z.test", kept.recipient.orcpt)

    def test_several(self) -> None:
        """One for several: each once, and the sender hears at once that it goes on."""
        it = expander(self.tables("all: ann, staff, BOB, ann@x.test\nstaff: bob, c@z.test\n"))
        self.assertGoes(it, "all@x.test", "ann@x.test", "BOB@x.test", "c@z.test")
        told, *others = self.asked(it, "all@x.test", notify="SUCCESS,FAILURE")
        self.assertEqual((Status.DONE, True, False), (told.status, told.outcome.expanded, told.outcome.delivered))
        self.assertEqual({"FAILURE"}, {each.recipient.notify for each in others})
        self.assertEqual({"rfc822;all@x.test"}, {each.recipient.orcpt for each in others})
        only = self.asked(it, "all@x.test", notify="SUCCESS")
        self.assertEqual(["SUCCESS", "NEVER", "NEVER", "NEVER"], [each.recipient.notify for each in only])

    def test_owner(self) -> None:
        """A list with an owner: it gets the sender's place, and what he wants to hear ends there;
        notifications keep the null sender."""
        it = expander(self.tables("l: ann, b@z.test\nowner-l: boss\nall: l, carl\n"))
        told, ann, b = self.asked(it, "l@x.test", notify="SUCCESS", orcpt="rfc822;l@x.test")
        self.assertEqual((True, "l@x.test"), (told.outcome.delivered, told.recipient.address))
        for each, address in ((ann, "ann@x.test"), (b, "b@z.test")):
            self.assertEqual(Recipient(address, origin=Origin("l@x.test", "owner-l@x.test")), each.recipient)
        senders = {d.recipient.address: d.recipient.origin.sender for d in self.asked(it, "all@x.test")}
        self.assertEqual({"carl@x.test": None, "ann@x.test": "owner-l@x.test", "b@z.test": "owner-l@x.test"}, senders)
        for each in self.asked(it, "l@x.test", ""):
            self.assertIsNone(each.recipient.origin.sender)
        self.assertGoes(it, "owner-l@x.test", "boss@x.test")

    def test_detail(self) -> None:
        """The address as it is comes first, then without its detail, which names get handed on."""
        it = expander(self.tables("ann: bob, c@z.test\nann+x: carl\ndan: dan+inbox\nmax: \\max\n"))
        self.assertGoes(it, "ann+x@x.test", "carl@x.test")
        self.assertGoes(it, "Ann+News@x.test", "bob+News@x.test", "c@z.test")
        self.assertGoes(it, "dan+q@x.test", "dan+inbox@x.test")
        self.assertIsNone(self.asked(it, "max+q@x.test"))

    def test_mailbox(self) -> None:
        """A backslash, and an alias that has itself among its targets, end in the mailbox."""
        it = expander(self.tables("ann: \\ann, bob\nbob: bob, carl\ncarl: \\dan\ndan: nobody\n"))
        self.assertGoes(it, "ann@x.test", "ann@x.test", "bob@x.test", "dan@x.test")

    def test_actions(self) -> None:
        """Programs and files are taken where they are permitted, as the user for that; what can be
        thrown away is."""
        tables = self.tables(
            "p: |vacation ann\nf: /var/mail/lists/all\nbad: /etc/passwd, /var/mail/lists/../x\nn: /dev/null\n"
            "m: ann, /dev/null\n"
        )
        it = expander(tables)
        self.assertGoes(it, "p@x.test", "mailprog@x.test |vacation ann")
        self.assertGoes(it, "f@x.test", "mailprog@x.test /var/mail/lists/all")
        self.assertGoes(it, "bad@x.test", "mailprog@x.test /etc/passwd 550", "mailprog@x.test /var/mail/lists/../x 550")
        self.assertGoes(it, "m@x.test", "ann@x.test")
        [gone] = self.asked(it, "n@x.test", notify="SUCCESS")
        self.assertEqual((Status.DONE, True), (gone.status, gone.outcome.delivered))
        it = expander(tables, programUser=None)
        self.assertGoes(it, "p@x.test", "p@x.test |vacation ann 550")
        self.assertGoes(it, "f@x.test", "f@x.test /var/mail/lists/all 550")

    def test_circles(self) -> None:
        """What leads back is left out; who has nothing else is told so: 5.4.6."""
        it = expander(self.tables("a: b, c@z.test\nb: a\nd: e\ne: f\nf: d\n"))
        self.assertGoes(it, "a@x.test", "c@z.test")
        [found] = self.asked(it, "d@x.test")
        self.assertEqual((Status.FAILED, reply.ALIAS_LOOP), (found.status, found.outcome.reply))
        self.assertEqual("5.4.6", found.outcome.reply.enhanced)

    def test_include(self) -> None:
        """Lists of included files, nested ones too; one that includes itself is bounded (5.4.6)."""
        it = expander(
            self.tables(
                "l: :include:DIR/l\nself: :include:DIR/me\nboth: :include:DIR/two\n",
                l="ann\nb@z.test, :include:DIR/more\n",
                more="ann, carl\n",
                me=":include:DIR/me\n",
                two=":include:DIR/two\nann\n",
            )
        )
        self.assertGoes(it, "l@x.test", "ann@x.test", "b@z.test", "carl@x.test")
        self.assertGoes(it, "self@x.test", "self@x.test 554")
        self.assertGoes(it, "both@x.test", "ann@x.test")

    def test_noInclude(self) -> None:
        """A list whose file is not there, or not all right, waits as a whole."""
        it = expander(self.tables("l: ann, :include:DIR/none\nm: :include:DIR/bad\nok: ann\n", bad="a b c\n"))
        for name in "lm":
            [found] = self.asked(it, f"{name}@x.test")
            self.assertEqual((Status.WAITING, reply.RECIPIENT_YET), (found.status, found.outcome.reply))
            self.assertEqual(Recipient(f"{name}@x.test"), found.recipient)
        self.assertGoes(it, "ok@x.test", "ann@x.test")

    def test_limits(self) -> None:
        """Neither depth nor number are without bounds."""
        chain = "".join(f"n{number}: n{number + 1}\n" for number in range(30))
        it = expander(self.tables(chain + "m: n20, ann\n"))
        self.assertGoes(it, "n0@x.test", "n21@x.test 554")
        self.assertGoes(it, "m@x.test", "ann@x.test", "n30@x.test")
        many = "".join(f"{number}@z.test\n" for number in range(101))
        it = expander(self.tables("l: :include:DIR/l\n", l=many), bounds=Bounds(20, 100))
        self.assertGoes(it, "l@x.test", "l@x.test 452")
        it = expander(self.tables("l: :include:DIR/l\n", l=many), bounds=Bounds(20, 101))
        self.assertEqual(101, len(self.asked(it, "l@x.test")))

    def test_explosion(self) -> None:
        """A lattice of aliases is walked once, not as often as there are ways through it."""
        text = "".join(f"n{n}: n{n + 1}, m{n + 1}\nm{n}: n{n + 1}, m{n + 1}\n" for n in range(19))
        self.assertGoes(expander(self.tables(text)), "n0@x.test", "n19@x.test", "m19@x.test")

    def test_postmaster(self) -> None:
        """The bare postmaster is looked up in our first domain."""
        it = expander(self.tables("postmaster: root\nroot: ann@z.test\n"))
        self.assertGoes(it, "postmaster", "ann@z.test")

    def test_done(self) -> None:
        """What has been expanded is not expanded again."""
        it = expander(self.tables("ann: bob\n"))
        self.assertIsNone(it.expand("s@z.test", Recipient("ann@x.test", origin=Origin("l@x.test"))))

    def test_steps(self) -> None:
        """Each step is told, with its place."""
        tables = self.tables("all: ann, :include:DIR/l\nann: |prog\n", "a@v.test all\n", l="all, bob\n")
        told: list[tuple[int, str]] = []
        it = expander(tables, programUser=None)
        found: Any = it.expand("s@z.test", Recipient("a@v.test"), lambda depth, text: told.append((depth, text)))
        self.assertEqual(2, len(self.successResultOf(found)))
        folder = str(tables.folder)
        self.assertEqual(
            [
                (0, "a@v.test: DIR/virtual:1: a@v.test is all"),
                (1, "all@x.test: DIR/aliases:1: all is ann, :include:DIR/l"),
                (2, "ann@x.test: DIR/aliases:2: ann is |prog"),
                (2, ":include:DIR/l: all, bob"),
                (3, "all@x.test: this leads back, and is left out"),
                (3, "|prog: 550 5.7.1 This program may not be run here"),
            ],
            [(depth, text.replace(folder, "DIR")) for depth, text in told],
        )


class VirtualTests(Case):
    """Tables of virtual addresses."""

    def test_order(self) -> None:
        """With the detail, without it, the domain, the domains above."""
        it = expander(
            self.tables(
                virtual="a@v.test ann, b@z.test\na+x@v.test carl\n@v.test rest@z.test\n@.w.test @other.test\n"
                "q@w.test error:nouser No such user\n"
            )
        )
        self.assertGoes(it, "A@v.test", "ann@x.test", "b@z.test")
        self.assertGoes(it, "a+x@v.test", "carl@x.test")
        self.assertGoes(it, "a+y@v.test", "ann+y@x.test", "b+y@z.test")
        self.assertGoes(it, "who+y@v.test", "rest@z.test")
        self.assertGoes(it, "Who+y@a.b.w.test", "Who+y@other.test")
        self.assertIsNone(self.asked(it, "who@w.test"))
        self.assertGoes(it, "q@w.test", "q@w.test 550")

    def test_parts(self) -> None:
        """%1 is the user, %2 the detail, %3 the detail with what begins it."""
        it = expander(self.tables(virtual="@p.test %1-%2@z.test, %1%3@q.test\n"))
        self.assertGoes(it, "u+d@p.test", "u-d@z.test", "u+d@q.test")
        self.assertGoes(it, "u@p.test", "u-@z.test", "u@q.test")
        self.assertGoes(it, '"a b"@p.test', '"a b"@p.test 550')

    def test_chain(self) -> None:
        """What it leads to is looked up again, and an entry that leads to itself goes on to
        the aliases."""
        it = expander(self.tables("ann: bob\n", "ann@x.test ann@x.test, log@v.test\nlog@v.test l@z.test\n"))
        self.assertGoes(it, "ann@x.test", "bob@x.test", "l@z.test")

    def test_onlyVirtual(self) -> None:
        """A domain of virtual addresses has no others, and no users."""
        it = expander(self.tables("ann: bob\n", "a@v.test ann\n"))
        self.assertGoes(it, "ann@v.test", "ann@v.test 550")

    def test_check(self) -> None:
        """At RCPT it is known who is there, and in a domain of virtual addresses who is not."""
        tables = self.tables("info: ann\n", "a@v.test ann\nno@v.test error:nouser\n")
        it = expander(tables)
        self.assertTrue(verifyObject(IRecipientCheck, it))
        for address, answer in (
            ("info@x.test", reply.RECIPIENT_OK),
            ("info+d@x.test", reply.RECIPIENT_OK),
            ("ann@x.test", None),
            ("info@z.test", None),
            ("a@v.test", reply.RECIPIENT_OK),
            ("no@v.test", reply.UNKNOWN_USER),
            ("ann@v.test", reply.UNKNOWN_USER),
        ):
            self.assertEqual(answer, it.check("s@z.test", Recipient(address)), address)
        tables.files.startService()
        self.addCleanup(tables.files.stopService)
        tables.write("virtual", "a@v.test\n")
        tables.clock.advance(10)
        self.assertEqual(reply.RECIPIENT_YET, it.check("s@z.test", Recipient("ann@v.test")))
        self.assertGoes(it, "ann@v.test", "ann@v.test 451")
        self.assertGoes(it, "a@v.test", "ann@x.test")


class ForwardTests(Case):
    """What users have in their C{.forward}."""

    def test_fake(self) -> None:
        """The fake of these tests is one."""
        self.assertTrue(verifyObject(IForwards, Forwards()))

    def test_forwards(self) -> None:
        """Addresses, names, the mailbox, programs and files of the user, comments."""
        forwards = Forwards(
            ann="# c\n\\ann, a@z.test\n|vacation ann\n/home/ann/log\n",
            bob="bob\n",
            carl="",
            dan="ann\n",
            eve='"|x y", eve',
        )
        it = expander(self.tables("staff: ann, c@z.test\n"), forwards)
        mine = ["ann@x.test", "a@z.test", "ann@x.test |vacation ann", "ann@x.test /home/ann/log"]
        self.assertGoes(it, "ann@x.test", *mine)
        self.assertGoes(it, "dan@x.test", *mine)
        self.assertGoes(it, "staff@x.test", "c@z.test", *mine)
        for name in ("bob", "carl", "nobody"):
            self.assertIsNone(self.asked(it, f"{name}@x.test"))
        self.assertGoes(it, "eve@x.test", "eve@x.test |x y", "eve@x.test")
        self.assertIsNone(it.expand("s@z.test", Recipient("ann@z.test")))

    def test_detail(self) -> None:
        """A user who names himself keeps the detail."""
        forwards = Forwards()
        forwards.files["ann+d@x.test"] = "ann, a@z.test"
        self.assertGoes(expander(self.tables(), forwards), "ann+d@x.test", "ann+d@x.test", "a@z.test")

    def test_circles(self) -> None:
        """Two who send each other copies get one each; two who only forward are a loop."""
        forwards = Forwards(ann="\\ann, bob", bob="\\bob, ann", carl="dan", dan="carl@x.test")
        it = expander(self.tables(), forwards)
        self.assertGoes(it, "ann@x.test", "ann@x.test", "bob@x.test")
        self.assertGoes(it, "carl@x.test", "carl@x.test 554")

    def test_unknown(self) -> None:
        """Where it can't be told the mail waits: that of the user, and nobody else's."""
        forwards = Forwards(ann=OSError("home is away"), bob="b@z.test")
        it = expander(self.tables("l: ann, bob\nowner-l: boss\n"), forwards)
        [found] = self.asked(it, "ann@x.test")
        self.assertEqual(
            (Delivery(Recipient("ann@x.test")).after(found.outcome), 451), (found, found.outcome.reply.code)
        )
        ann, bob = self.asked(it, "l@x.test")
        self.assertEqual((Status.WAITING, 1), (ann.status, ann.recipient.origin.depth))
        self.assertIsNone(bob.recipient.origin.depth)
        forwards.files["ann@x.test"] = "a@z.test"
        [later] = self.successResultOf(it.expand("s@z.test", ann.recipient))
        self.assertEqual(Recipient("a@z.test", origin=Origin("l@x.test", "owner-l@x.test")), later.recipient)

    def test_nonsense(self) -> None:
        """A file that makes no sense is not guessed at: the mail waits, and the steps say why."""
        told: list[str] = []
        it = expander(self.tables(), Forwards(ann="a@z.test\na b\n", bob=":include:/etc/passwd"))
        for name in ("ann", "bob"):
            found: Any = it.expand("s@z.test", Recipient(f"{name}@x.test"), lambda depth, text: told.append(text))
            self.assertEqual(451, self.successResultOf(found)[0].outcome.reply.code)
        self.assertIn("line 2: 'a b' is no address", told[0])
        self.assertIn("may not stand in this file", told[-2])

    def test_together(self) -> None:
        """All members of a list are asked about at the same time."""
        forwards = Forwards()
        for name in ("ann", "bob"):
            forwards.waiting[f"{name}@x.test"] = Deferred()
        it = expander(self.tables("l: ann, bob\n"), forwards)
        found: Any = it.expand("s@z.test", Recipient("l@x.test"))
        self.assertEqual(["ann@x.test", "bob@x.test"], forwards.asked)
        forwards.waiting["bob@x.test"].callback("b@z.test")
        self.assertNoResult(found)
        forwards.waiting["ann@x.test"].callback(None)
        self.assertEqual(["ann@x.test", "b@z.test"], [shown(each) for each in self.successResultOf(found)])

    def test_bothUnknown(self) -> None:
        """A list whose file is wrong waits as a whole, whatever its members' files are."""
        it = expander(self.tables("l: ann, m\nm: :include:DIR/none\n"), Forwards(ann=OSError("away")))
        [found] = self.asked(it, "l@x.test")
        self.assertEqual((Recipient("l@x.test"), 451), (found.recipient, found.outcome.reply.code))

    def test_bug(self) -> None:
        """What is no "don't know" is a bug, and comes out as one."""
        forwards = Forwards()
        forwards.waiting["ann@x.test"] = Deferred()
        found: Any = expander(self.tables(), forwards).expand("s@z.test", Recipient("ann@x.test"))
        forwards.waiting["ann@x.test"].errback(ZeroDivisionError())
        self.failureResultOf(found)
