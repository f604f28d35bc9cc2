"""L{umbcmail.accept.chunks} and L{umbcmail.accept.transaction}: BDAT, whole conversations."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.accept.test_session import FakeWriter, SessionCase
from umbcmail import reply
from umbcmail.accept.body import PIECES, Body
from umbcmail.accept.chunks import Chunk, ChunkReader, LineEnds, isChunk, parseChunk
from umbcmail.accept.grammar import CommandError
from umbcmail.envelope import Recipient

OPEN = b"EHLO c.test\r\nMAIL FROM:<s@z.test>\r\nRCPT TO:<x@y.test>\r\n"
OPENED = [250, 250, 250]


def bdat(data: bytes, last: bool = False) -> bytes:
    """A command with its chunk."""
    return b"BDAT %d%b\r\n%b" % (len(data), b" LAST" if last else b"", data)


class ChunkTests(SynchronousTestCase):
    """The pure parts."""

    def test_arguments(self) -> None:
        """A number of up to 20 digits, and LAST in any case."""
        for argument, size, last in (
            ("0", 0, False),
            ("007 last", 7, True),
            ("5  LAST", 5, True),
            ("9" * 20, 10**20 - 1, False),
        ):
            chunk = parseChunk(argument)
            self.assertEqual((chunk.size, chunk.last), (size, last))

    def test_badArguments(self) -> None:
        """All else is an error after which nothing can be read."""
        for argument in (
            "", "x", "-1", "+1", "1.0", "0x10", "1e3", "LAST", "5 LASTX", "5LAST", "5 LAST LAST", "5 6", "9" * 21,
            "5\tLAST", "5 LA\u017fT", "\u0663", "1_0", "5\nLAST", "5 LAST\x00",
        ):  # fmt: skip
            with self.assertRaises(CommandError) as caught:
                parseChunk(argument)
            self.assertIs(caught.exception.reply, reply.BAD_CHUNK)

    def test_whatIsOne(self) -> None:
        """Lines behind which octets may follow."""
        for line in (b"BDAT 5", b"bdat", b"  BDAT 5", b"BDAT\t5", b"BDAT\n", b"BDAT-5"):
            self.assertTrue(isChunk(line), line)
        for line in (b"BDATX 5", b"NOOP BDAT 5", b"BDA", b""):
            self.assertFalse(isChunk(line), line)

    def test_reader(self) -> None:
        """Octets are counted, those behind are left."""
        reader = ChunkReader(5)
        self.assertEqual((reader.feed(b"ab"), reader.finished), (b"ab", False))
        self.assertEqual((reader.feed(b"cdeRSET"), reader.finished, reader.rest), (b"cde", True, b"RSET"))
        self.assertTrue(ChunkReader(0).finished)

    @settings(max_examples=400, deadline=None)
    @given(st.lists(st.sampled_from([b"\r\n", b"\r", b"\n", b".", b"a", b"", b"x" * 9])), st.booleans())
    def test_lineEnds(self, parts: list[bytes], normalise: bool) -> None:
        """However it is cut, line ends are judged as in the whole, and the last line
        gets its end."""
        whole = b"".join(parts)
        ends = LineEnds(normalise)
        found = b"".join([ends.feed(part) for part in parts])
        end = ends.finish()
        bare = re.search(rb"(?<!\r)\n|\r(?!\n)", whole) is not None
        self.assertEqual(ends.bare, bare and not normalise)
        if normalise:
            right = re.sub(rb"\r\n|\r|\n", b"\r\n", whole)
            self.assertEqual(found + end, right if not right or right.endswith(b"\r\n") else right + b"\r\n")
        elif not bare:
            self.assertEqual(found, whole)
            self.assertEqual(end, b"" if not whole or whole.endswith(b"\r\n") else b"\r\n")

    def test_manyPiecesAreJoined(self) -> None:
        """Tiny pieces do not cost much more than their octets."""
        body = Body(b"T", 10**6, FakeWriter, lambda on: None)
        for n in range(5 * PIECES):
            body.add(b"%d" % (n % 10))
            self.assertLessEqual(len(body._chunks), PIECES + 1)
        content = body.finish()
        self.assertEqual(content.data, b"T" + b"0123456789" * (PIECES // 2))  # type: ignore[union-attr]
        self.assertEqual(body.beginning, b"0123456789" * (PIECES // 2))


class BDATCase(SessionCase):
    """Sessions with BDAT."""

    limits = {"sizeLimit": 1000}

    def content(self) -> bytes:
        """The content of the only message that was taken, without our trace field."""
        [(envelope, data)] = self.intake.taken
        self.assertEqual(envelope.size, len(data))
        trace, _, rest = data.partition(b" +0000\r\n")
        self.assertTrue(trace.startswith(b"Received: from c.test"))
        return rest


class BDATTests(BDATCase):
    """What is right."""

    def test_chunks(self) -> None:
        """Chunks are octets: dots and commands in them are content, and nothing is
        taken away; each chunk gets its reply."""
        text = OPEN + bdat(b"Subject: s\r\n\r\n.\r\n") + bdat(b".\r\nQUIT\r\n..\r\n") + bdat(b"", True) + b"NOOP\r\n"
        self.assertEqual(self.talk(text), [*OPENED, 250, 250, 250, 250])
        self.assertEqual(self.content(), b"Subject: s\r\n\r\n.\r\n.\r\nQUIT\r\n..\r\n")
        self.assertEqual(self.intake.taken[0][0].recipients, (Recipient("x@y.test"),))

    def test_pipelinedBehindLast(self) -> None:
        """Right behind the last chunk there are commands again, and the transaction
        is over."""
        text = OPEN + bdat(b"a\r\n", True) + b"MAIL FROM:<n@z.test>\r\nRCPT TO:<x@y.test>\r\n" + bdat(b"b\r\n", True)
        self.assertEqual(self.talk(text + b"RSET\r\nQUIT\r\n"), [*OPENED, 250, 250, 250, 250, 250, 221])
        self.assertEqual([data[-3:] for _, data in self.intake.taken], [b"a\r\n", b"b\r\n"])

    def test_lineEndsOverChunks(self) -> None:
        """A CRLF may be cut by the end of a chunk."""
        text = OPEN + bdat(b"a\r") + bdat(b"") + bdat(b"\nb\r") + bdat(b"\n", True)
        self.assertEqual(self.talk(text), [*OPENED, 250, 250, 250, 250])
        self.assertEqual(self.content(), b"a\r\nb\r\n")

    def test_lastLineWithoutEnd(self) -> None:
        """It gets one: DATA could not carry it on."""
        self.assertEqual(self.talk(OPEN + bdat(b"a\r\nx", True)), [*OPENED, 250])
        self.assertEqual(self.content(), b"a\r\nx\r\n")

    def test_empty(self) -> None:
        """A message of no octets at all."""
        self.assertEqual(self.talk(OPEN + b"BDAT 0\r\nBDAT 0 LAST\r\n"), [*OPENED, 250, 250])
        self.assertEqual(self.content(), b"")

    def test_resetBetween(self) -> None:
        """RSET, EHLO and HELO forget the chunks; nothing of them is in the next
        message."""
        for verb in (b"RSET", b"EHLO c.test"):
            self.setUp()
            text = OPEN + bdat(b"old\r\n") + verb + b"\r\n" + OPEN.partition(b"\r\n")[2]
            self.assertEqual(self.talk(text + bdat(b"new\r\n", True)), [*OPENED, 250, 250, 250, 250, 250])
            self.assertEqual(self.content(), b"new\r\n")

    def test_atTheLimit(self) -> None:
        """Exactly as many octets as are allowed."""
        text = OPEN + bdat(b"x" * 500) + bdat(b"x" * 498 + b"\r\n", True)
        self.assertEqual(self.talk(text), [*OPENED, 250, 250])

    def test_manyChunks(self) -> None:
        """Chunks with octets are no commands without mail, empty ones are."""
        self.assertEqual(self.talk(OPEN + bdat(b"x") * 300 + bdat(b"\r\n", True)), [*OPENED, *[250] * 301])
        self.assertEqual(self.talk(OPEN + b"BDAT 0\r\n" * 300)[-1], 421)

    def test_received(self) -> None:
        """Hops are counted over all chunks."""
        field = b"Received: x\r\n"
        self.rules_(hopLimit=2)
        text = OPEN + bdat(field + b"Rec") + bdat(b"eived: x\r\n") + bdat(field + b"\r\n", True)
        self.assertEqual(self.talk(text), [*OPENED, 250, 250, 554])
        self.assertEqual(len(self.discarded), 1)

    def rules_(self, **limits: int) -> None:
        """Begin anew with other limits."""
        self.limits = {**self.limits, **limits}
        self.setUp()

    def test_large(self) -> None:
        """Large content goes to the spool's folder."""
        self.rules_(sizeLimit=10_000_000)
        line = b"x" * 98 + b"\r\n"
        self.assertEqual(self.talk(OPEN + bdat(line * 4000) * 2 + bdat(line, True)), [*OPENED, 250, 250, 250])
        self.assertEqual(self.content(), line * 8001)
        self.assertEqual(len(self.writers), 1)

    def test_otherHosts(self) -> None:
        """A refused recipient does not matter to the others."""
        text = OPEN + b"RCPT TO:<x@w.test>\r\n" + bdat(b"a\r\n", True)
        self.assertEqual(self.talk(text), [*OPENED, 550, 250])

    def test_slow(self) -> None:
        """A last chunk that must be waited for is answered before what follows."""
        self.intake.answer = None
        session = self.connect()
        session.dataReceived(OPEN + bdat(b"a\r\n", True) + b"NOOP\r\n")
        self.said(session)
        session.dataReceived(b"BAD\r\n")
        self.assertEqual(self.codes(session), [])
        self.intake.waiting[0].callback(reply.queued("id"))
        self.assertEqual(self.codes(session), [250, 250, 500])

    @settings(max_examples=150, deadline=None)
    @given(
        st.lists(
            st.one_of(
                st.sampled_from(
                    [b"RSET\r\n", b"NOOP\r\n", b"DATA\r\n", b"BDAT 3\r\nabc", b"EHLO c.test\r\n", OPEN, OPEN]
                ),
                st.tuples(
                    st.sampled_from([b"", b"a\r\n", b"QUIT\r\n", b".\r\n", b"x\r", b"\n", b"y" * 600]), st.booleans()
                ),
            ),
            max_size=12,
        ),
        st.lists(st.integers(1, 40), max_size=60),
    )
    def test_cutsDoNotMatter(self, steps: list[bytes | tuple[bytes, bool]], sizes: list[int]) -> None:
        """However commands and chunks are mixed and cut, replies and messages are the
        same."""
        text = b"".join([step if isinstance(step, bytes) else bdat(*step) for step in steps])
        self.setUp()
        whole = self.talk(text)
        taken = [data for _, data in self.intake.taken]
        self.setUp()
        session = self.connect()
        self.said(session)
        for size in [*sizes, len(text)]:
            chunk, text = text[:size], text[size:]
            if chunk:
                session.dataReceived(chunk)
        self.assertEqual(self.codes(session), whole)
        self.assertEqual([data for _, data in self.intake.taken], taken)

    @settings(max_examples=200, deadline=None)
    @given(st.lists(st.binary(max_size=40), max_size=10), st.lists(st.integers(1, 40), max_size=40))
    def test_contentIsNeverACommand(self, chunks: list[bytes], sizes: list[int]) -> None:
        """Whatever the octets of chunks that are refused, each gets one reply."""
        text = b"EHLO c\r\n" + b"".join([bdat(data) for data in chunks]) + b"QUIT\r\n"
        self.setUp()
        session = self.connect()
        self.said(session)
        for size in [*sizes, len(text)]:
            chunk, text = text[:size], text[size:]
            if chunk:
                session.dataReceived(chunk)
        self.assertEqual(self.codes(session), [250, *[503] * len(chunks), 221])


