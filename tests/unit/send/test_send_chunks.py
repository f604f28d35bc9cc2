"""Content in chunks (RFC 3030): L{umbcmail.send.chunks}, and whole conversations through
the couriers."""

from __future__ import annotations

import re
from typing import Any

from fakehop import HOP, HOP2, Link, Outcomes, World
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from umbcmail.content import MemoryContent
from umbcmail.interfaces import IContent, IContentReader
from umbcmail.send.chunks import AHEAD, LARGE, oneChunk
from umbcmail.send.lmtp import LMTPCourier
from umbcmail.send.pool import UNCHUNKED
from umbcmail.send.smtp import SMTPCourier
from umbcmail.send.stuffing import LineEnds, stuffed

HELLO = b"250-mx1\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 CHUNKING\r\n"
SLOW_HELLO = b"250-mx1\r\n250 CHUNKING\r\n"
BINARY = b"250-mx1\r\n250-PIPELINING\r\n250-BINARYMIME\r\n250 CHUNKING\r\n"
ONE = b"MAIL FROM:<me@example.org>\r\nRCPT TO:<ann@example.net>\r\n"
_COMMAND = re.compile(rb"BDAT (\d+)( LAST)?\r\n")


@implementer(IContent, IContentReader)
class Pieces:
    """Content that is not in memory, in given pieces.

    @ivar held: no piece comes before it is asked for with C{go}.
    """

    data = None

    def __init__(self, *pieces: bytes, held: bool = False) -> None:
        self.size = sum(map(len, pieces))
        self.pieces = pieces
        self.held = held
        self.at = 0
        self.closed = 0
        self.waiting: list[Deferred[bytes]] = []

    def open(self) -> Any:
        """From its beginning; by one reader at a time."""
        self.at = 0
        return self

    def read(self) -> Deferred[bytes]:
        """One piece."""
        self.at += 1
        if self.held:
            self.waiting.append(Deferred())
            return self.waiting[-1]
        return succeed(self.pieces[self.at - 1] if self.at <= len(self.pieces) else b"")

    def go(self) -> None:
        """The piece that has been asked for comes."""
        self.waiting.pop().callback(self.pieces[self.at - 1] if self.at <= len(self.pieces) else b"")

    def close(self) -> None:
        """Counted."""
        self.closed += 1


def chunks(said: bytes) -> list[tuple[bytes, bool]]:
    """What chunks there are; all must be whole."""
    found = []
    while said:
        command = _COMMAND.match(said)
        assert command is not None, said[:100]
        end = command.end() + int(command[1])
        assert end <= len(said)
        found.append((said[command.end() : end], command[2] is not None))
        said = said[end:]
    return found


class ChunksCase(SynchronousTestCase):
    """One courier."""

    kind: Any = SMTPCourier

    def setUp(self) -> None:
        """One courier."""
        self.world = World(self.kind)

    def begin(
        self, *addresses: str, hello: bytes = HELLO, content: Any = None, **more: Any
    ) -> tuple[Outcomes, Link, bytes]:
        """An attempt up to its first commands."""
        content = content or Pieces(b"Subject: s\r\n\r\n", b".b\r\n", b".\r\n")
        outcomes = self.world.deliver(*addresses, content=content, **more)
        return outcomes, *self.world.opened(hello)


class LineEndsTests(SynchronousTestCase):
    """Nobody can make a next hop see other lines than we do."""

    @given(st.lists(st.sampled_from([b"", b"a", b"\r", b"\n", b"\r\n", b".", b"\r\n.\r\n", b"\n.\n"]), max_size=12))
    @settings(max_examples=300, deadline=None)
    def test_asData(self, pieces: list[bytes]) -> None:
        """What goes in chunks, in pieces or whole, is what DATA would carry, wherever
        the pieces are cut."""
        lineEnds = LineEnds()
        data = b"".join([lineEnds.feed(piece) for piece in pieces if piece]) + lineEnds.finish()
        ((whole, last),) = chunks(oneChunk(b"".join(pieces), False))
        self.assertTrue(last)
        self.assertEqual(whole, data)
        wire = data.replace(b"\r\n.", b"\r\n..")
        self.assertEqual((b"." if data[:1] == b"." else b"") + wire + b".\r\n", stuffed(b"".join(pieces)))

    def test_binary(self) -> None:
        """BINARYMIME is left alone."""
        self.assertEqual(oneChunk(b"a\nb\r", True), b"BDAT 4 LAST\r\na\nb\r")


