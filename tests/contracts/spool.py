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
from umbcmail.entry import Change, Claim, Count, Delivery, Draft, Selection, SpoolError, StaleClaim, Status
from umbcmail.envelope import Client, Envelope, Recipient
from umbcmail.interfaces import IContent, IContentReader, IContentWriter, ISpool
from umbcmail.outcome import Outcome
from umbcmail.reply import reply

NOW = 1_700_000_000.123456
LEASE = 600.0
SENT = Outcome(reply(250, "2.0.0", "Taken"), "mx.example.net[192.0.2.7]:25", "end of DATA", True)
DELAYED = Outcome(reply(451, "4.7.1", "Greylisted,", "come böck"), "mx.example.net[192.0.2.7]:25", "RCPT TO", True)
FAILED = Outcome(reply(550, "5.1.1", "Nobody"), "mx.example.net[192.0.2.7]:25", "RCPT TO", True, True)


def envelope(id: str = "mx1-1", *addresses: str, **values: Any) -> Envelope:
    """A message's envelope, with everything in it that can be stored."""
    recipients = tuple(Recipient(address) for address in addresses or ("ann@example.net",))
    client = Client("2001:db8::1", 4711, "client.example.org", "client", True, "TLSv1.3", "login")
    given = {"client": client, "size": 5, "agent": "relay", "body": "8BITMIME", "ret": "HDRS", "envid": "e+3D"}
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
        await self.fails(self.spool.content(two.entry))

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
        await self.fails(self.spool.content(claim.entry))

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
        self.assertEqual(await self.ids(queue="slow"), ["d", "a"])
        self.assertEqual(await self.ids(domain="x.example"), ["d", "c"])
        self.assertEqual(await self.ids(domain="example"), [])
        self.assertEqual(await self.ids(queue="slow", domain="x.example"), ["d"])
        self.assertEqual(await self.ids(ids=("a", "c", "zz")), ["a", "c"])
        self.assertEqual(await self.ids(createdBefore=NOW + 1), ["d"])
        self.assertEqual(await self.ids(createdBefore=NOW + 9, queue="remote"), ["c"])
        await self.spool.hold(Selection(ids=("a",)))
        self.assertEqual(await self.ids(held=True), ["a"])
        self.assertEqual(await self.ids(held=False, queue="slow"), ["d"])

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
        self.assertEqual(await self.other.move(Selection(queue="remote"), "slow"), 1)
        [entry] = await self.spool.listing(Selection(queue="slow"), 9)
        self.assertEqual((entry.id, entry.due, entry.created), ("b", NOW + 2, NOW))
        self.assertEqual(await self.other.move(Selection(), "slow"), 0)
        await self.spool.record(claim, change(claim, DELAYED), NOW)
        self.assertEqual(await self.ids(queue="remote"), ["a"])

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
        await self.fails(self.spool.content(claim.entry))
        await self.put("a")

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
                spool.remove(everything), spool.recover(NOW), spool.newContent("m3").write(b"x"),
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
