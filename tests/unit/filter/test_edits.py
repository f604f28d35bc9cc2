"""What filters may change of a message: L{umbcmail.filter.message}, L{umbcmail.filter.edits}."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.milters import ALL, ALL_NR, ScriptedFilter
from tests.unit.filter.filtercase import BODY, HEADER, RECEIVED, FilterCase
from umbcmail import reply
from umbcmail.content import FileContent
from umbcmail.envelope import Recipient
from umbcmail.filter import answers
from umbcmail.filter.answers import ACCEPT
from umbcmail.filter.commands import WHOLE_LIMIT
from umbcmail.filter.message import newValue
from umbcmail.filter.negotiation import HDR_LEADSPC, WHOLE, Negotiation

FIELDS = [b"Received: from c.test~by mx.y.test; now", b"From: a@b.test", b"Subject:  two~lines", b"X-A: 1", b"x-a:2"]
FIELDS += [b"Message-ID: <1@b.test>"]
SPACES = Negotiation(6, 0x1FF, HDR_LEADSPC)


def editing(*edits: bytes, steps: Negotiation = ALL) -> ScriptedFilter:
    """A filter that makes edits and accepts."""
    said = b"".join(edits) + ACCEPT
    return ScriptedFilter(steps, {b"E": said, b"W": said})


class HeaderTests(FilterCase):
    """Fields of the header."""

    macros: Mapping[bytes, tuple[bytes, ...]] | None = None

    def edited(self, *edits: bytes, steps: Negotiation = ALL) -> list[bytes]:
        """The header after edits."""
        self.setUp()
        self.filter = editing(*edits, steps=replace(steps, macros=self.macros))
        self.begin(self.filter)
        result = self.whole()
        self.assertEqual(result[0].size, len(result[1]))
        self.assertTrue(result[1].endswith(b"\r\n\r\n" + BODY))
        return self.header(result)

    def test_add(self) -> None:
        """At the end; with a blank behind the colon unless the filter gives its own."""
        self.assertEqual(self.edited(answers.addHeader(b"X-N", b"v")), [*FIELDS, b"X-N: v"])
        self.assertEqual(self.edited(answers.addHeader(b"X-N", b"v"), steps=SPACES), [*FIELDS, b"X-N:v"])
        self.assertEqual(self.edited(answers.addHeader(b"X-N", b"  v"), steps=SPACES), [*FIELDS, b"X-N:  v"])

    def test_insert(self) -> None:
        """0 is above our Received, 1 below it; the second insert at 0 is on top; beyond the
        end is the end."""
        one, two = answers.insertHeader(0, b"One", b"1"), answers.insertHeader(0, b"Two", b"2")
        self.assertEqual(self.edited(one, two), [b"Two: 2", b"One: 1", *FIELDS])
        self.assertEqual(self.edited(answers.insertHeader(1, b"One", b"1")), [FIELDS[0], b"One: 1", *FIELDS[1:]])
        self.assertEqual(self.edited(answers.insertHeader(99, b"One", b"1")), [*FIELDS, b"One: 1"])

    def test_change(self) -> None:
        """By name and number, in any case; 0 is the first; a name that begins alike is
        another."""
        first = [*FIELDS[:3], b"X-A: new", *FIELDS[4:]]
        for index in (0, 1):
            self.assertEqual(self.edited(answers.changeHeader(index, b"X-A", b"new")), first)
        self.assertEqual(self.edited(answers.changeHeader(2, b"X-A", b"new")), [*FIELDS[:4], b"X-A: new", FIELDS[5]])
        self.assertEqual(self.edited(answers.changeHeader(3, b"X-A", b"new")), [*FIELDS, b"X-A: new"])
        self.assertEqual(self.edited(answers.changeHeader(1, b"X", b"new")), [*FIELDS, b"X: new"])
        self.assertEqual(self.edited(answers.changeHeader(2**32 - 1, b"X-A", b"")), FIELDS)

    def test_remove(self) -> None:
        """What has been removed does not count any more; from the last to the first is safe."""
        without = [*FIELDS[:3], FIELDS[5]]
        remove = [answers.changeHeader(n, b"X-A", b"") for n in (1, 2)]
        self.assertEqual(self.edited(remove[1], remove[0]), without)
        self.assertEqual(self.edited(remove[0], remove[0]), without)
        self.assertEqual(self.edited(*remove), [*FIELDS[:3], *FIELDS[4:]])

    def test_received(self) -> None:
        """Our own is not theirs: a change of the first Received is one of the client's, and
        they can't remove ours."""
        self.assertEqual(self.edited(answers.changeHeader(1, b"Received", b"")), FIELDS)
        self.assertEqual(self.edited(answers.changeHeader(1, b"Received", b"x")), [*FIELDS, b"Received: x"])

    def test_injection(self) -> None:
        """No value ends its field, whatever line ends are in it."""
        for value in (b"a\nB: c", b"a\r\nB: c", b"a\r\n\r\nB: c", b"a\n\n\nB: c\n", b"a\r\nB: c\r\n"):
            self.assertEqual(self.edited(answers.addHeader(b"X", value)), [*FIELDS, b"X: a~B: c"], value)
        self.assertEqual(self.edited(answers.addHeader(b"X", b"a\rb\n\tc")), [*FIELDS, b"X: ab~c"])
        self.assertEqual(self.edited(answers.addHeader(b"X", b"\nb")), [*FIELDS, b"X: ~b"])

    def test_next(self) -> None:
        """The next filter sees the message as this one has made it, and still not our
        Received; of a refusal behind the edits nothing is left."""
        first = editing(
            answers.insertHeader(0, b"Top", b"1"), answers.changeHeader(1, b"X-A", b""), answers.replaceBody(b"new\r\n")
        )
        second = editing(
            answers.changeHeader(1, b"X-A", b"3"),
            answers.changeHeader(1, b"Top", b"2"),
            answers.insertHeader(2, b"In", b"x"),
        )
        self.begin(first, second)
        result = self.whole()
        self.assertEqual(
            second.said(b"L"),
            [
                b"Top\x001\0",
                b"From\0a@b.test\0",
                b"Subject\0 two\n\tlines\0",
                b"x-a\x002\0",
                b"Message-ID\0<1@b.test>\0",
            ],
        )
        self.assertEqual(second.said(b"B"), [b"new\r\n"])
        self.assertEqual(self.header(result), [b"Top: 2", FIELDS[0], b"In: x", *FIELDS[1:3], b"X-A: 3", FIELDS[5]])
        self.setUp()
        refusing = ScriptedFilter(script={b"E": answers.addHeader(b"X", b"y") + answers.replyCode(b"550 5.7.1 virus")})
        self.begin(editing(answers.addHeader(b"X", b"y")), refusing)
        self.assertEqual(str(self.whole()), "550 5.7.1 virus")

    def test_odd(self) -> None:
        """Messages without a header, without a body, without an empty line."""
        for content, shown, edited in (
            (b"\r\nbody\r\n", [], b"X: y\r\n\r\nbody\r\n"),
            (b"A: b\r\n\r\n", [b"A\0b\0"], b"A: b\r\nX: y\r\n\r\n"),
            (b"A: b\r\n", [b"A\0b\0"], b"A: b\r\nX: y\r\n\r\n"),
            (b"no field\r\n\r\nbody\r\n", [], b"X: y\r\n\r\nno field\r\n\r\nbody\r\n"),
            (b"A : b\r\nno field\r\n", [b"A\0b\0"], b"A : b\r\nX: y\r\n\r\nno field\r\n"),
            (b"", [], b"X: y\r\n\r\n"),
        ):
            self.setUp()
            filter = editing(answers.addHeader(b"X", b"y"))
            self.begin(filter)
            self.hello()
            self.mail()
            envelope, whole = self.content()
            whole.data = RECEIVED + content
            whole.size = len(whole.data)
            result = self.answer(self.session.message(envelope, whole))
            self.assertEqual(filter.said(b"L"), shown, content)
            self.assertEqual(self.octets(result[1]), RECEIVED + edited)

    def test_tooLarge(self) -> None:
        """What can't be shown to a filter is refused."""
        for header in (b"X: " + b"y" * 65_000 + b"\r\n", b"X: y\r\n" * 5001):
            self.setUp()
            filter = ScriptedFilter()
            self.begin(filter)
            self.assertEqual(self.whole(header=header), reply.HEADER_TOO_LARGE)
            self.assertEqual(filter.said(b"L"), [])
            self.assertEqual(filter.letters(), "OCHMRTA")

    def test_nul(self) -> None:
        """NUL in a header is not shown, and 8-bit octets are."""
        filter = ScriptedFilter()
        self.begin(filter)
        self.whole(header=b"X\x80: a\0b\xff\r\nY: a\0b\xff\r\n")
        self.assertEqual(filter.said(b"L"), [])
        self.whole(header=b"Y: a\0b\xff\r\n")
        self.assertEqual(filter.said(b"L"), [b"Y\0ab\xff\0"])