class ConversationTests(ChunksCase):
    """By SMTP with PIPELINING."""

    def test_file(self) -> None:
        """A file goes in chunks, after a recipient has been accepted; no dots."""
        outcomes, link, said = self.begin()
        self.assertEqual(said, ONE)
        self.assertEqual(link.answer(b"250 ok\r\n"), b"")
        said = link.answer(b"250 ok\r\n")
        self.assertEqual(chunks(said), [(b"Subject: s\r\n\r\n", False), (b".b\r\n", False), (b".\r\n", True)])
        link.answer(b"250 14 octets\r\n250 4 octets\r\n")
        self.assertIsNone(outcomes.got)
        link.answer(b"250 2.0.0 taken\r\n")
        self.assertEqual((str(outcomes.one.reply), outcomes.one.command), ("250 2.0.0 taken", "BDAT LAST"))
        self.world.deliver()
        self.assertIn(b"DATA\r\n", link.said())

    def test_memory(self) -> None:
        """What is large and in memory is one chunk; what is larger, several."""
        for size in (LARGE + 1, 600_000):
            self.setUp()
            data = b"x" * (size - 2) + b"\r\n"
            outcomes, link, said = self.begin(content=MemoryContent(data))
            self.assertEqual(said, ONE)
            found = chunks(link.answer(b"250 ok\r\n250 ok\r\n"))
            self.assertEqual(b"".join([chunk for chunk, _ in found]), data)
            self.assertEqual([last for _, last in found], [False] * (size // 262144) + [True])
            link.answer(b"250 ok\r\n" * len(found))
            self.assertEqual(outcomes.codes, [250])

    def test_small(self) -> None:
        """What is small goes by DATA, but for C{always}; large too, with C{never}."""
        for bdat, size, verb in (
            ("large", LARGE, b"DATA\r\n"),
            ("never", 600_000, b"DATA\r\n"),
            ("never", 0, b"DATA\r\n"),
            ("always", 10, b""),
        ):
            self.world = World(self.kind, bdat=bdat)
            content = MemoryContent(b"x" * size) if size else Pieces(b"x")
            _, _, said = self.begin(content=content)
            self.assertEqual(said, ONE + verb)

    def test_notOffered(self) -> None:
        """Without CHUNKING: by DATA."""
        self.assertTrue(self.begin(hello=b"250-mx1\r\n250 PIPELINING\r\n")[2].endswith(b"DATA\r\n"))

    def test_empty(self) -> None:
        """No content is an empty last chunk."""
        _, link, _ = self.begin(content=Pieces())
        self.assertEqual(link.answer(b"250 ok\r\n250 ok\r\n"), b"BDAT 0 LAST\r\n")

    @given(
        st.lists(st.lists(st.sampled_from(b"a.\r\n"), min_size=1, max_size=50).map(bytes), max_size=6),
        st.lists(st.integers(1, 20), min_size=40, max_size=40),
        st.booleans(),
    )
    @settings(max_examples=60, deadline=None)
    def test_segmentation(self, pieces: list[bytes], sizes: list[int], pipelining: bool) -> None:
        """However replies and content are cut, and with or without PIPELINING, what is
        sent is the same, and each outcome is that of its recipient."""
        self.setUp()
        hello = HELLO if pipelining else SLOW_HELLO
        outcomes, link, said = self.begin("a@d", "b@d", hello=hello, content=Pieces(*pieces), body="8BITMIME")
        cuts = iter(sizes * 20)

        def tell(octets: bytes) -> bytes:
            answer = b""
            while octets:
                size = next(cuts)
                answer += link.answer(octets[:size])
                octets = octets[size:]
            return answer

        if pipelining:
            said = tell(b"250 ok\r\n550 no\r\n250 ok\r\n")
        else:
            tell(b"250 ok\r\n")
            tell(b"550 no\r\n")
            said = tell(b"250 ok\r\n")
        found = chunks(said)
        if pipelining:
            tell(b"250-some\r\n250 more\r\n" * (len(found) - 1))
        else:
            while not found[-1][1]:
                self.assertEqual(len(chunks(said)), 1)
                said = tell(b"250 ok\r\n")
                found += chunks(said)
        self.assertEqual(b"".join([chunk for chunk, _ in found]), chunks(oneChunk(b"".join(pieces), False))[0][0])
        self.assertEqual([last for _, last in found], [False] * (len(found) - 1) + [True])
        self.assertIsNone(outcomes.got)
        tell(b"250 taken\r\n")
        self.assertEqual(outcomes.codes, [550, 250])

    def test_window(self) -> None:
        """Not more than some chunks are sent before the first of them is answered."""
        _, link, _ = self.begin(content=Pieces(*[b"x\r\n"] * 30))
        self.assertEqual(len(chunks(link.answer(b"250 ok\r\n250 ok\r\n"))), AHEAD)
        self.assertEqual(len(chunks(link.answer(b"250 ok\r\n250 ok\r\n"))), 2)

    def test_allRefused(self) -> None:
        """No recipient: no octet of the message, and the session lives."""
        outcomes, link, _ = self.begin("a@d", "b@d")
        self.assertEqual(link.answer(b"250 ok\r\n550 no\r\n550 no\r\n"), b"RSET\r\n")
        self.assertEqual(outcomes.codes, [550, 550])

    def test_mailRefused(self) -> None:
        """So it is when MAIL is refused, and no reply to DATA is waited for, nor
        would a dot be sent."""
        outcomes, link, _ = self.begin()
        self.assertEqual(link.answer(b"550 no\r\n503 no\r\n"), b"RSET\r\n")
        self.assertEqual(outcomes.codes, [550])
        outcomes, link, _ = self.begin()
        self.assertEqual(link.answer(b"550 no\r\n354 go\r\n"), b"RSET\r\n")

    def test_chunkRefused(self) -> None:
        """The first refusal counts for all; nothing more is sent, and what was sent is
        answered before the session is used again."""
        for said, codes, then in (
            (b"552 5.3.4 too big\r\n", [552, 550], b"RSET\r\n"),
            (b"452 4.3.1 full\r\n", [452, 550], b"QUIT\r\n"),
        ):
            self.setUp()
            content = Pieces(*[b"x\r\n"] * 30)
            outcomes, link, _ = self.begin("a@d", "b@d", content=content)
            link.answer(b"250 ok\r\n250 ok\r\n550 no\r\n")
            self.assertEqual(len(chunks(link.answer(b"250 ok\r\n"))), 1)
            self.assertEqual(link.answer(said), b"")
            self.assertEqual(content.closed, 1)
            self.assertIsNone(link.transport.producer)
            self.assertEqual(link.answer(b"503 no\r\n" * (AHEAD - 1)), then)
            self.assertEqual(outcomes.codes, codes)
            self.assertFalse(any(outcome.uncertain for outcome in outcomes))

    def test_lastRefused(self) -> None:
        """5xx to the last chunk, or to one before it, is final: no other hop is tried."""
        for replies in (b"250 ok\r\n250 ok\r\n550 no\r\n", b"550 no\r\n554 a\r\n554 b\r\n"):
            self.setUp()
            outcomes, link, _ = self.begin(hops=(HOP, HOP2))
            link.answer(b"250 ok\r\n250 ok\r\n")
            self.assertEqual(link.answer(replies), b"RSET\r\n")
            self.assertEqual((outcomes.codes, len(self.world.tries())), ([550], 1))

    def test_closing(self) -> None:
        """421 to a chunk: nothing has been taken, the next hop is tried."""
        for before in (b"", b"250 ok\r\n", b"250 ok\r\n250 ok\r\n"):
            self.setUp()
            outcomes, link, _ = self.begin(hops=(HOP, HOP2))
            link.answer(b"250 ok\r\n250 ok\r\n")
            link.answer(before + b"421 bye\r\n")
            self.assertIsNone(outcomes.got)
            self.assertEqual(len(self.world.tries()), 2)

    def test_lost(self) -> None:
        """Lost before the last chunk has been sent: the next hop is tried; lost after
        it: the next hop may have it, and nobody else gets it."""
        for pieces in range(5):
            self.setUp()
            content = Pieces(b"a\r\n", b"b\r\n", b"c\r\n", held=True)
            outcomes, link, _ = self.begin(hops=(HOP, HOP2), content=content)
            link.answer(b"250 ok\r\n250 ok\r\n")
            for _ in range(min(pieces, 4)):
                content.go()
            sent = chunks(link.said())
            self.assertEqual(len(sent), max(0, pieces - 1))
            link.lose()
            if pieces < 4:
                self.assertIsNone(outcomes.got)
                self.assertEqual(len(self.world.tries()), 2)
            else:
                self.assertTrue(sent[-1][1] and outcomes.one.uncertain and outcomes.one.isDelayed)
                self.assertEqual(len(self.world.tries()), 1)
            self.assertEqual(content.closed, 1)

    def test_timeouts(self) -> None:
        """While chunks are on their way sending may stand still for one time, after
        the last one the reply may take another."""
        content = Pieces(b"a\r\n", b"b\r\n", held=True)
        outcomes, link, _ = self.begin(content=content)
        link.answer(b"250 ok\r\n250 ok\r\n")
        content.go()
        content.go()
        self.world.reactor.pump([1.0] * 178)
        content.go()
        link.answer(b"250 ok\r\n")
        self.world.reactor.pump([1.0] * 590)
        self.assertIsNone(outcomes.got)
        self.world.reactor.pump([1.0] * 20)
        self.assertTrue(outcomes.one.uncertain)
        self.setUp()
        outcomes, link, _ = self.begin(content=Pieces(b"a\r\n", b"b\r\n", held=True))
        link.answer(b"250 ok\r\n250 ok\r\n")
        self.world.reactor.pump([1.0] * 185)
        self.assertTrue(outcomes.one.isDelayed and not outcomes.one.uncertain)

    def test_unreadable(self) -> None:
        """What can't be read is sent later; no last chunk is sent."""
        content = Pieces(b"a\r\n", b"b\r\n", held=True)
        outcomes, link, _ = self.begin(content=content)
        link.answer(b"250 ok\r\n250 ok\r\n")
        content.go()
        content.waiting.pop().errback(OSError("gone"))
        self.assertEqual((link.said(), str(outcomes.one.reply)[:9], content.closed), (b"", "451 4.3.0", 1))

    def test_nonsense(self) -> None:
        """Replies to nothing, and 3xx, end the session; the mail waits."""
        for replies, uncertain in ((b"250 ok\r\n250 ok\r\n", False), (b"354 go\r\n", False)):
            self.setUp()
            content = Pieces(b"a\r\n", b"b\r\n", b"c\r\n", held=True)
            outcomes, link, _ = self.begin(content=content)
            link.answer(b"250 ok\r\n250 ok\r\n")
            content.go()
            content.go()
            self.assertEqual(len(chunks(link.said())), 1)
            link.answer(replies)
            self.assertEqual((outcomes.codes, outcomes.one.uncertain, link.said()), ([451], uncertain, b""))


class AnyRepliesTests(ChunksCase):
    """Whatever is said, and whenever the link breaks."""

    @given(
        st.integers(0, 4),
        st.lists(st.sampled_from([250, 250, 250, 354, 421, 452, 500, 503, 550]), max_size=6),
        st.booleans(),
    )
    @settings(max_examples=200, deadline=None)
    def test_oneOutcome(self, pieces: int, codes: list[int], byLMTP: bool) -> None:
        """Each recipient gets an outcome; one that may have the message is sent it by
        nobody else, and one that has not is not told that it has."""
        self.world = World(LMTPCourier if byLMTP else SMTPCourier)
        content = Pieces(b"a\r\n", b"b\r\n", b"c\r\n", held=True)
        outcomes, link, _ = self.begin("a@d", "b@d", hops=(HOP, HOP2), content=content)
        link.answer(b"250 ok\r\n250 ok\r\n250 ok\r\n")
        for _ in range(pieces):
            content.go()
        link.answer(b"".join([b"%d x\r\n" % code for code in codes]))
        link.lose()
        while outcomes.got is None:
            self.world.refuse()
        sent = [outcome for outcome in outcomes if outcome.isSent or outcome.uncertain]
        if pieces < 4:
            self.assertEqual(sent, [])
            return
        due = 4 if byLMTP else 3
        if codes[:due] == [250] * due:
            self.assertEqual(outcomes.codes, [250, 250])
        if len(codes) < 3 and codes == [250] * len(codes):
            self.assertEqual([outcome.uncertain for outcome in outcomes], [True, True])
        if sent and not byLMTP:
            self.assertEqual((len(sent), len(self.world.tries())), (2, 1))


class UnknownTests(ChunksCase):
    """A hop that offers BDAT and does not know it."""

    def test_byData(self) -> None:
        """The same message goes at once by DATA and a new connection, to those who were
        accepted; so do others, for a day, after which it is tried again."""
        for code in (500, 502, 503):
            self.setUp()
            outcomes, link, _ = self.begin("a@d", "b@d")
            link.answer(b"250 ok\r\n250 ok\r\n550 no\r\n")
            self.assertEqual(link.answer(b"%d what?\r\n" % code * 3), b"")
            self.assertIsNone(outcomes.got)
            link, said = self.world.opened(HELLO)
            self.assertEqual(said, b"MAIL FROM:<me@example.org>\r\nRCPT TO:<a@d>\r\nDATA\r\n")
            self.assertTrue(link.answer(b"250 ok\r\n250 ok\r\n354 go\r\n").endswith(b"..b\r\n..\r\n.\r\n"))
            link.answer(b"250 taken\r\n")
            self.assertEqual(outcomes.codes, [250, 550])
            self.assertIn(b"BDAT is offered", self.world.logged())
            self.world.deliver(content=Pieces(b"x"))
            self.assertIn(b"DATA\r\n", link.said())
            self.world.reactor.advance(UNCHUNKED)
            self.assertEqual(self.begin()[2], ONE)

    def test_otherConnections(self) -> None:
        """Connections that are open already know it too."""
        _, one, _ = self.begin()
        second, two, _ = self.begin()
        two.answer(b"250 ok\r\n250 ok\r\n")
        two.answer(b"250 ok\r\n250 ok\r\n250 ok\r\n")
        one.answer(b"250 ok\r\n250 ok\r\n")
        one.answer(b"502 what?\r\n")
        self.assertEqual(second.codes, [250])
        self.world.deliver(content=Pieces(b"x"))
        self.assertIn(b"DATA\r\n", two.said())

    def test_later(self) -> None:
        """Such a reply to a later chunk is a refusal like any other."""
        outcomes, link, _ = self.begin()
        link.answer(b"250 ok\r\n250 ok\r\n")
        link.answer(b"250 ok\r\n503 no\r\n503 no\r\n")
        self.assertEqual(outcomes.codes, [503])


class BinaryTests(ChunksCase):
    """BINARYMIME, where hops offer it."""

    CONTENT = MemoryContent(b"MIME-Version: 1.0\r\nContent-Type: application/x\r\n\r\na\rb\nc\0")

    def test_asItIs(self) -> None:
        """Octet by octet, however small."""
        _, link, said = self.begin(hello=BINARY, content=self.CONTENT, body="BINARYMIME")
        self.assertEqual(said.partition(b"\r\n")[0], b"MAIL FROM:<me@example.org> BODY=BINARYMIME")
        self.assertEqual(chunks(link.answer(b"250 ok\r\n250 ok\r\n")), [(self.CONTENT.data, True)])

    def test_file(self) -> None:
        """Also from a file, cut wherever."""
        _, link, _ = self.begin(hello=BINARY, content=Pieces(b"a\r", b"b\n", b"\nc\r"), body="BINARYMIME")
        self.assertEqual(b"".join([c for c, _ in chunks(link.answer(b"250 ok\r\n250 ok\r\n"))]), b"a\rb\n\nc\r")

    def test_converted(self) -> None:
        """CHUNKING alone, BINARYMIME alone, or C{never}: it is converted."""
        alone = BINARY.replace(b"CHUNKING", b"8BITMIME")
        for hello, bdat in ((HELLO, "large"), (alone, "large"), (BINARY, "never")):
            self.world = World(self.kind, bdat=bdat)
            _, link, said = self.begin(hello=hello, content=self.CONTENT, body="BINARYMIME")
            self.assertNotIn(b"BODY", said)
            self.assertIn(b"base64\r\n\r\nYQ1iCmMA\r\n", link.answer(b"250 ok\r\n250 ok\r\n354 go\r\n"))


class LMTPTests(ChunksCase):
    """By LMTP: a reply for each recipient after the last chunk."""

    kind = LMTPCourier

    def test_perRecipient(self) -> None:
        """Each has its own."""
        outcomes, link, _ = self.begin("a@d", "b@d", "c@d")
        link.answer(b"250 ok\r\n250 ok\r\n550 no\r\n250 ok\r\n")
        link.answer(b"250 ok\r\n250 ok\r\n250 a\r\n")
        self.assertIsNone(outcomes.got)
        link.answer(b"452 4.2.2 full\r\n")
        self.assertEqual(outcomes.codes, [250, 550, 452])

    def test_chunkRefused(self) -> None:
        """A chunk before the last has one reply; when the last has been sent nobody
        knows how many more there are, so the session ends."""
        outcomes, link, _ = self.begin("a@d", "b@d")
        link.answer(b"250 ok\r\n250 ok\r\n250 ok\r\n")
        self.assertEqual(link.answer(b"250 ok\r\n552 no\r\n"), b"")
        self.assertEqual(outcomes.codes, [552, 552])
        self.assertEqual(self.world.courier._pools[HOP.address, HOP.port]._clients, set())

    def test_lost(self) -> None:
        """Who has been answered has an outcome, the others' is uncertain."""
        outcomes, link, _ = self.begin("a@d", "b@d")
        link.answer(b"250 ok\r\n250 ok\r\n250 ok\r\n")
        link.answer(b"250 ok\r\n250 ok\r\n250 a\r\n")
        link.lose()
        self.assertEqual([outcome.uncertain for outcome in outcomes], [False, True])
