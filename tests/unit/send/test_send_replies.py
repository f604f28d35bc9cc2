"""Tests of L{umbcmail.send.replies}."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.send.replies import KEPT_LINES, LINE_LIMIT, ReplyReader, toReply

TEXTS = st.binary(max_size=40).map(lambda text: text.replace(b"\n", b"").replace(b"\r", b""))
REPLIES = st.lists(st.tuples(st.integers(200, 599), st.lists(TEXTS, min_size=1, max_size=4)), max_size=6)


def wire(code: int, lines: list[bytes]) -> bytes:
    """A reply as a server sends it."""
    last = len(lines) - 1
    return b"".join(b"%d%b%b\r\n" % (code, b"-" if n < last else b" ", line) for n, line in enumerate(lines))


class ReplyReaderTests(SynchronousTestCase):
    """Octets become replies or an error."""

    @settings(deadline=None)
    @given(REPLIES, st.data())
    def test_segmentation(self, replies: list[tuple[int, list[bytes]]], data: st.DataObject) -> None:
        """However the octets are cut, the same replies come out."""
        octets = b"".join(wire(*each) for each in replies)
        reader, got, at = ReplyReader(), [], 0
        while at < len(octets):
            size = data.draw(st.integers(1, 30))
            got += reader.feed(octets[at : at + size])
            at += size
        self.assertEqual(got, replies)
        self.assertFalse(reader.broken or reader.pending)

    @settings(deadline=None)
    @given(st.lists(st.binary(max_size=50), max_size=20))
    def test_anything(self, pieces: list[bytes]) -> None:
        """Whatever comes, no exception, and codes are in their range."""
        reader = ReplyReader()
        for piece in pieces:
            for code, lines in reader.feed(piece):
                self.assertTrue(200 <= code < 600 and lines)
                self.assertTrue(toReply((code, lines)).wire.isascii())

    def test_nonsense(self) -> None:
        """What is no reply code is an error, not a success."""
        for line in (
            b"2_5 ok",
            b"25 ok",
            b"+250 ok",
            b"999 ok",
            b"100 ok",
            b"hello",
            b"250ok",
            b"250\tok",
            b"",
            b" 250 a",
        ):
            reader = ReplyReader()
            self.assertEqual((reader.feed(line + b"\r\n"), reader.broken), ([], True), line)

    def test_codesDiffer(self) -> None:
        """All lines of a reply have one code."""
        for octets in (b"250-a\r\n550 b\r\n", b"550-a\r\n250-b\r\n250 c\r\n"):
            reader = ReplyReader()
            self.assertEqual((reader.feed(octets), reader.broken), ([], True))

    def test_goodBeforeNonsense(self) -> None:
        """What came before the nonsense counts, nothing behind it does."""
        reader = ReplyReader()
        self.assertEqual(reader.feed(b"250 a\r\nwhat\r\n250 b\r\n"), [(250, [b"a"])])
        self.assertTrue(reader.broken)
        self.assertEqual(reader.feed(b"250 c\r\n"), [])

    def test_shortForms(self) -> None:
        """Codes without text, and a bare LF as line end, are taken."""
        octets = b"250\r\n250\n250-\r\n250\r\n220 a\n"
        self.assertEqual(ReplyReader().feed(octets), [(250, [b""]), (250, [b""]), (250, [b"", b""]), (220, [b"a"])])

    def test_bounds(self) -> None:
        """Long lines, many lines and much text are errors, also without an end."""
        for octets in (
            b"250 " + b"x" * LINE_LIMIT + b"\r\n",
            b"2" * (LINE_LIMIT + 1),
            b"250-x\r\n" * 101,
            (b"250-" + b"x" * 2000 + b"\r\n") * 40,
        ):
            reader = ReplyReader()
            reader.feed(octets)
            self.assertTrue(reader.broken)


class ToReplyTests(SynchronousTestCase):
    """Remote replies become values."""

    def test_enhanced(self) -> None:
        """A well-formed enhanced code of the right class is taken from the text,
        else one is made up."""
        for code, text, enhanced, rest in (
            (250, b"2.0.0 taken", "2.0.0", "taken"),
            (550, b"5.1.1", "5.1.1", ""),
            (550, b"4.1.1 odd", "5.0.0", "4.1.1 odd"),
            (450, b"later", "4.0.0", "later"),
            (250, b"2.0.0taken", "2.0.0", "2.0.0taken"),
            (451, b"4.7.1234 x", "4.0.0", "4.7.1234 x"),
        ):
            reply = toReply((code, [text]))
            self.assertEqual((reply.code, reply.enhanced, reply.lines), (code, enhanced, (rest,)))

    def test_lines(self) -> None:
        """The enhanced code is taken out of each line, and only some lines are kept."""
        reply = toReply((550, [b"5.7.1 a", b"5.7.1 b", b"c"] + [b"d"] * 20))
        self.assertEqual((reply.enhanced, reply.lines[:3], len(reply.lines)), ("5.7.1", ("a", "b", "c"), KEPT_LINES))

    def test_harmless(self) -> None:
        """Nothing but printable ASCII, and not too much of it, gets through."""
        reply = toReply((250, [b"a\x1b[1m\xc3\xa9\0" + b"x" * 1000]))
        self.assertEqual(reply.text[:10], "a?[1m???xx")
        self.assertLessEqual(len(reply.text), 512)
