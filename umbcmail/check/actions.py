"""What an entry of an access table says: C{permit}, C{refuse 550 5.7.1 text} and the like.

Pure; used by `access`.  Equal actions become one value, whatever the number of entries.
"""

from __future__ import annotations

import re

from umbcmail.reply import ACCESS_DENIED, ACCESS_LATER, Reply
from umbcmail.verdict import NO_OPINION, Verdict, delay, discard, hold, passes, permit, refuse

ACTIONS = ("permit", "refuse", "delay", "discard", "hold", "dunno")
REPLY_LIMIT = 400
"""Characters of a reply: the line may have 512 octets (RFC 5321 section 4.5.3.1.5)."""

_REPLY = re.compile(r"(?:([0-9]{3})(?: +|\Z))?(?:([0-9]\.[0-9]{1,3}\.[0-9]{1,3})(?: +|\Z))?(.*)")
_TEXT = re.compile(r"[ -~]*")


class ActionReader:
    """Makes verdicts of words."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, bool], Verdict] = {}

    def read(self, words: str, isForgeable: bool) -> Verdict:
        """
        @param words: an action and what follows it.
        @param isForgeable: the entry is about what a client only claims, so that it
            can't give leave to relay.
        @raise ValueError: they make no sense.
        """
        known = self._known.get((words, isForgeable))
        if known is None:
            known = self._known[words, isForgeable] = verdictOf(words, isForgeable)
        return known


def verdictOf(words: str, isForgeable: bool) -> Verdict:
    """See L{ActionReader.read}."""
    action, _, text = words.partition(" ")
    action, text = action.lower(), text.strip(" ")
    if action == "permit":
        return passes(text) if isForgeable else permit(text)
    if action == "refuse":
        return refuse(replyOf(text, ACCESS_DENIED), text)
    if action == "delay":
        return delay(replyOf(text, ACCESS_LATER), text)
    if action == "discard":
        return discard(text)
    if action == "hold":
        return hold(text)
    if action == "dunno":
        return NO_OPINION
    raise ValueError(f"{action[:40]!r} is none of {', '.join(ACTIONS)}")


def replyOf(text: str, default: Reply) -> Reply:
    """A reply as an operator writes it: code, enhanced code and text, each of which
    may be missing.

    @param default: a reply whose class the code must have, and that has what is
        missing.
    @raise ValueError: it can't be one.
    """
    found = _REPLY.fullmatch(text)
    assert found is not None
    kind = str(default.code)[0]
    code, enhanced = found[1] or str(default.code), found[2] or default.enhanced
    if code[0] != kind or not code[1] < "6":
        raise ValueError(f"a code of {kind}00 to {kind}59 is needed, not {code}")
    if enhanced[0] != kind:
        raise ValueError(f"an enhanced code of {kind}.x.x is needed, not {enhanced}")
    if not _TEXT.fullmatch(found[3]):
        raise ValueError("the text for the client may have printable ASCII only")
    if len(found[3]) > REPLY_LIMIT:
        raise ValueError(f"the text for the client may have {REPLY_LIMIT} characters")
    return Reply(int(code), enhanced, (found[3],) if found[3] else default.lines)