class RefusedTests(BDATCase):
    """What is wrong: the octets are read all the same."""

    evil = b"QUIT\r\nMAIL FROM:<evil@e.test>\r\n"

    def test_outOfOrder(self) -> None:
        """Before EHLO, MAIL and RCPT, after HELO, and after the last chunk."""
        chunk = bdat(self.evil)
        self.assertEqual(self.talk(chunk + b"NOOP\r\n"), [503, 250])
        self.assertEqual(self.talk(b"EHLO c\r\n" + chunk + b"NOOP\r\n"), [250, 503, 250])
        self.assertEqual(self.talk(b"HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<x@y.test>\r\n" + chunk), [250, 250, 250, 503])
        text = b"EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<x@w.test>\r\n"
        self.assertEqual(self.talk(text + chunk + bdat(self.evil, True)), [250, 250, 550, 503, 503])
        self.assertEqual(self.talk(OPEN + bdat(b"a\r\n", True) + chunk), [*OPENED, 250, 503])
        self.assertEqual(len(self.intake.taken), 1)

    def test_halfAMessage(self) -> None:
        """A refused chunk spoils the transaction: what follows is no message."""
        text = (
            b"EHLO c\r\nMAIL FROM:<>\r\n" + bdat(b"first\r\n") + b"RCPT TO:<x@y.test>\r\n" + bdat(b"second\r\n", True)
        )
        self.assertEqual(self.talk(text), [250, 250, 503, 503, 503])
        self.assertEqual(self.intake.taken, [])

    def test_nextMessage(self) -> None:
        """After a refused last chunk, or RSET, the next message is clean."""
        bad = OPEN + bdat(b"x" * 1001)
        for end, codes in ((bdat(b"y\r\n", True), [552]), (b"RSET\r\n", [250])):
            self.setUp()
            good = OPEN.partition(b"\r\n")[2] + bdat(b"z\r\n", True)
            self.assertEqual(self.talk(bad + end + good), [*OPENED, 552, *codes, 250, 250, 250])
            self.assertEqual(self.content(), b"z\r\n")

    def test_withData(self) -> None:
        """DATA, MAIL and RCPT can't follow a BDAT, and BDAT goes on."""
        between = b"DATA\r\nMAIL FROM:<o@z.test>\r\nRCPT TO:<o@y.test>\r\nNOOP\r\n"
        text = OPEN + bdat(b"a\r\n") + between + bdat(b"b\r\n", True)
        self.assertEqual(self.talk(text), [*OPENED, 250, 503, 503, 503, 250, 250])
        self.assertEqual(self.content(), b"a\r\nb\r\n")
        self.assertEqual(self.intake.taken[0][0].recipients, (Recipient("x@y.test"),))

    def test_tooLarge(self) -> None:
        """552 to each chunk from the one that is too large, and nothing is kept."""
        text = OPEN + bdat(b"x" * 999) + bdat(self.evil) + bdat(b"y") + bdat(b"\r\n", True) + b"MAIL FROM:<>\r\n"
        self.assertEqual(self.talk(text), [*OPENED, 250, 552, 552, 552, 250])
        self.assertEqual(self.intake.taken, [])

    def test_swallowed(self) -> None:
        """A chunk some times as large as the limit is read, one far larger is not,
        and the connection ends, since nothing behind it can be read."""
        session = self.connect()
        self.said(session)
        session.dataReceived(OPEN + b"BDAT 10000\r\n")
        self.assertEqual(self.codes(session), OPENED)
        for _ in range(100):
            session.dataReceived(b"NOOP\r\n" * 16 + b"....")
        self.assertEqual(self.codes(session), [552])
        for size in (10_001, 2**31, 2**32 + 5, 2**64, 10**20 - 1):
            session.dataReceived(b"RSET\r\n")
            self.assertEqual(self.codes(session), [250])
            session.dataReceived(b"BDAT %d\r\nNOOP\r\n" % size)
            self.assertEqual(self.codes(session), [552])
            self.assertTrue(session.transport.disconnecting)
            session = self.connect()
            self.said(session)

    def test_unreadable(self) -> None:
        """Where the size can't be told the connection ends after one reply."""
        for line in (
            b"BDAT", b"BDAT x", b"BDAT -1", b"BDAT 5 LASTX", b"BDAT 18446744073709551616123", b"bdat\t5", b" BDAT",
            b"BDAT 5\nNOOP", b"BDAT \xff", b"BDAT 5 \x00", b"BDAT " + b"0" * 3000, b"BDAT 5" + b" " * 3000 + b"x",
        ):  # fmt: skip
            session = self.connect()
            session.dataReceived(OPEN)
            self.said(session)
            session.dataReceived(line + b"\r\nNOOP\r\n")
            self.assertEqual(self.codes(session), [501], line)
            self.assertTrue(session.transport.disconnecting)
            session.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.intake.taken, [])

    def test_longLineWithoutEnd(self) -> None:
        """A BDAT that never ends is cut off before it fills memory."""
        session = self.connect()
        self.said(session)
        session.dataReceived(b"BDAT 5" + b" " * 3000)
        self.assertEqual(self.codes(session), [501])
        self.assertTrue(session.transport.disconnecting)

    def test_bareLineEnds(self) -> None:
        """Refused as in DATA, also where chunks cut them; nothing is kept."""
        for chunks in (
            [b"a\nb\r\n"], [b"a\r", b"b\r\n"], [b"a\r\n", b"b\r"], [b"a", b"\nb\r\n"], [b"a\r", b"", b"\r\n"],
            [b"a\r\n.\n", b"\r\n"], [b"\n"], [b"\r"],
        ):  # fmt: skip
            self.setUp()
            codes = self.talk(OPEN + b"".join([bdat(c) for c in chunks]) + bdat(b"", True) + b"MAIL FROM:<>\r\n")
            self.assertEqual(codes[-2:], [550, 250], chunks)
            self.assertEqual(self.intake.taken, [])

    def test_normalised(self) -> None:
        """For listed networks each becomes a CRLF."""
        self.normalises = True
        text = OPEN + bdat(b"a\n.\r") + bdat(b"\nb\r") + bdat(b"c\r", True)
        self.assertEqual(self.talk(text), [*OPENED, 250, 250, 250])
        self.assertEqual(self.content(), b"a\r\n.\r\nb\r\nc\r\n")

    def test_needsTLS(self) -> None:
        """Where TLS comes first, the octets are thrown away too."""
        self.limits = {"tlsNeeded": True}
        self.setUp()
        self.assertEqual(self.talk(b"EHLO c\r\n" + bdat(self.evil) + b"NOOP\r\n"), [250, 530, 250])

    def test_errorsAreCounted(self) -> None:
        """A client that only makes errors is sent away."""
        self.assertEqual(self.talk(b"EHLO c\r\n" + bdat(b"x") * 30), [250, *[503] * 10, 421])

    def test_bug(self) -> None:
        """A bug answers 451 when the octets have been read."""
        session = self.connect()
        session.dataReceived(OPEN)
        self.said(session)
        self.patch(session._dialogue, "_begin", lambda transaction: 1 / 0)
        session.dataReceived(bdat(self.evil) + bdat(b"b\r\n", True) + b"NOOP\r\n")
        self.assertEqual(self.codes(session), [451, 451, 250])

    def test_lost(self) -> None:
        """A connection that is lost inside of a chunk leaves nothing behind."""
        self.limits = {"sizeLimit": 10_000_000}
        self.setUp()
        for head in (b"BDAT 400000 LAST\r\n", bdat(b"x" * 300_000) + b"BDAT 9 LAST\r\n"):
            session = self.connect()
            session.dataReceived(OPEN + head + b"x" * (300_000 if head[:7] == b"BDAT 40" else 5))
            session.connectionLost(Failure(ConnectionDone()))
            self.assertTrue(self.writers[-1].aborted)
        self.assertEqual(self.intake.taken, [])

    def test_drain(self) -> None:
        """When the service is stopped, the chunk that is coming is still answered."""
        session = self.connect()
        session.dataReceived(OPEN + b"BDAT 5\r\nab")
        self.said(session)
        session.drain()
        session.dataReceived(b"c\r\n")
        self.assertEqual(self.codes(session), [250, 421])

    def test_value(self) -> None:
        """A chunk as it is announced."""
        self.assertEqual(Chunk(5), Chunk(5, False, None, b""))
