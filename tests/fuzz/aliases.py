"""Files of aliases, tables of virtual addresses, C{.forward}: L{umbcmail.aliases},
L{umbcmail.route.virtual}, and the walk through all of them (L{umbcmail.route.walk})."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import Deferred, succeed

from umbcmail.address import parsePath
from umbcmail.aliases import LINE_LIMIT, MISTAKES, Kind, membersOf
from umbcmail.entry import Delivery
from umbcmail.envelope import Recipient
from umbcmail.route.aliasfiles import AliasFiles, Known
from umbcmail.route.expander import Expander
from umbcmail.route.meaning import Meaning, Terms
from umbcmail.route.walk import Bounds

MOST = 50

SEEDS = [
    b"a: b, c\nb: \\b, :include:/l\n\0a@v.test a\n@w.test %1%3@x.test, @y.test\n\0# c\n\\a, a@z.test\n|prog x\n",
    b'a: "|x \\"y\\"", /dev/null\nowner-a: b\n  b2,\n\tc\n\0a@v.test error:nouser\n a@x.test\n\0:include:/f\n/h/x\n',
    b'"x y": c\nc: a\na: c, "a, b"@z.test, Bob <b@z.test>\n\0@.v.test a+%2@x.test\n\0a\n',
    b"a: :include:/l\nb: :include:/m\n\0\0b, :include:/l, a+b\n",
]


class _Files:
    """What L{AliasFiles} is for a walk."""

    isBroken = False

    def __init__(self, known: Known) -> None:
        self.known = known


class _Forwards:
    """The same for everybody."""

    def __init__(self, text: str) -> None:
        self._text = text

    def forwardOf(self, address: str) -> Deferred[str | None]:
        """See L{umbcmail.interfaces.IForwards}."""
        return succeed(self._text)


def _known(aliases: str, virtual: str, forward: str) -> Known:
    texts = {"aliases": aliases, "virtual": virtual, "/l": forward, "/m": forward}

    def read(path: str) -> list[str]:
        try:
            return texts[path].splitlines(True)
        except KeyError:
            raise FileNotFoundError(2, "No such file") from None

    known = Known()
    reader: Any = known._reader
    reader.read = read
    known.aliases._read = read
    known.read(["aliases"], ["virtual"])
    return known


def check(data: bytes) -> None:
    """Whatever stands in the files: what is read is what is said, mistakes are bounded, and each walk ends
    with deliveries to what is an address, within its bounds."""
    texts = [part.decode("utf-8", "replace") for part in data.split(b"\0", 2)]
    aliases, virtual, forward = [*texts, "", ""][:3]
    known = _known(aliases, virtual, forward)
    assert len(known.mistakes) <= 2 * MISTAKES + 2 and len(known.aliases.doubts) <= MISTAKES
    for name, alias in known.aliases.entries.items():
        assert name == alias.name.lower() and alias.targets and all(target.text for target in alias.targets)
        assert all("\n" not in target.text and len(target.text) <= LINE_LIMIT for target in alias.targets)
    targets, _ = membersOf(forward.splitlines(), (Kind.INCLUDE,))
    assert all(target.kind is not Kind.INCLUDE for target in targets)
    names = [name if "@" in name else f"{name}@x.test" for name in [*known.aliases.entries][:5]]
    keys = [f"q{key}" if key.startswith("@") else key for key in [*known.virtual._entries][:5]]
    terms = Terms(lambda domain: domain == "x.test", lambda domain: domain == "v.test", "x.test", programUser="prog")
    for forwards in (None, _Forwards(forward)):
        meaning = Meaning(cast(AliasFiles, _Files(known)), terms, forwards)
        expander = Expander(meaning, Bounds(10, MOST), "x.test")
        for address in [*names, *keys, "a+b@x.test", "a@v.test"]:
            _walk(expander, address)


def _walk(expander: Expander, address: str) -> None:
    expander.check("s@z.test", Recipient(address))
    found = expander.expand("s@z.test", Recipient(address, "SUCCESS,FAILURE"), lambda depth, text: None)
    if isinstance(found, Deferred):
        results: list[Any] = []
        found.addCallback(results.append)
        assert results, "the walk does not end"
        found = results[0]
    if found is None:
        return
    assert 0 < len(found) <= MOST + 1
    keys = set()
    for delivery in found:
        assert isinstance(delivery, Delivery)
        recipient, origin = delivery.recipient, delivery.recipient.origin
        keys.add((recipient.address.lower(), origin and origin.action, delivery.outcome and delivery.outcome.reply))
        if delivery.outcome is None:
            assert parsePath(f"<{recipient.address}>")[0], recipient
    assert len(keys) == len(found)