class ValueTests(SynchronousTestCase):
    """Values of fields."""

    @given(st.binary(max_size=40), st.booleans())
    def test_anyValue(self, value: bytes, isVerbatim: bool) -> None:
        """No value ends its field, of whatever octets it is."""
        lines = newValue(value, isVerbatim).split(b"\r\n")
        self.assertFalse([line for line in lines if b"\r" in line or b"\n" in line or b"\0" in line])
        self.assertFalse([line for line in lines[1:] if line[:1] not in (b" ", b"\t") or not line.strip()])


class WholeTests(HeaderTests):
    """The same where the filter takes a message in one piece."""

    macros = {b"C": (WHOLE,)}

    def edited(self, *edits: bytes, steps: Negotiation = ALL) -> list[bytes]:
        """See L{HeaderTests.edited}."""
        found = HeaderTests.edited(self, *edits, steps=steps)
        self.assertEqual(self.filter.letters(), "OCHMRTW")
        self.assertEqual(self.filter.said(b"W"), [HEADER + b"\r\n" + BODY])
        return found

    def test_order(self) -> None:
        """What is inserted stands in the same order, whatever comes between."""
        one, two = answers.insertHeader(1, b"One", b"1"), answers.insertHeader(1, b"Two", b"2")
        self.assertEqual(self.edited(one, two), [FIELDS[0], b"Two: 2", b"One: 1", *FIELDS[1:]])
        last = answers.addHeader(b"Last", b"3")
        self.assertEqual(self.edited(one, last, two), [FIELDS[0], b"Two: 2", b"One: 1", *FIELDS[1:], b"Last: 3"])
        self.assertEqual(self.edited(one, answers.changeHeader(1, b"One", b"")), FIELDS)

    def test_inPieces(self) -> None:
        """A message that is large, has been changed by another filter, or whose header has more than fields goes as
        to all filters."""
        ours = replace(ALL, steps=ALL_NR, macros=self.macros)
        for header, body in ((HEADER, bytes(WHOLE_LIMIT)), (b"A: b\r\nno field\r\n", BODY), (b"A: b\r\n" * 5000, BODY)):
            self.setUp()
            filter = editing(answers.insertHeader(1, b"One", b"1"), steps=ours)
            self.begin(filter)
            self.whole(header=header, body=body)
            self.assertEqual(filter.letters()[-1], "E", header[:20])
        self.setUp()
        first = editing(answers.insertHeader(1, b"One", b"1"), steps=ours)
        second = editing(answers.insertHeader(1, b"Two", b"2"), steps=ours)
        self.begin(first, second)
        self.assertEqual(self.header(self.whole()), [FIELDS[0], b"Two: 2", b"One: 1", *FIELDS[1:]])
        self.assertEqual((first.letters()[-1], second.letters()[-1]), ("W", "E"))
        self.assertEqual(second.said(b"L")[0], b"One\x001\0")

    def test_newBody(self) -> None:
        """Another body takes the place of the whole one."""
        filter = editing(
            answers.insertHeader(1, b"One", b"1"),
            answers.replaceBody(b"new\r\n"),
            steps=replace(ALL, macros=self.macros),
        )
        self.begin(filter)
        result = self.whole()
        self.assertEqual(self.header(result), [FIELDS[0], b"One: 1", *FIELDS[1:]])
        self.assertTrue(result[1].endswith(b"\r\n\r\nnew\r\n"))


