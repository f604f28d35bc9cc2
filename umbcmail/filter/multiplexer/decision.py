"""What comes of the opinions of all modules, and how an MTA is told.  Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from umbcmail.examination import Action, Opinion, Rank
from umbcmail.filter import answers

Field = tuple[bytes, bytes]

LATER = "Service unavailable, try again later"
_TEXT_LIMIT = 400
_UNSAFE = re.compile("[^ -~]")
_COMMENT = re.compile(rb"\((?:[^()\\]|\\.)*\)")


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a message.

    @ivar opinion: the one that decides.
    @ivar rank: the highest.
    @ivar score: of spam, as far as it is known.
    @ivar headers: all that are to be added.
    """

    opinion: Opinion
    rank: Rank = Rank.CLEAN
    score: float | None = None
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def action(self) -> Action:
        """Of the opinion that decides."""
        return self.opinion.action


def merged(opinions: Iterable[Opinion]) -> Decision:
    """Of all opinions one decision.

    What ends a message goes first: a virus before spam, a refusal before throwing it away.
    Then comes a delay, as somebody has not examined it, then a quarantine.
    """
    opinions = list(opinions)
    order = (Action.REFUSE, Action.DISCARD)
    ending = [each for each in opinions if each.action in order]
    if ending:
        decides = min(ending, key=lambda each: (-each.rank, order.index(each.action)))
    else:
        ranked = sorted(opinions, key=lambda each: -each.rank)
        softer = [each for action in (Action.DELAY, Action.QUARANTINE) for each in ranked if each.action is action]
        decides = softer[0] if softer else (ranked[0] if ranked else Opinion())
    scores = [each.score for each in opinions if each.score is not None]
    return Decision(
        decides,
        max((each.rank for each in opinions), default=Rank.CLEAN),
        max(scores, default=None),
        tuple(field for each in opinions for field in each.headers),
    )


def forged(fields: Sequence[Field], claims: Sequence[bytes], servers: Iterable[str]) -> list[int]:
    """Positions of fields that only we may have set.

    @param claims: beginnings of their names, in lower case.
    @param servers: names of ours in Authentication-Results (RFC 8601 section 5).
    """
    names = tuple(claims)
    ours = {server.lower().encode() for server in servers}
    found = []
    for at, (name, value) in enumerate(fields):
        key = name.rstrip().lower()
        if key.startswith(names) or (key == b"authentication-results" and _server(value) in ours):
            found.append(at)
    return found


def _server(value: bytes) -> bytes:
    """The authserv-id of an Authentication-Results field, in lower case."""
    value = value[:1000]  # comments may be nested, which takes its time
    while (bare := _COMMENT.sub(b" ", value)) != value:
        value = bare
    words = value.partition(b";")[0].split()
    return words[0].strip(b'"').lower() if words else b""


def removals(fields: Sequence[Field], positions: Iterable[int]) -> Iterator[bytes]:
    """Packets that remove fields, from the last to the first: MTAs do not agree on what the
    number of a field is when one before it has gone."""
    counts: Counter[bytes] = Counter()
    indexes = []
    for name, _ in fields:
        key = name.rstrip().lower()
        counts[key] += 1
        indexes.append(counts[key])
    for at in sorted(positions, reverse=True):
        yield answers.changeHeader(indexes[at], fields[at][0].rstrip(), b"")


def additions(headers: Sequence[tuple[str, str]], isVerbatim: bool) -> Iterator[bytes]:
    """Packets that add fields, below the MTA's Received: all that it is said of a message
    stands on top of it, and what its sender has signed stays together."""
    blank = b" " if isVerbatim else b""
    for name, value in reversed(headers):
        yield answers.insertHeader(1, name.encode(), blank + value.encode("utf-8", "replace"))


def replyTo(action: Action, text: str) -> bytes:
    """The packet that ends a message which is not accepted."""
    if action is Action.DISCARD:
        return answers.DISCARD
    code = "451 4.7.1 " if action is Action.DELAY else "550 5.7.1 "
    words = _UNSAFE.sub("?", text)[:_TEXT_LIMIT] or (LATER if action is Action.DELAY else "Message refused")
    return answers.replyCode((code + words.replace("%", "%%")).encode())


TOO_LARGE = answers.replyCode(b"552 5.3.4 The message is too large to be examined")
"""The packet for a message of which there is more than may be."""
