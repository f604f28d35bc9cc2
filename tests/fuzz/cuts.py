"""How an input of the fuzzer is read: flags, where the stream is cut, the stream."""

from __future__ import annotations

from collections.abc import Iterator


class Input:
    """One input: an octet of flags, the number of cuts, the cuts, the stream.

    @ivar flags: for the target.
    @ivar stream: octets of the peer.
    """

    def __init__(self, data: bytes) -> None:
        self.flags = data[0] if data else 0
        count = data[1] % 32 if len(data) > 1 else 0
        self._sizes = list(data[2 : 2 + count])
        self.stream = data[2 + count :]

    def isSet(self, bit: int) -> bool:
        """Whether a flag is there."""
        return bool(self.flags >> bit & 1)

    def pieces(self) -> Iterator[bytes]:
        """The stream, cut: by the sizes, and again from the first; one octet at a
        time where a size is 0."""
        at, turn = 0, 0
        while at < len(self.stream):
            size = self._sizes[turn % len(self._sizes)] or 1 if self._sizes else len(self.stream)
            yield self.stream[at : at + size]
            at += size
            turn += 1


def seed(stream: bytes, flags: int = 0, sizes: bytes = b"\x03\x00\x07\x01") -> bytes:
    """An input for the beginning."""
    return bytes((flags, len(sizes))) + sizes + stream
