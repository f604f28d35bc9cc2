"""The fuzz targets, for a moment: every parser of what others give us, any octets."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

import tests.fuzz
from tests.fuzz import TARGETS
from tests.fuzz.cuts import Input, seed

_WORDS = [
    b"\r\n", b"\r", b"\n", b".", b"\r\n.\r\n", b"\0", b"\xff", b"\xc3\xa9", b" ", b"-", b"<", b">", b'"', b"\\", b"@",
    b":", b"=", b",",
    b"250 ok\r\n", b"250-", b"354 go\r\n", b"421 bye\r\n", b"550 5.1.1 no\r\n", b"MAIL FROM:<a@b.c>\r\n",
    b"RCPT TO:<x@y.test>\r\n", b"DATA\r\n", b"BDAT 3\r\n", b"BDAT 0 LAST\r\n", b"RSET\r\n", b"EHLO c\r\n", b"QUIT\r\n",
    b"--q\r\n", b"Received: x\r\n", b"Bcc: y\r\n",
]  # fmt: skip
_pieces = st.lists(st.sampled_from(_WORDS) | st.binary(max_size=6), max_size=12).map(b"".join)


@st.composite
def inputs(draw: Any, seeds: list[bytes]) -> bytes:
    """A seed with something put in, taken out, or in its place; or anything."""
    if not draw(st.integers(0, 5)):
        return bytes(draw(st.binary(max_size=3))) + draw(_pieces)
    whole = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(whole)))
        whole[at : at + draw(st.integers(0, 4))] = draw(_pieces)
    return bytes(whole)


class FuzzTargetTests(SynchronousTestCase):
    """What C{script/fuzz} does for longer."""

    def test_all(self) -> None:
        """Every module with a target is on the list."""
        folder = Path(tests.fuzz.__file__).parent
        found = {path.stem for path in folder.glob("[a-z]*.py")} - {"cuts"}
        self.assertEqual(sorted(TARGETS), sorted(found))

    def test_input(self) -> None:
        """Pieces are the whole stream, in sizes that the input gives."""
        one = Input(seed(b"abcdefg", 5, b"\2\0"))
        self.assertEqual([b"ab", b"c", b"de", b"f", b"g"], list(one.pieces()))
        self.assertTrue(one.isSet(0) and one.isSet(2) and not one.isSet(1))
        self.assertEqual([], list(Input(b"").pieces()))


def _test(name: str) -> Any:
    target = import_module(f"tests.fuzz.{name}")
    isSlow = name in ("session", "sending", "filters", "multiplexer")

    @settings(max_examples=40 if isSlow else 150, deadline=None)
    @given(inputs(target.SEEDS))
    def test(self: FuzzTargetTests, data: bytes) -> None:
        target.check(data)

    test.__doc__ = target.check.__doc__
    return test


def _testSeeds(name: str) -> Any:
    target = import_module(f"tests.fuzz.{name}")

    def test(self: FuzzTargetTests) -> None:
        for each in target.SEEDS:
            target.check(each)

    test.__doc__ = "The seeds keep the promises of the target."
    return test


for _name in TARGETS:
    setattr(FuzzTargetTests, f"test_{_name}", _test(_name))
    setattr(FuzzTargetTests, f"test_{_name}Seeds", _testSeeds(_name))