class EnvelopeTests(FilterCase):
    """Sender, recipients, quarantine."""

    def edited(self, *edits: bytes, **values: Any) -> Any:
        """The envelope after edits."""
        self.setUp()
        self.begin(editing(*edits))
        return self.whole(**values)[0]

    def addresses(self, *edits: bytes, **values: Any) -> list[str]:
        """The recipients after edits."""
        return [recipient.address for recipient in self.edited(*edits, **values).recipients]

    def test_recipients(self) -> None:
        """Added, removed, removed and added again; brackets or none; domains in any case."""
        add, remove = answers.addRecipient, answers.deleteRecipient
        self.assertEqual(self.addresses(add(b"<a@b.test>"), add(b"c@d.test")), ["x@y.test", "a@b.test", "c@d.test"])
        self.assertEqual(self.addresses(remove(b"x@Y.TEST"), add(b"<x@y.test>")), ["x@y.test"])
        self.assertEqual(self.addresses(add(b"<x@Y.test>")), ["x@y.test"])
        self.assertEqual(self.addresses(remove(b"<X@y.test>"), remove(b"no address\xff")), ["x@y.test"])
        two = ("x@y.test", "z@y.test")
        self.assertEqual(self.addresses(remove(b"<x@y.test>"), recipients=two), ["z@y.test"])

    def test_parameters(self) -> None:
        """NOTIFY and ORCPT of a recipient, RET and ENVID of a sender; others are left out."""
        envelope = self.edited(
            answers.addRecipient(b"<a@b.test>", b"notify=Success,DELAY orcpt=rfc822;a@b.test SIZE=1")
        )
        self.assertEqual(envelope.recipients[1], Recipient("a@b.test", "SUCCESS,DELAY", "rfc822;a@b.test"))
        envelope = self.edited(answers.changeSender(b"<n@o.test>", b"RET=HDRS ENVID=x+2B SIZE=1"))
        self.assertEqual((envelope.sender, envelope.ret, envelope.envid), ("n@o.test", "HDRS", "x+2B"))
        self.assertEqual(self.edited(answers.changeSender(b"<>")).sender, "")

    def test_nobodyLeft(self) -> None:
        """A message to nobody is thrown away, and the client hears yes."""
        self.begin(editing(answers.deleteRecipient(b"<x@y.test>")))
        self.assertEqual(self.whole(), reply.queued("c0-1"))
        self.assertEqual(len(self.discarded), 1)

    def test_quarantine(self) -> None:
        """It is no last word: the message is put aside if it is accepted."""
        envelope = self.edited(answers.quarantine(b"looks odd\r\n"))
        self.assertEqual((envelope.hold, envelope.heldFor), ("filter f0: looks odd??", ()))
        self.setUp()
        self.begin(ScriptedFilter(script={b"E": answers.quarantine(b"odd") + answers.REJECT}))
        self.assertEqual(self.whole(), reply.FILTER_REFUSES)

    def test_score(self) -> None:
        """The spam score that filters write into the header is in the envelope, the highest of
        several; what a client has written is not."""
        for name, value, score in (
            (b"X-Spam-Status", b"Yes, score=17.5 required=5.0 tests=A,\n\tB", 17.5),
            (b"X-Spam-Status", b"No, hits=1", None),
            (b"x-spam-score", b"-0.1", -0.1),
            (b"X-Spam-Score", b"8 (xxxxxxxx)", 8.0),
            (b"X-Spam-Score-Int", b"80", None),
        ):
            self.assertEqual(self.edited(answers.addHeader(name, value)).score, score, value)
        two = (answers.addHeader(b"X-Spam-Score", b"3"), answers.insertHeader(0, b"X-Spam-Score", b"12"))
        self.assertEqual(self.edited(*two).score, 12)
        forged = b"X-Spam-Score: 99\r\n"
        self.assertIsNone(self.edited(answers.addHeader(b"X", b"y"), header=forged).score)
        self.assertEqual(self.edited(answers.changeHeader(1, b"X-Spam-Score", b"1"), header=forged).score, 1)

    def test_heldForOne(self) -> None:
        """A message that is on hold for one recipient is not on hold without it."""
        two = ("x@y.test", "z@y.test")
        held = {"recipients": two, "hold": "rule", "heldFor": ("x@y.test",)}
        self.assertEqual(self.edited(answers.deleteRecipient(b"x@y.test"), **held).hold, "")
        envelope = self.edited(answers.deleteRecipient(b"z@y.test"), **held)
        self.assertTrue(envelope.isHeldFor(envelope.recipients[0]))


