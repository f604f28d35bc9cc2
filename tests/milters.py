"""A filter that does what a test tells it, without a socket: octets in, octets out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from umbcmail.filter import answers
from umbcmail.filter.codec import Packets
from umbcmail.filter.negotiation import ALL_ACTIONS, NR_CONN, UNANSWERED, Negotiation

CLOSE = "close"
"""In place of an answer: close the connection."""

ALL_NR = sum(UNANSWERED.values())
assert ALL_NR & NR_CONN

ALL = Negotiation(6, ALL_ACTIONS, 0)
"""The filter wants to hear all of it, and to answer all of it."""

Said = bytes | str | Callable[[bytes], Any]


class ScriptedFilter:
    """A filter.

    @ivar heard: letters and data of all that the MTA has said.
    @ivar offer: what the MTA has offered.
    @ivar isClosed: the filter has closed the connection.
    """

    def __init__(
        self,
        answer: Negotiation | bytes | str = ALL,
        script: Mapping[bytes, Said] | None = None,
    ) -> None:
        """
        @param answer: to the offer.
        @param script: what is said to a command, by its letter: octets, nothing
            (C{b""}), L{CLOSE}, or what makes one of these of its data.  All else
            is CONTINUE, where an answer is due.
        """
        self.heard: list[tuple[bytes, bytes]] = []
        self.offer: Negotiation | None = None
        self.isClosed = False
        self.script: dict[bytes, Said] = dict(script or {})
        self._answer = answer
        self._packets = Packets()

    def feed(self, octets: bytes) -> bytes:
        """Octets of the MTA.  @return: what is said to them."""
        said = b""
        for letter, data in self._packets.feed(octets):
            if self.isClosed:
                break
            self.heard.append((letter, data))
            answer = self._to(letter, data)
            if isinstance(answer, str):
                self.isClosed = True
                break
            said += answer
        return said

    def _to(self, letter: bytes, data: bytes) -> bytes | str:
        if letter == b"O":
            self.offer = Negotiation.read(data)
            return self._answer.packet() if isinstance(self._answer, Negotiation) else self._answer
        if letter == b"Q":
            return CLOSE
        if letter in self.script:
            said = self.script[letter]
            return said(data) if callable(said) else said
        if letter in b"DAK":
            return b""
        steps = self._answer.steps if isinstance(self._answer, Negotiation) else 0
        return b"" if steps & UNANSWERED.get(letter, 0) else answers.CONTINUE

    def letters(self) -> str:
        """Of all that was said, macros aside."""
        return b"".join([letter for letter, _ in self.heard if letter != b"D"]).decode()

    def said(self, letter: bytes) -> list[bytes]:
        """The data of all commands with a letter."""
        return [data for each, data in self.heard if each == letter]

    def macros(self, letter: bytes) -> dict[bytes, bytes]:
        """The last macros for a command."""
        found = [data[1:-1].split(b"\0") for data in self.said(b"D") if data[:1] == letter]
        return dict(zip(found[-1][::2], found[-1][1::2], strict=True)) if found else {}
