"""Makes the ids of connections and messages: unique over hosts and time.

An id is the time in microseconds and a number drawn once for the process, in 31
letters and digits without vowels, so that no id becomes a word.  Ids of one
process sort by time.
"""

from __future__ import annotations

from collections.abc import Callable

_DIGITS = "0123456789bcdfghjklmnpqrstvwxyz"


def digits(number: int, width: int) -> str:
    """A number in our digits, with zeros in front."""
    text = ""
    while number or len(text) < width:
        number, digit = divmod(number, len(_DIGITS))
        text = _DIGITS[digit] + text
    return text


class Identity:
    """Makes ids when called."""

    def __init__(self, now: Callable[[], float], random: int) -> None:
        """
        @param now: seconds since 1970.
        @param random: some number, another one in each process.
        """
        self._now = now
        self._last = 0
        self._process = digits(random % len(_DIGITS) ** 4, 4)

    def __call__(self) -> str:
        """An id that was not given before, even when the clock stands or steps back."""
        self._last = max(self._last + 1, int(self._now() * 1_000_000))
        return digits(self._last, 11) + self._process
