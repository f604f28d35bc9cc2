"""What every provider of L{umbcmail.interfaces.ISpool} promises.

A test case mixes L{SpoolContract} in and says how spools are made that share one
store, and how one dies without having stopped.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from zope.interface.verify import verifyObject

from umbcmail.content import PIECE, MemoryContent
from umbcmail.entry import (
    REMEMBERED,
    Attempted,
    Change,
    Claim,
    ContentDamaged,
    Count,
    Crowd,
    Delivery,
    Draft,
    Order,
    SpoolError,
    StaleClaim,
    Status,
)
from umbcmail.envelope import Client, Envelope, Origin, Recipient
from umbcmail.interfaces import IContent, IContentReader, IContentWriter, ISpool
from umbcmail.outcome import Outcome
from umbcmail.reply import reply
from umbcmail.selection import AGES, Selection, Sort

NOW = 1_700_000_000.123456
LEASE = 600.0
SENT = Outcome(reply(250, "2.0.0", "Taken"), "mx.example.net[192.0.2.7]:25", "end of DATA", True)
DELAYED = Outcome(reply(451, "4.7.1", "Greylisted,", "come böck"), "mx.example.net[192.0.2.7]:25", "RCPT TO", True)
FAILED = Outcome(reply(550, "5.1.1", "Nobody"), "mx.example.net[192.0.2.7]:25", "RCPT TO", True, True)


def envelope(id: str = "mx1-1", *addresses: str, **values: Any) -> Envelope:
    """A message's envelope, with everything in it that can be stored."""
    recipients = tuple(Recipient(address) for address in addresses or ("ann@example.net",))
    client = Client("2001:db8::1", 4711, "client.example.org", "client", True, "TLSv1.3", "login")
    given = {
        "client": client,
        "size": 5,
        "agent": "relay",
        "body": "8BITMIME",
        "ret": "HDRS",
        "envid": "e+3D",
        "score": 7.5,
    }
    return Envelope(id, "söme@example.org", recipients, NOW - 0.75, **{**given, **values})


def draft(whole: Envelope, queue: str = "remote", due: float = NOW) -> Draft:
    """All recipients of an envelope, before any attempt."""
    return Draft(queue, tuple(Delivery(recipient) for recipient in whole.recipients), due)


def change(claim: Claim, outcome: Outcome, due: float = NOW + 300) -> Change:
    """All recipients had the same outcome."""
    deliveries = tuple(delivery.after(outcome) for delivery in claim.entry.deliveries)
    return Change(deliveries, due, claim.entry.attempts + 1)


async def octets(content: Any) -> bytes:
    """All of a content, read by pieces."""
    reader = content.open()
    verifyObject(IContentReader, reader)
    pieces = []
    while piece := await reader.read():
        pieces.append(piece)
    reader.close()
    return b"".join(pieces)