class BodyTests(FilterCase):
    """New bodies."""

    def replaced(self, *chunks: bytes) -> Any:
        """What comes of a new body in chunks."""
        self.setUp()
        self.begin(editing(*(answers.replaceBody(chunk) for chunk in chunks)))
        return self.whole()

    def test_chunks(self) -> None:
        """They are joined as they are, line ends across chunks included; an empty one is an
        empty body."""
        self.assertTrue(self.replaced(b"one\r", b"\ntwo\r\n")[1].endswith(b"\r\n\r\none\r\ntwo\r\n"))
        self.assertTrue(self.replaced(b"")[1].endswith(b"<1@b.test>\r\n\r\n"))

    def test_eightBit(self) -> None:
        """What was declared of the old body holds for the new one."""
        self.assertEqual(self.replaced(b"x")[0].body, "7BIT")
        self.assertEqual(self.replaced(b"\xe4")[0].body, "8BITMIME")

    def test_mixed(self) -> None:
        """Other edits may stand between."""
        self.begin(editing(answers.replaceBody(b"a"), answers.addHeader(b"X", b"y"), answers.replaceBody(b"b")))
        self.assertTrue(self.whole()[1].endswith(b"\r\nX: y\r\n\r\nab"))

    def test_large(self) -> None:
        """Large ones go to the place for large content, and what is not needed is given up."""
        large = bytes(range(1, 256)) * 2000
        self.begin(editing(answers.replaceBody(large)), editing(answers.addHeader(b"X", b"y")))
        result = self.whole()
        self.assertTrue(result[1].endswith(b"\r\nX: y\r\n\r\n" + large))
        self.assertEqual(len(self.discarded), 2, "the client's content, and the body alone")
        self.assertEqual(self.filters["f1"].said(b"B")[-1][-9:], large[-9:])

    def test_unwritable(self) -> None:
        """No room for it: try again later."""
        from umbcmail.queue.spool.memory import MemorySpool

        self.newContent = MemorySpool("closed").newContent
        self.begin(editing(answers.replaceBody(bytes(500_000))))
        self.assertEqual(self.whole(), reply.LOCAL_ERROR)

    def test_file(self) -> None:
        """A message that is a file is read by pieces, and its header found in it."""
        path = self.mktemp()
        body = b"line\r\n" * 150_000
        with open(path, "wb") as file:
            file.write(RECEIVED + HEADER + b"\r\n" + body)
        from twisted.internet.defer import maybeDeferred

        filter = editing(answers.addHeader(b"X", b"y"))
        self.begin(filter)
        self.hello()
        self.mail()
        envelope, _ = self.content()
        content = FileContent(path, len(RECEIVED + HEADER) + 2 + len(body), maybeDeferred)
        result = self.answer(self.session.message(envelope, content))
        self.assertEqual(b"".join(filter.said(b"B")), body)
        self.assertLessEqual(max(map(len, filter.said(b"B"))), 65535)
        self.assertEqual(self.octets(result[1]), RECEIVED + HEADER + b"X: y\r\n\r\n" + body)
        self.assertEqual(self.discarded, [content])