class SpoolContract:
    """The promises.  C{self.spool} and C{self.other} share a store."""

    def makeSpool(self, owner: str) -> Any:
        """Another spool that shares the store, not yet started."""
        raise NotImplementedError

    def crash(self, spool: Any) -> None:
        """The process of this spool ends without stopping it."""
        raise NotImplementedError

    async def open(self, owner: str) -> Any:
        """A spool that has been started, and is stopped in the end."""
        spool = self.makeSpool(owner)
        await spool.start()
        self.addCleanup(spool.stop)
        return spool

    async def setUp(self) -> None:
        """Two processes."""
        self.spool = await self.open("host.1.a")
        self.other = await self.open("host.2.b")

    async def put(self, id: str = "mx1-1", queue: str = "remote", due: float = NOW, now: float = NOW) -> Claim:
        """Commit a message with one recipient."""
        whole = envelope(id)
        claims = await self.spool.commit(whole, MemoryContent(b"a\r\n\0\xff"), [draft(whole, queue, due)], now)
        return claims[0]

    async def fails(self, deferred: Any, kind: type[Exception] = SpoolError) -> Exception:
        """Wait for a failure."""
        try:
            result = await deferred
        except kind as why:
            self.assertIs(type(why), kind)
            return why
        raise AssertionError(f"{kind.__name__} expected, got {result!r}")

    async def ids(self, spool: Any = None, **selection: Any) -> list[str]:
        """Ids of the entries that are selected."""
        found = await (spool or self.spool).listing(Selection(**selection), 100)
        return [entry.id for entry in found]

    def test_interface(self) -> None:
        """It has all that the interface asks for."""
        verifyObject(ISpool, self.spool)
        verifyObject(IContentWriter, self.spool.newContent("mx1-1"))

    # Commit

    async def test_commitKeepsAll(self) -> None:
        """What has been committed comes back as it was, to all processes."""
        whole = envelope("mx1-1", "ann@example.net", '"o\'b"@ex\u00e4mple.net', smtputf8=True)
        whole = replace(whole, recipients=(*whole.recipients, Recipient("c@d.example", "NEVER", "rfc822;c+40d")))
        content = MemoryContent(b"a\r\n\0\xff")
        deliveries = (
            Delivery(whole.recipients[0], attempts=2, outcome=DELAYED),
            Delivery(whole.recipients[1], Status.FAILED, 1, FAILED),
            Delivery(whole.recipients[2]),
        )
        [claim] = await self.spool.commit(whole, content, [Draft("slow", deliveries, NOW + 0.3)], NOW)
        self.assertEqual((claim.token, claim.entry.owner), (0, ""))
        [entry] = await self.other.listing(Selection(), 10)
        self.assertEqual(entry, claim.entry)
        self.assertEqual(entry.envelope, whole)
        self.assertEqual(entry.deliveries, deliveries)
        self.assertEqual((entry.id, entry.queue, entry.created, entry.due), ("mx1-1", "slow", NOW, NOW + 0.3))
        self.assertEqual((entry.attempts, entry.held, entry.warned), (2, False, False))
        kept = await self.other.content(entry)
        verifyObject(IContent, kept)
        self.assertEqual(await octets(kept), content.data)
        self.assertEqual(kept.size, 5)

    async def test_commitSplits(self) -> None:
        """A message with several drafts becomes as many entries with ids of their
        own, each with its own recipients; DONE ones are not kept."""
        whole = envelope("mx1-1", "a@x", "b@y", "c@z")
        a, b, c = (Delivery(recipient) for recipient in whole.recipients)
        drafts = [Draft("local", (a,), NOW), Draft("remote", (b, c.after(SENT)), NOW), Draft("slow", (c,), NOW)]
        claims = await self.spool.commit(whole, MemoryContent(b"x"), drafts, NOW)
        self.assertEqual([claim.entry.id for claim in claims], ["mx1-1", "mx1-1.2", "mx1-1.3"])
        entries = await self.spool.listing(Selection(ids=("mx1-1",)), 10)
        self.assertEqual(entries, [claim.entry for claim in claims])
        self.assertEqual([entry.envelope.recipients for entry in entries], [(r,) for r in whole.recipients])
        self.assertEqual([entry.deliveries for entry in entries], [(a,), (b,), (c,)])

    async def test_commitClaimed(self) -> None:
        """Entries that are claimed from the beginning are nobody else's until the
        lease ends."""
        whole = envelope()
        [claim] = await self.spool.commit(whole, MemoryContent(b"x"), [draft(whole)], NOW, claim=True)
        self.assertEqual((claim.entry.owner, claim.lease), (self.spool.owner, NOW + LEASE))
        self.assertEqual(await self.other.claim("remote", 10, NOW + LEASE - 1), [])
        await self.spool.record(claim, change(claim, SENT), NOW)
        self.assertEqual(await self.ids(), [])

    async def test_commitRefuses(self) -> None:
        """An id that could not be a file's name, one that is in use, or a message
        without recipients to be delivered: nothing is committed."""
        await self.put("mx1-1")
        whole = envelope("mx1-2")
        done = Draft("remote", (Delivery(whole.recipients[0]).after(SENT),), NOW)
        content = MemoryContent(b"y")
        for id in ("mx1-1", "../mx1", "a/b", "", ".", "a b", "a\n", "\u00e4", "a" * 300):
            bad = envelope(id)
            await self.fails(self.spool.commit(bad, content, [draft(bad)], NOW))
        await self.fails(self.spool.commit(whole, content, [], NOW))
        await self.fails(self.spool.commit(whole, content, [draft(whole), done], NOW))
        self.assertEqual(await self.ids(), ["mx1-1"])
        [entry] = await self.spool.listing(Selection(), 10)
        self.assertEqual((await self.spool.content(entry)).size, 5)

    # Claims

    async def test_claimOrder(self) -> None:
        """Those due first come first, up to the limit, and never those that are
        not due or of another class."""
        for id, due in (("c", 3.0), ("a", 1.0), ("d", 4.0), ("b", 2.0)):
            await self.put(id, due=NOW + due)
        await self.put("e", "slow")
        first = await self.spool.claim("remote", 2, NOW + 3)
        second = await self.other.claim("remote", 9, NOW + 3)
        self.assertEqual([claim.entry.id for claim in first + second], ["a", "b", "c"])
        self.assertEqual({claim.entry.owner for claim in first}, {self.spool.owner})
        self.assertEqual([claim.lease for claim in second], [NOW + 3 + LEASE])
        self.assertEqual(await self.spool.claim("remote", 0, NOW + 9), [])

    async def test_claimOnce(self) -> None:
        """No two callers get the same entry, also when they ask at once."""
        for number in range(20):
            await self.put(f"m{number}")
        asked = [spool.claim("remote", 7, NOW) for spool in (self.spool, self.other) * 3]
        found = [claim.entry.id for claims in await gatherResults(asked) for claim in claims]
        self.assertEqual(sorted(found), sorted(f"m{number}" for number in range(20)))

    async def test_recordDelay(self) -> None:
        """After a delay the entry waits with what is known of it, unclaimed; the
        recipients that are done are gone."""
        whole = envelope("mx1-1", "a@x", "b@y", "c@z")
        [claim] = await self.spool.commit(whole, MemoryContent(b"x"), [draft(whole)], NOW, claim=True)
        a, b, c = claim.entry.deliveries
        after = (a.after(SENT), b.after(DELAYED), c.after(FAILED))
        await self.spool.record(claim, Change(after, NOW + 300.7, 4, True), NOW + 1)
        [entry] = await self.other.listing(Selection(), 10)
        self.assertEqual(entry.deliveries, after[1:])
        self.assertEqual(entry.envelope.recipients, whole.recipients[1:])
        self.assertEqual((entry.due, entry.attempts, entry.warned), (NOW + 300.7, 4, True))
        self.assertEqual((entry.created, entry.owner), (NOW, ""))
        self.assertEqual(await self.other.claim("remote", 9, NOW + 300), [])
        [again] = await self.other.claim("remote", 9, NOW + 301)
        self.assertGreater(again.token, claim.token)

    async def test_recordDone(self) -> None:
        """With its last entry the message goes, and not before."""
        whole = envelope("mx1-1", "a@x", "b@y")
        drafts = [
            Draft(queue, (Delivery(r),), NOW) for queue, r in zip(("local", "slow"), whole.recipients, strict=True)
        ]
        one, two = await self.spool.commit(whole, MemoryContent(b"x"), drafts, NOW, claim=True)
        await self.spool.record(one, change(one, SENT), NOW)
        self.assertEqual(await self.ids(), ["mx1-1.2"])
        self.assertEqual(await octets(await self.spool.content(two.entry)), b"x")
        await self.spool.record(two, change(two, SENT), NOW)
        self.assertEqual(await self.ids(), [])
        await self.fails(self.spool.content(two.entry), ContentDamaged)

    async def test_recordManyAtOnce(self) -> None:
        """Commits and records that are asked for at once do not mix each other up."""
        claims = []
        for number in range(6):
            whole = envelope(f"m{number}", f"u{number}@x")
            claims += await self.spool.commit(whole, MemoryContent(b"x"), [draft(whole)], NOW, claim=True)
        new = envelope("new")
        asked = [
            self.spool.record(c, change(c, o, NOW + n), NOW)
            for n, (c, o) in enumerate(zip(claims, (SENT, DELAYED, SENT, DELAYED, FAILED, DELAYED), strict=True))
        ]
        await gatherResults([*asked, self.spool.commit(new, MemoryContent(b"y"), [draft(new)], NOW + 1)])
        found = await self.spool.listing(Selection(), 10)
        self.assertEqual([entry.id for entry in found], ["m1", "m3", "m4", "m5", "new"])
        self.assertEqual([entry.due for entry in found], [NOW + 1, NOW + 3, NOW + 4, NOW + 5, NOW])
        self.assertEqual(found[2].deliveries[0], claims[4].entry.deliveries[0].after(FAILED))
        self.assertEqual(found[3].envelope.recipients[0].address, "u5@x")

    async def test_staleAfterTakeover(self) -> None:
        """When a lease has ended and another has taken the entry, what the first
        writes is refused, and its bounce is not committed."""
        await self.put()
        [old] = await self.spool.claim("remote", 1, NOW)
        [new] = await self.other.claim("remote", 1, NOW + LEASE)
        self.assertGreater(new.token, old.token)
        bounce = (envelope("bounce-1"), MemoryContent(b"b"), draft(envelope("bounce-1")))
        await self.fails(self.spool.record(old, change(old, SENT), NOW + LEASE, [bounce]), StaleClaim)
        self.assertEqual(await self.spool.renew([old], NOW + LEASE), [])
        await self.spool.giveBack(old, NOW)
        self.assertEqual(await self.ids(), ["mx1-1"])
        await self.other.record(new, change(new, DELAYED), NOW + LEASE)

    async def test_staleAfterOwnTakeover(self) -> None:
        """The same owner can take over from itself: the token tells the two apart."""
        await self.put()
        [old] = await self.spool.claim("remote", 1, NOW)
        [new] = await self.spool.claim("remote", 1, NOW + LEASE)
        await self.fails(self.spool.record(old, change(old, SENT), NOW + LEASE), StaleClaim)
        await self.spool.record(new, change(new, SENT), NOW + LEASE)
        self.assertEqual(await self.ids(), [])

    async def test_staleTwice(self) -> None:
        """A claim ends with its record; a second one is refused, also at once."""
        await self.put()
        [claim] = await self.spool.claim("remote", 1, NOW)
        first = self.spool.record(claim, change(claim, DELAYED), NOW)
        await self.fails(self.spool.record(claim, change(claim, SENT), NOW), StaleClaim)
        await first
        self.assertEqual(await self.ids(), ["mx1-1"])

    async def test_staleUnclaimed(self) -> None:
        """What a commit without claim gives is no right to record."""
        claim = await self.put()
        await self.fails(self.spool.record(claim, change(claim, SENT), NOW), StaleClaim)
        self.assertEqual(await self.spool.renew([claim], NOW), [])
        self.assertEqual(await self.ids(), ["mx1-1"])

    async def test_lateButOwn(self) -> None:
        """A claim whose lease has ended still holds while nobody has taken it."""
        await self.put()
        [claim] = await self.spool.claim("remote", 1, NOW)
        await self.spool.record(claim, change(claim, SENT), NOW + 10 * LEASE)
        self.assertEqual(await self.ids(), [])

    async def test_renew(self) -> None:
        """Renewed claims hold for another lease; stale ones are left out."""
        await self.put("a")
        await self.put("b")
        a, b = await self.spool.claim("remote", 2, NOW)
        await self.spool.record(b, change(b, SENT), NOW)
        [renewed] = await self.spool.renew([a, b], NOW + 500)
        self.assertEqual(renewed, replace(a, lease=NOW + 500 + LEASE))
        self.assertEqual(await self.other.claim("remote", 9, NOW + LEASE), [])
        await self.spool.record(renewed, change(a, SENT), NOW + 700)
        self.assertEqual(await self.spool.renew([], NOW), [])

    async def test_giveBack(self) -> None:
        """A claim that is given back is free at the time that is said."""
        await self.put()
        [claim] = await self.spool.claim("remote", 1, NOW)
        await self.spool.giveBack(claim, NOW + 60)
        self.assertEqual(await self.other.claim("remote", 1, NOW + 59), [])
        await self.fails(self.spool.record(claim, change(claim, SENT), NOW), StaleClaim)
        [again] = await self.other.claim("remote", 1, NOW + 60)
        self.assertEqual(again.entry.attempts, 0)

    async def test_recordBounces(self) -> None:
        """Bounces are committed together with the record."""
        await self.put()
        [claim] = await self.spool.claim("remote", 1, NOW)
        bounce = replace(envelope("bounce-1", "some@example.org", agent="bounce"), sender="")
        told = (bounce, MemoryContent(b"sorry"), draft(bounce, "local"))
        failed = claim.entry.deliveries[0].after(FAILED)
        await self.spool.record(claim, Change((replace(failed, status=Status.DONE),), NOW, 1), NOW, [told])
        [entry] = await self.spool.listing(Selection(), 10)
        self.assertEqual((entry.id, entry.queue, entry.isBounce, entry.envelope), ("bounce-1", "local", True, bounce))
        self.assertEqual(await octets(await self.spool.content(entry)), b"sorry")

    async def test_recordAside(self) -> None:
        """A record can put an entry aside, into another class."""
        await self.put()
        [claim] = await self.spool.claim("remote", 1, NOW)
        await self.spool.record(claim, replace(change(claim, DELAYED), queue="dead", held=True), NOW)
        [entry] = await self.other.listing(Selection(queues=("dead",), held=True), 10)
        self.assertEqual((entry.id, entry.deliveries[0].outcome), ("mx1-1", DELAYED))
        self.assertEqual(await self.other.claim("dead", 9, NOW + 1000), [])

    async def test_recordAlso(self) -> None:
        """Other entries of the message go with a record, unless somebody works on them;
        a record that is refused takes nothing with it."""
        whole = envelope("mx1-1", "a@x", "b@y", "c@z")
        drafts = [Draft(queue, (Delivery(r),), NOW) for queue, r in zip("abc", whole.recipients, strict=True)]
        await self.spool.commit(whole, MemoryContent(b"x"), drafts, NOW)
        [one] = await self.spool.claim("b", 1, NOW)
        [busy] = await self.other.claim("c", 1, NOW)
        also = ("mx1-1", "mx1-1.3", "gone")
        await self.spool.giveBack(one, NOW)
        await self.fails(self.spool.record(one, replace(change(one, SENT), also=also), NOW), StaleClaim)
        self.assertEqual(await self.ids(), ["mx1-1", "mx1-1.2", "mx1-1.3"])
        [one] = await self.spool.claim("b", 1, NOW)
        await self.spool.record(one, replace(change(one, SENT), also=also), NOW)
        self.assertEqual(await self.ids(), ["mx1-1.3"])
        self.assertEqual(await octets(await self.other.content(busy.entry)), b"x")
        await self.other.record(busy, change(busy, SENT), NOW)

    async def test_recordDrafts(self) -> None:
        """A record can make more entries of the message, in other classes; each has an id that
        was never there before, the content stays as long as one of them, and a claim that
        does not hold makes none."""
        whole = envelope("mx1-1", "list@x")
        await self.spool.commit(whole, MemoryContent(b"x"), [draft(whole, "local")], NOW - 5)
        [claim] = await self.spool.claim("local", 1, NOW)
        members = [Delivery(Recipient(f"{name}@y", "FAILURE", "", Origin("list@x", "owner@x"))) for name in "ab"]
        kept = Delivery(Recipient("ann@x", origin=Origin("list@x", action="|vacation ann", depth=2)))
        more = Change((kept,), NOW, 0, drafts=(Draft("remote", tuple(members), NOW + 1),))
        await self.spool.record(claim, more, NOW)
        stale = replace(more, drafts=(Draft("remote", tuple(members), NOW),))
        await self.fails(self.spool.record(claim, stale, NOW), StaleClaim)
        [local] = await self.other.claim("local", 9, NOW)
        self.assertEqual(local.entry.deliveries, (kept,))
        [remote] = await self.other.claim("remote", 9, NOW + 1)
        self.assertEqual(remote.entry.id, "mx1-1.1-1")
        self.assertEqual(remote.entry.deliveries, tuple(members))
        self.assertEqual((remote.entry.created, remote.entry.lane), (NOW - 5, "y"))
        again = replace(change(local, SENT), drafts=(Draft("remote", (kept,), NOW),))
        await self.other.record(local, again, NOW)
        self.assertEqual(await self.ids(), ["mx1-1.1-1", "mx1-1.2-1"])
        await self.other.record(remote, change(remote, SENT), NOW)
        [last] = await self.other.claim("remote", 9, NOW)
        self.assertEqual(await octets(await self.other.content(last.entry)), b"x")

    async def test_readdressAction(self) -> None:
        """What a program gets is not readdressed, and is not the same as the mailbox."""
        program = Delivery(Recipient("ann@x", origin=Origin("l@x", action="|vacation ann")))
        mailbox = Delivery(Recipient("ann@x", origin=Origin("l@x")))
        whole = envelope("mx1-1", "ann@x")
        await self.spool.commit(whole, MemoryContent(b"x"), [Draft("local", (program, mailbox), NOW)], NOW)
        self.assertEqual(1, await self.spool.readdress(Selection(), "*@x", "*@y", NOW))
        [entry] = await self.other.listing(Selection(), 10)
        found = [(d.recipient.address, d.isAction) for d in entry.deliveries]
        self.assertEqual([("ann@x", True), ("ann@y", False)], found)

    async def test_when(self) -> None:
        """Of each recipient it is known when its last attempt ended."""
        whole = envelope("mx1-1", "a@x", "b@y")
        [claim] = await self.spool.commit(whole, MemoryContent(b"x"), [draft(whole)], NOW, claim=True)
        a, b = claim.entry.deliveries
        await self.spool.record(claim, Change((a.after(DELAYED, NOW - 60), b.after(DELAYED, NOW)), NOW, 1), NOW + 1)
        [entry] = await self.other.listing(Selection(), 10)
        self.assertEqual([delivery.at for delivery in entry.deliveries], [NOW - 60, NOW])

    async def test_recordAllOrNothing(self) -> None:
        """When a bounce can't be committed the record does not happen either."""
        await self.put()
        [claim] = await self.spool.claim("remote", 1, NOW)
        bounces = [(envelope(id), MemoryContent(b"b"), draft(envelope(id))) for id in ("bounce-1", "mx1-1")]
        await self.fails(self.spool.record(claim, change(claim, SENT), NOW, bounces))
        self.assertEqual(await self.ids(), ["mx1-1"])
        await self.spool.record(claim, change(claim, SENT), NOW, bounces[:1])
        self.assertEqual(await self.ids(), ["bounce-1"])

    # Large content

    async def test_largeContent(self) -> None:
        """Large content comes back octet for octet, in the order of the writes,
        also when they do not wait for each other; and goes with its message."""
        whole = envelope()
        writer = self.spool.newContent(whole.id)
        pieces = [bytes([n]) * (7 if n % 2 else 50_001) for n in range(20)]
        written = [writer.write(piece) for piece in pieces]
        content = await writer.finish()
        await gatherResults(written)
        self.assertEqual(content.size, sum(map(len, pieces)))
        self.assertGreater(content.size, PIECE)
        self.assertEqual(await octets(content), b"".join(pieces))
        [claim] = await self.spool.commit(whole, content, [draft(whole)], NOW, claim=True)
        self.spool.discard(await self.spool.content(claim.entry))
        self.assertEqual(await octets(await self.other.content(claim.entry)), b"".join(pieces))
        await self.spool.record(claim, change(claim, SENT), NOW)
        await self.fails(self.spool.content(claim.entry), ContentDamaged)

    async def test_largeContentStaysReadable(self) -> None:
        """Who holds a content that is committed may read it on, until the message
        goes: what was open before the commit, and what is opened after it."""
        whole = envelope()
        writer = self.spool.newContent(whole.id)
        await writer.write(b"x" * 700_000)
        content = await writer.finish()
        begun, opened = content.open(), content.open()
        first = await begun.read()
        await self.spool.commit(whole, content, [draft(whole)], NOW, claim=True)
        for reader, data in ((begun, first), (opened, b""), (content.open(), b"")):
            while piece := await reader.read():
                data += piece
            reader.close()
            self.assertEqual(data, b"x" * 700_000)

    async def test_largeContentOfAnother(self) -> None:
        """The content of a message can be committed with another one, too."""
        whole = envelope()
        writer = self.spool.newContent(whole.id)
        await writer.write(b"x" * 300_000)
        [claim] = await self.spool.commit(whole, await writer.finish(), [draft(whole)], NOW, claim=True)
        bounce = (envelope("b-1"), await self.spool.content(claim.entry), draft(envelope("b-1")))
        await self.spool.record(claim, change(claim, SENT), NOW, [bounce])
        [entry] = await self.spool.listing(Selection(), 9)
        self.assertEqual(await octets(await self.spool.content(entry)), b"x" * 300_000)

    async def test_abort(self) -> None:
        """After abort nothing can be written or finished; a new one may begin."""
        writer = self.spool.newContent("mx1-1")
        await writer.write(b"x" * 100_000)
        writer.abort()
        await self.fails(writer.write(b"y"))
        await self.fails(writer.finish())

    async def test_badContentId(self) -> None:
        """Content for an id that can't be one fails when it is written."""
        writer = self.spool.newContent("../x")
        await self.fails(writer.write(b"y"))
        await self.fails(writer.finish())
        writer.abort()

    async def test_discardMemory(self) -> None:
        """Content in memory may be discarded, which does nothing."""
        content = MemoryContent(b"x")
        self.spool.discard(content)
        self.assertEqual(content.data, b"x")

    # Questions

    async def test_listing(self) -> None:
        """The oldest come first, and all conditions must hold."""
        for n, (id, queue, domain) in enumerate(
            [("d", "slow", "x.example"), ("a", "slow", "y.example"), ("c", "remote", "x.example")]
        ):
            whole = envelope(id, f"u@{domain.upper()}", f"second@other{n}.example")
            await self.spool.commit(whole, MemoryContent(b""), [draft(whole, queue)], NOW + n)
        self.assertEqual(await self.ids(), ["d", "a", "c"])
        self.assertEqual([e.id for e in await self.spool.listing(Selection(), 2)], ["d", "a"])
        self.assertEqual(await self.ids(queues=("slow",)), ["d", "a"])
        self.assertEqual(await self.ids(domain="x.example"), ["d", "c"])
        self.assertEqual(await self.ids(domain="example"), [])
        self.assertEqual(await self.ids(queues=("slow",), domain="x.example"), ["d"])
        self.assertEqual(await self.ids(ids=("a", "c", "zz")), ["a", "c"])
        self.assertEqual(await self.ids(createdBefore=NOW + 1), ["d"])
        self.assertEqual(await self.ids(createdBefore=NOW + 9, queues=("remote",)), ["c"])
        await self.spool.hold(Selection(ids=("a",)))
        self.assertEqual(await self.ids(held=True), ["a"])
        self.assertEqual(await self.ids(held=False, queues=("slow",)), ["d"])

    async def test_counts(self) -> None:
        """Each entry is counted as waiting, claimed or held; a lease that has
        ended counts as waiting."""
        self.assertEqual(await self.spool.counts(NOW), {})
        for n, id in enumerate("abcde"):
            await self.put(id, due=NOW + n, now=NOW - 10 + n)
        await self.put("s", "slow")
        await self.spool.claim("remote", 2, NOW + 9)
        await self.spool.hold(Selection(ids=("b", "c")))
        found = await self.other.counts(NOW + 9)
        self.assertEqual(found, {"remote": Count(2, 1, 2, NOW - 10), "slow": Count(1, 0, 0, NOW)})
        self.assertEqual((await self.other.counts(NOW + 9 + LEASE))["remote"], Count(3, 0, 2, NOW - 10))

    async def test_nextDue(self) -> None:
        """The earliest time among those neither held nor claimed."""
        self.assertIsNone(await self.spool.nextDue("remote"))
        for n, id in enumerate("abc"):
            await self.put(id, due=NOW + n)
        await self.spool.claim("remote", 1, NOW + 9)
        self.assertEqual(await self.spool.nextDue("remote"), NOW + 1)
        await self.spool.hold(Selection(ids=("b",)))
        self.assertEqual(await self.other.nextDue("remote"), NOW + 2)
        self.assertIsNone(await self.spool.nextDue("slow"))

    # Orders

    async def test_holdAndRelease(self) -> None:
        """What is held is not claimed, until it is released and due at once."""
        await self.put("a", due=NOW + 500)
        await self.put("b", due=NOW + 500)
        self.assertEqual(await self.spool.hold(Selection(ids=("a", "zz"))), 1)
        [claim] = await self.other.claim("remote", 9, NOW + 600)
        self.assertEqual(claim.entry.id, "b")
        self.assertEqual(await self.spool.release(Selection(), NOW + 7), 1)
        [claim] = await self.other.claim("remote", 9, NOW + 7)
        self.assertEqual((claim.entry.id, claim.entry.due, claim.entry.held), ("a", NOW + 7, False))

    async def test_releaseIsABeginning(self) -> None:
        """What is released counts as made then, so that nothing is given up for the
        time that it was held; what was not held is left alone."""
        await self.put("a")
        await self.put("b")
        await self.spool.hold(Selection(ids=("a",)))
        self.assertEqual(await self.other.release(Selection(), NOW + 9e5), 1)
        found = await self.spool.listing(Selection(), 9)
        self.assertEqual([("b", NOW), ("a", NOW + 9e5)], [(entry.id, entry.created) for entry in found])

    async def test_commitHeld(self) -> None:
        """What is committed as held is kept with its reason, and nobody takes it until
        it is released; other entries of the message go their way."""
        whole = envelope("mx1-1", "a@x", "b@y", hold="a rüle: bad", heldFor=("a@x",))
        a, b = (Delivery(recipient) for recipient in whole.recipients)
        drafts = [Draft("remote", (b,), NOW), Draft("remote", (a,), NOW, held=True)]
        claims = await self.spool.commit(whole, MemoryContent(b"x"), drafts, NOW)
        self.assertEqual([False, True], [claim.entry.held for claim in claims])
        self.assertEqual([claim.entry for claim in claims], await self.other.listing(Selection(), 9))
        self.assertEqual(["", "a rüle: bad"], [claim.entry.heldBecause for claim in claims])
        self.assertEqual(["mx1-1.2"], await self.ids(held=True))
        self.assertEqual(["mx1-1"], [c.entry.id for c in await self.other.claim("remote", 9, NOW + 9e9)])
        self.assertEqual(await self.spool.nextDue("remote"), None)
        self.assertEqual((await self.spool.counts(NOW))["remote"].held, 1)
        self.assertEqual(await self.spool.release(Selection(), NOW + 7), 1)
        [claim] = await self.other.claim("remote", 9, NOW + 7)
        self.assertEqual(
            ("mx1-1.2", "", ("a@x",)), (claim.entry.id, claim.entry.heldBecause, claim.entry.envelope.heldFor)
        )

    async def test_commitHeldAndClaimed(self) -> None:
        """Held from the beginning and claimed: when the claim ends nobody takes it."""
        whole = envelope()
        held = replace(draft(whole), held=True)
        [claim] = await self.spool.commit(whole, MemoryContent(b"x"), [held], NOW, claim=True)
        await self.spool.giveBack(claim, NOW)
        self.assertEqual([], await self.other.claim("remote", 9, NOW + 9e9))
        self.assertEqual(["mx1-1"], await self.ids(held=True))

    async def test_holdClaimed(self) -> None:
        """An attempt under way may finish; the entry is held after it, and nobody
        takes it when the lease ends."""
        await self.put("a")
        await self.put("b")
        a, b = await self.spool.claim("remote", 2, NOW)
        self.assertEqual(await self.other.hold(Selection()), 2)
        self.assertEqual(await self.other.claim("remote", 9, NOW + 2 * LEASE), [])
        await self.spool.record(a, change(a, DELAYED), NOW)
        await self.spool.record(b, change(b, SENT), NOW)
        [entry] = await self.spool.listing(Selection(), 9)
        self.assertEqual((entry.id, entry.held, entry.owner), ("a", True, ""))
        self.assertEqual(await self.other.claim("remote", 9, NOW + 2 * LEASE), [])

    async def test_retry(self) -> None:
        """Makes entries due now, but does not release them."""
        await self.put("a", due=NOW + 500)
        await self.put("b", due=NOW + 500)
        await self.put("c", due=NOW + 500)
        await self.spool.hold(Selection(ids=("b",)))
        self.assertEqual(await self.spool.retry(Selection(ids=("a", "b")), NOW), 2)
        self.assertEqual([c.entry.id for c in await self.spool.claim("remote", 9, NOW)], ["a"])

    async def test_move(self) -> None:
        """Entries change their class and keep the rest; claimed ones stay."""
        await self.put("a", due=NOW + 1)
        await self.put("b", due=NOW + 2)
        [claim] = await self.spool.claim("remote", 1, NOW + 1)
        self.assertEqual(await self.other.move(Selection(queues=("remote",)), "slow"), 1)
        [entry] = await self.spool.listing(Selection(queues=("slow",)), 9)
        self.assertEqual((entry.id, entry.due, entry.created), ("b", NOW + 2, NOW))
        self.assertEqual(await self.other.move(Selection(), "slow"), 0)
        await self.spool.record(claim, change(claim, DELAYED), NOW)
        self.assertEqual(await self.ids(queues=("remote",)), ["a"])

    async def test_remove(self) -> None:
        """Removed entries are gone with their content, and their claims are stale."""
        claim = await self.put("a")
        await self.put("b")
        [held] = await self.spool.claim("remote", 1, NOW)
        self.assertEqual(await self.other.remove(Selection(ids=("a",))), 1)
        bounce = (envelope("bounce-1"), MemoryContent(b"b"), draft(envelope("bounce-1")))
        await self.fails(self.spool.record(held, change(held, SENT), NOW, [bounce]), StaleClaim)
        await self.fails(self.spool.record(held, change(held, DELAYED), NOW), StaleClaim)
        self.assertEqual(await self.ids(), ["b"])
        await self.fails(self.spool.content(claim.entry), ContentDamaged)
        await self.put("a")

    async def test_selections(self) -> None:
        """Every condition means to the spool what it means to L{Selection.matches}."""
        for n, (id, sender, address, size, agent, score) in enumerate(
            [
                ("m1", "Ann@A.example", "x@Söme.example", 100, "delivery", None),
                ("m2", "", "Y@b.example", 2000, "bounce", 12.5),
                ("m3", "ärg@a.example", "z@b.example", 30_000, "relay", 3.0),
            ]
        ):
            whole = replace(
                envelope(id, address, "second@c.example", size=size, agent=agent, score=score), sender=sender
            )
            first, second = map(Delivery, whole.recipients)
            deliveries = (first.after(DELAYED if n else FAILED), second)
            await self.spool.commit(whole, MemoryContent(b""), [Draft("remote", deliveries, NOW)], NOW + n)
        await self.spool.claim("remote", 1, NOW)
        every = await self.spool.listing(Selection(), 9)
        for conditions in (
            {"sender": "ann@a.EXAMPLE"}, {"sender": "*@A.example"}, {"sender": "<>"}, {"sender": "ÄRG@a.example"},
            {"recipient": "y@B.example"}, {"recipient": "*@b.example"}, {"recipient": "x@söme.example"},
            {"domain": "b.example"}, {"domain": "söme.example"}, {"claimed": True}, {"claimed": False},
            {"createdAfter": NOW + 1}, {"createdBefore": NOW + 1}, {"sizeOver": 100}, {"sizeUnder": 2000},
            {"cause": "GREYLISTED, come BÖCK"}, {"cause": "mx.example.net"}, {"cause": "451 4.7.1"},
            {"cause": "nobody"}, {"bounces": True}, {"bounces": False}, {"scoreOver": 3.0}, {"scoreOver": 2.9},
            {"queues": ("slow", "remote"), "bounces": False}, {"queues": ("slow",)},
            {"cause": "%", "queues": ("remote",)},
        ):  # fmt: skip
            selection = Selection(**conditions)
            meant = [entry.id for entry in every if selection.matches(entry)]
            self.assertEqual(meant, await self.ids(**conditions), conditions)
            self.assertEqual(len(meant), await self.other.count(selection), conditions)

    async def test_pages(self) -> None:
        """Pages follow each other without a gap, by each order; who asks for what comes after an entry that is
        gone is told so."""
        for n, id in enumerate("dacbe"):
            whole = envelope(id, size=n % 3)
            await self.spool.commit(
                whole, MemoryContent(b""), [draft(whole, ("slow", "remote", "local")[n % 3], NOW - n)], NOW + n // 2
            )
        for sort, expected in ((Sort.AGE, "adbce"), (Sort.DUE, "ebcad"), (Sort.SIZE, "bdaec"), (Sort.ID, "abcde")):
            found, after = "", ""
            while page := await self.other.listing(Selection(), 2, sort, after):
                found += "".join(entry.id for entry in page)
                after = page[-1].id
            self.assertEqual(expected, found, sort)
        await self.spool.remove(Selection(ids=("c",)))
        await self.fails(self.other.listing(Selection(), 2, Sort.AGE, "c"))

    async def test_orders(self) -> None:
        """Who claims says what comes first of what is due."""
        for id, address, due, now, size, attempts in (
            ("a", "x@b.example", 3, 1, 10, 1),
            ("b", "x@a.example", 2, 3, 30, 0),
            ("c", "x@b.example", 1, 2, 20, 0),
        ):
            whole = envelope(id, address, size=size)
            one = replace(Delivery(whole.recipients[0]), attempts=attempts)
            await self.spool.commit(whole, MemoryContent(b""), [Draft("remote", (one,), NOW + due)], NOW + now)
        for order, expected in (
            (Order.DUE, "cba"), (Order.AGE, "acb"), (Order.HOST, "bca"), (Order.PRIORITY, "cba"),
        ):  # fmt: skip
            claims = await self.spool.claim("remote", 9, NOW + 9, order)
            self.assertEqual(expected, "".join(claim.entry.id for claim in claims), order)
            for claim in claims:
                await self.spool.giveBack(claim, claim.entry.due)
        claims = await self.spool.claim("remote", 9, NOW + 9, Order.RANDOM)
        self.assertEqual({"a", "b", "c"}, {claim.entry.id for claim in claims})

    async def test_hasten(self) -> None:
        """Some of what waits for a destination is due now, in its order; other destinations and what is held or
        claimed is left alone."""
        for n, (id, address) in enumerate(
            [("a", "x@one"), ("b", "x@one"), ("c", "x@two"), ("d", "x@one"), ("e", "x@one")]
        ):
            whole = envelope(id, address)
            await self.spool.commit(whole, MemoryContent(b""), [draft(whole, due=NOW + 50 - n)], NOW)
        await self.spool.hold(Selection(ids=("e",)))
        self.assertEqual(2, await self.other.hasten("remote", ["one", "three"], 2, NOW))
        self.assertEqual(["a", "b"], [claim.entry.id for claim in await self.spool.claim("remote", 9, NOW)])
        self.assertEqual(0, await self.other.hasten("slow", ["one"], 9, NOW))
        self.assertEqual(1, await self.other.hasten("remote", ["one"], 9, NOW))
        self.assertEqual(NOW + 48, (await self.spool.listing(Selection(ids=("c",)), 1))[0].due)

    async def test_latest(self) -> None:
        """Where more is due than is wanted a part of it is what has become due last; few are in their order."""
        for n in range(12):
            whole = envelope(f"m{n:02}")
            await self.spool.commit(whole, MemoryContent(b""), [draft(whole, due=NOW - 50 + n)], NOW - 60)
        claims = await self.spool.claim("remote", 8, NOW - 40)
        self.assertEqual(
            ["m00", "m01", "m02", "m03", "m04", "m05", "m10", "m09"], [claim.entry.envelope.id for claim in claims]
        )
        claims = await self.spool.claim("remote", 2, NOW - 40)
        self.assertEqual(["m06", "m07"], [claim.entry.envelope.id for claim in claims])
        claims = await self.spool.claim("remote", 8, NOW)
        self.assertEqual(["m08", "m11"], [claim.entry.envelope.id for claim in claims])

    async def test_putOff(self) -> None:
        """What waits in vain for some destinations is due later, in its order; what is held, claimed, not due before,
        is for others too, or should be delivered by some time is left alone; senders are told of the delay in time."""
        why = Outcome(reply(451, "4.4.1", "Does not answer"), "h[192.0.2.1]:25", "queue")
        made = [
            ("a", ["x@one"], {}), ("b", ["x@one", "y@One"], {}), ("c", ["x@two"], {}), ("d", ["x@one", "x@two"], {}),
            ("e", ["x@one"], {}), ("f", ["x@one"], {"deliverBy": "2000000000.0;R"}), ("g", ["x@one"], {}),
            ("h", ["x@one"], {}), ("i", ["x@one"], {}), ("j", ["x@three"], {}),
        ]  # fmt: skip
        for n, (id, addresses, values) in enumerate(made):
            whole = envelope(id, *addresses, **values)
            created = NOW - (1000 if id == "h" else 5000 if id == "i" else 10)
            await self.spool.commit(whole, MemoryContent(b""), [draft(whole, due=NOW - 50 + n)], created)
        await self.spool.hold(Selection(ids=("e",)))
        [claim] = await self.spool.claim("remote", 1, NOW)
        self.assertEqual("a", claim.entry.id)
        crowds = [
            Crowd("one", NOW - 44, NOW + 3000, 10.0, why, 3600.0), Crowd("three", NOW, NOW + 4000, 10.0, why),
        ]  # fmt: skip
        self.assertEqual((2, None), await self.other.putOff("remote", crowds, 99, None, NOW))
        entries = {entry.id: entry for entry in await self.spool.listing(Selection(), 99)}
        self.assertEqual((NOW + 3000, NOW + 4010), (entries["b"].due, entries["j"].due))
        self.assertEqual([(why, 0)] * 2, [(d.outcome, d.attempts) for d in entries["b"].deliveries])
        self.assertEqual(0, entries["b"].attempts)
        for n, (id, _, _) in enumerate(made):
            if id not in "bj":
                self.assertEqual(NOW - 50 + n, entries[id].due, id)
        self.assertEqual((3, None), await self.other.putOff("remote", [replace(crowds[0], before=NOW)], 99, None, NOW))
        entries = {entry.id: entry for entry in await self.spool.listing(Selection(), 99)}
        self.assertEqual([NOW + 3000, NOW + 2600, NOW + 3020], [entries[id].due for id in "ghi"])
        self.assertEqual((0, None), await self.other.putOff("slow", crowds, 99, None, NOW))

    async def test_called(self) -> None:
        """What is called comes before all that is due, and is not put off."""
        for n in range(4):
            whole = envelope(f"m{n}", "x@one" if n < 2 else "x@two")
            await self.spool.commit(whole, MemoryContent(b""), [draft(whole, due=NOW - 50 + n)], NOW - 60)
        self.assertEqual(1, await self.spool.hasten("remote", ["two"], 1, 0.0))
        self.assertEqual(1, await self.spool.hasten("remote", ["two"], 9, 0.0))
        self.assertEqual(0, await self.spool.hasten("remote", ["two"], 9, 0.0))
        why = Outcome(reply(451, "4.4.1", "Does not answer"), "h[192.0.2.1]:25", "queue")
        crowds = [Crowd(lane, NOW, NOW + 3000, 1.0, why) for lane in ("one", "two")]
        self.assertEqual((2, None), await self.spool.putOff("remote", crowds, 9, None, NOW))
        claims = await self.spool.claim("remote", 9, NOW)
        self.assertEqual(["m2", "m3"], [claim.entry.envelope.id for claim in claims])

    async def test_putOffByPortions(self) -> None:
        """Each call goes on where the last one ended, also among those that were due at the same time; what an
        attempt has said stays."""
        why = Outcome(reply(451, "4.4.1", "Does not answer"), "h[192.0.2.1]:25", "queue")
        for n in range(7):
            whole = envelope(f"m{n}", "x@one" if n % 2 == 0 else "x@two")
            await self.spool.commit(whole, MemoryContent(b""), [draft(whole, due=NOW - 50)], NOW - 60)
        [claim] = await self.spool.claim("remote", 1, NOW)
        said = Outcome(reply(450, "4.2.1", "Later"), "h", "RCPT", remote=True)
        [delivery] = claim.entry.deliveries
        await self.spool.record(claim, Change((delivery.after(said, NOW),), NOW - 50, 1), NOW)
        crowds = [Crowd("one", NOW, NOW + 3000, 1.0, why)]
        place, counts = None, []
        while True:
            count, place = await self.spool.putOff("remote", crowds, 3, place, NOW)
            counts.append(count)
            if place is None:
                break
        self.assertEqual([2, 1, 1], counts)
        entries = {entry.envelope.id: entry for entry in await self.spool.listing(Selection(), 99)}
        self.assertEqual([NOW + 3000, NOW - 50, NOW + 3001, NOW - 50], [entries[f"m{n}"].due for n in range(4)])
        self.assertEqual(said, entries["m0"].deliveries[0].outcome)
        self.assertEqual(why, entries["m2"].deliveries[0].outcome)

    async def test_history(self) -> None:
        """What came of the last attempts is remembered, the oldest goes first; and it goes with the entry."""
        whole = envelope()
        first = Delivery(whole.recipients[0]).after(DELAYED)
        [claim] = await self.spool.commit(whole, MemoryContent(b"x"), [Draft("remote", (first,), NOW)], NOW, claim=True)
        expected = [Attempted(NOW, 1, "ann@example.net", DELAYED)]
        for n in range(REMEMBERED + 2):
            new = Attempted(NOW + n + 0.5, 2, "b@x", replace(DELAYED, host=f"h{n}"))
            expected.append(new)
            done = replace(change(claim, DELAYED, NOW), attempts=n + 2, history=(new,))
            await self.spool.record(claim, done, NOW)
            self.assertEqual(expected[-REMEMBERED:], await self.other.history("mx1-1"))
            [claim] = await self.spool.claim("remote", 1, NOW)
        await self.spool.record(claim, change(claim, SENT), NOW)
        self.assertEqual([], await self.other.history("mx1-1"))
        await self.put()
        self.assertEqual([], await self.other.history("mx1-1"))

    async def test_summary(self) -> None:
        """Entries by destination and age, the largest first; the first row is of all."""
        empty = (0,) * (len(AGES) + 1)
        [whole] = await self.spool.summary(Selection(), 9, NOW)
        self.assertEqual(("", empty), (whole.lane, whole.ages))
        for n, (address, age) in enumerate(
            [("x@a", 0.0), ("x@b", 300.0), ("y@b", 299.0), ("z@c", 1e6), ("z@C", 86400.0)]
        ):
            each = envelope(f"m{n}", address)
            await self.spool.commit(each, MemoryContent(b""), [draft(each)], NOW - age)
        rows = await self.other.summary(Selection(), 2, NOW)
        self.assertEqual([("", 5), ("b", 2), ("c", 2)], [(row.lane, row.total) for row in rows])
        self.assertEqual((2, 1, *empty[3:], 2), rows[0].ages)
        self.assertEqual((1, 1, *empty[2:]), rows[1].ages)
        self.assertEqual((*empty[1:], 2), rows[2].ages)
        self.assertEqual(
            [3, 2, 1], [row.total for row in await self.spool.summary(Selection(createdBefore=NOW - 299), 9, NOW)]
        )

    async def test_laneFollows(self) -> None:
        """The destination is that of the first recipient that still waits."""
        whole = envelope("mx1-1", "a@one", "b@two")
        [claim] = await self.spool.commit(whole, MemoryContent(b"x"), [draft(whole)], NOW, claim=True)
        a, b = claim.entry.deliveries
        await self.spool.record(claim, Change((a.after(FAILED), b.after(DELAYED)), NOW + 9, 1), NOW)
        self.assertEqual(0, await self.spool.hasten("remote", ["one"], 9, NOW))
        self.assertEqual(["", "two"], [row.lane for row in await self.spool.summary(Selection(), 9, NOW)])
        self.assertEqual(1, await self.spool.hasten("remote", ["two"], 9, NOW))

    async def test_giveUp(self) -> None:
        """Waiting recipients have failed, and somebody is to tell the sender now; what is being attempted is left."""
        whole = envelope("a", "x@one", "y@two")
        x, y = map(Delivery, whole.recipients)
        await self.spool.commit(
            whole, MemoryContent(b""), [Draft("remote", (x.after(FAILED), y), NOW + 900, held=True)], NOW
        )
        await self.put("b", "slow", due=NOW)
        [busy] = await self.spool.claim("slow", 1, NOW)
        refused = replace(SENT, reply=reply(554, "5.7.1", "Böunced"), command="queue")
        self.assertEqual(1, await self.other.giveUp(Selection(), refused, NOW))
        [claim] = await self.spool.claim("remote", 9, NOW)
        self.assertEqual([FAILED, refused], [delivery.outcome for delivery in claim.entry.deliveries])
        self.assertEqual([Status.FAILED] * 2, [delivery.status for delivery in claim.entry.deliveries])
        self.assertEqual((1, 0), (claim.entry.deliveries[0].attempts, claim.entry.deliveries[1].attempts))
        await self.spool.record(busy, change(busy, SENT), NOW)

    async def test_readdress(self) -> None:
        """A waiting recipient goes to another address now; others of the entry stay."""
        whole = envelope("a", "x@One", "y@two", "w@three")
        x, y, w = map(Delivery, whole.recipients)
        await self.spool.commit(whole, MemoryContent(b""), [Draft("remote", (x, y, w.after(FAILED)), NOW + 900)], NOW)
        await self.put("b")
        self.assertEqual(0, await self.other.readdress(Selection(), "w@three", "w@four", NOW))
        self.assertEqual(1, await self.other.readdress(Selection(), "*@one", "*@Four", NOW))
        [entry] = await self.other.listing(Selection(domain="four"), 9)
        self.assertEqual(["x@Four", "y@two", "w@three"], [d.recipient.address for d in entry.deliveries])
        self.assertEqual(entry.envelope.recipients, tuple(d.recipient for d in entry.deliveries))
        self.assertEqual(("rfc822;x@One", NOW, "four"), (entry.deliveries[0].recipient.orcpt, entry.due, entry.lane))
        self.assertEqual(["", "example.net", "four"], [r.lane for r in await self.spool.summary(Selection(), 9, NOW)])

    async def test_readdressToAnother(self) -> None:
        """An address that is there already is not there twice."""
        whole = envelope("a", "x@one", "y@one", "X@two", "z@one")
        whom = tuple(map(Delivery, whole.recipients))
        await self.spool.commit(whole, MemoryContent(b""), [Draft("remote", whom, NOW + 900)], NOW)
        self.assertEqual(1, await self.other.readdress(Selection(), "*@one", "*@two", NOW))
        self.assertEqual(1, await self.other.readdress(Selection(), "z@two", "y@Two", NOW))
        [entry] = await self.other.listing(Selection(), 9)
        self.assertEqual(["y@two", "X@two"], [d.recipient.address for d in entry.deliveries])

    async def test_setAside(self) -> None:
        """What is damaged is out of the way until it is repaired, and no order but that brings it back."""
        await self.put("a")
        await self.put("b")
        a, b = await self.spool.claim("remote", 9, NOW)
        self.assertTrue(await self.spool.setAside(a, "no cöntent"))
        self.assertFalse(await self.spool.setAside(a, "stale"))
        self.assertEqual([("a", "no cöntent")], [(each.id, each.why) for each in await self.other.damaged()])
        self.assertEqual(0, await self.other.release(Selection(), NOW))
        self.assertEqual(0, await self.other.giveUp(Selection(ids=("a",)), FAILED, NOW))
        await self.spool.giveBack(b, NOW + 99)
        self.assertEqual([], await self.spool.claim("remote", 9, NOW))
        self.assertEqual(0, await self.other.repair(["b"], self.mktemp(), NOW))
        self.assertEqual(1, await self.other.repair([], self.mktemp(), NOW))
        self.assertEqual([], await self.other.damaged())
        self.assertEqual(["a"], [claim.entry.id for claim in await self.spool.claim("remote", 9, NOW)])

    # Beginning and end

    async def test_recover(self) -> None:
        """What a dead process had claimed is free at once; what living ones have
        claimed stays theirs."""
        dying = await self.open("host.3.c")
        for id in "abc":
            await self.put(id)
        [a] = await dying.claim("remote", 1, NOW)
        [b] = await self.other.claim("remote", 1, NOW)
        self.assertEqual(await self.spool.recover(NOW), 0)
        self.crash(dying)
        self.assertEqual(await self.spool.recover(NOW), 1)
        self.assertEqual(await self.other.recover(NOW), 0)
        found = await self.spool.claim("remote", 9, NOW)
        self.assertEqual([claim.entry.id for claim in found], ["a", "c"])
        self.assertGreater(found[0].token, a.token)
        await self.other.record(b, change(b, SENT), NOW)

    async def test_recoverAfterStop(self) -> None:
        """What a stopped process had still claimed can be freed, too."""
        await self.put()
        leaving = await self.open("host.3.c")
        await leaving.claim("remote", 1, NOW)
        await leaving.stop()
        self.assertEqual(await self.spool.recover(NOW), 1)

    async def test_ownerTwice(self) -> None:
        """Two living processes can't have one name."""
        await self.fails(self.makeSpool(self.spool.owner).start())

    async def test_closed(self) -> None:
        """Before start and after stop everything fails; nothing is lost by that."""
        claim = await self.put()
        await self.spool.stop()
        await self.spool.stop()
        for spool in (self.spool, self.makeSpool("host.9.z")):
            everything = Selection()
            for call in (
                spool.commit(envelope("m2"), MemoryContent(b""), [draft(envelope("m2"))], NOW),
                spool.claim("remote", 1, NOW), spool.renew([claim], NOW), spool.giveBack(claim, NOW),
                spool.record(claim, change(claim, SENT), NOW), spool.content(claim.entry), spool.nextDue("remote"),
                spool.listing(everything, 1), spool.counts(NOW), spool.retry(everything, NOW),
                spool.hold(everything), spool.release(everything, NOW), spool.move(everything, "slow"),
                spool.remove(everything), spool.recover(NOW), spool.hasten("remote", ["x"], 1, NOW),
                spool.history("mx1-1"), spool.count(everything), spool.summary(everything, 1, NOW),
                spool.giveUp(everything, FAILED, NOW), spool.readdress(everything, "a@b", "c@d", NOW),
                spool.setAside(claim, "x"), spool.damaged(), spool.repair([], "x", NOW),
                spool.newContent("m3").write(b"x"),
            ):  # fmt: skip
                await self.fails(call)
        self.assertEqual(await self.ids(self.other), ["mx1-1"])

    async def test_stopFinishes(self) -> None:
        """What was asked for before stop is done."""
        asked = [self.put(f"m{number}") for number in range(5)]
        pending = gatherResults([Deferred.fromCoroutine(one) for one in asked])
        await self.spool.stop()
        await pending
        self.assertEqual(len(await self.ids(self.other)), 5)
