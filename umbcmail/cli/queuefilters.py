"""Which entries a command of C{umbcmail queue} is about: its IDs and its filters.

`queueparser` adds the words and asks what is meant; mistakes are gathered, so that an
operator is told of all of them at once.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from umbcmail.options import duration, integer, number, size
from umbcmail.selection import Selection

STATES: dict[str, dict[str, bool]] = {
    "waiting": {"held": False, "claimed": False},
    "claimed": {"claimed": True},
    "held": {"held": True},
    "damaged": {},
}
"""What a state is for L{Selection}; what is damaged must be asked of the spool."""


@dataclass(frozen=True, slots=True)
class Meant:
    """Which entries are meant.

    @ivar selection: these.
    @ivar damaged: only those of them that are damaged.
    @ivar words: the filters as they were given, for the log.
    @ivar isAll: all entries have been asked for by name.
    """

    selection: Selection
    damaged: bool = False
    words: str = ""
    isAll: bool = False

    @property
    def isSome(self) -> bool:
        """Something confines it."""
        return self.damaged or self.selection != Selection()


def addFilters(parser: argparse.ArgumentParser) -> None:
    """Add the filters."""
    for name, metavar, text in _FILTERS:
        action = "append" if name == "class" else "store"
        parser.add_argument(f"--{name}", metavar=metavar, dest=_dest(name), action=action, help=text)
    parser.add_argument(
        "--bounces",
        action=argparse.BooleanOptionalAction,
        help="only our own notifications, or only other mail",
    )


_FILTERS = (
    ("class", "C", "in this queue class; may be given again for more"),
    ("sender", "A", "from this address; *@DOMAIN for a domain, <> for nobody"),
    ("recipient", "A", "to this address, or *@DOMAIN"),
    ("domain", "D", "with a recipient in this domain"),
    ("older", "T", "made longer ago than this, such as 2h or 3d"),
    ("newer", "T", "made no longer ago than this"),
    ("state", "S", f"one of {', '.join(STATES)}"),
    ("larger", "N", "content of more than this, such as 10MiB"),
    ("smaller", "N", "content of less than this"),
    ("cause", "TEXT", "with this in the last reply, or in the name of the host that gave it"),
    ("score-over", "N", "with a spam score of more than this"),
)


def _dest(name: str) -> str:
    return "filter_" + name.replace("-", "_")


def addIds(parser: argparse.ArgumentParser) -> None:
    """Add the IDs."""
    text = "of an entry, or of a message for all of its entries; - reads them from the standard input"
    parser.add_argument("ids", metavar="ID", nargs="*", help=text)


def meantBy(given: argparse.Namespace, stdin: TextIO, now: float, mistakes: list[str]) -> Meant:
    """What is meant.

    @param stdin: IDs may come from it, the first word of each line.
    @param mistakes: gets what is wrong with it.
    """
    values = {name: getattr(given, _dest(name), None) for name, _, _ in _FILTERS}
    words = [(f"--{name}", word) for name, value in values.items() for word in _listed(value)]
    for name, word in words:
        if not word.strip():
            mistakes.append(f"{name} must not be empty" + ("; nobody is <>" if name == "--sender" else ""))
    conditions: dict[str, Any] = {
        "queues": tuple(values["class"] or ()),
        "sender": _bare(values["sender"]),
        "recipient": _bare(values["recipient"]),
        "domain": (values["domain"] or "").lower().removesuffix("."),
        "cause": values["cause"] or "",
        "bounces": given.bounces,
        "scoreOver": valueOf("--score-over", values["score-over"], _score, mistakes),
        "sizeOver": valueOf("--larger", values["larger"], size().parse, mistakes),
        "sizeUnder": valueOf("--smaller", values["smaller"], size().parse, mistakes),
    }
    if values["domain"] == ".":
        mistakes.append("--domain must not be empty")
    for name, key in (("older", "createdBefore"), ("newer", "createdAfter")):
        age = valueOf(f"--{name}", values[name], duration().parse, mistakes)
        conditions[key] = None if age is None else now - age
    state = values["state"] or ""
    if state and state not in STATES:
        mistakes.append(f"--state must be one of {', '.join(STATES)}, not {state!r}")
    conditions |= STATES.get(state, {})
    conditions["ids"] = _ids(getattr(given, "ids", ()), stdin, mistakes)
    words += [("--bounces" if given.bounces else "--no-bounces", "")] if given.bounces is not None else []
    text = " ".join(f"{name} {shlex.quote(word)}" if word else name for name, word in words)
    isAll = getattr(given, "all", False)
    return Meant(Selection(**conditions), state == "damaged", "--all" if isAll else text, isAll)


def valueOf(name: str, text: str | None, parse: Callable[[str], Any], mistakes: list[str]) -> Any:
    """The value of an option, L{None} when it is not given or wrong."""
    if text is None or not text.strip():
        return None
    try:
        return parse(text)
    except ValueError as why:
        mistakes.append(f"{name}: {why}, not {text!r}")
        return None


def atLeast(low: int) -> Callable[[str], int]:
    """What reads whole numbers."""

    def parse(text: str) -> int:
        found: int = integer(low).parse(int(text) if text.isdecimal() else text)
        return found

    return parse


def _score(text: str) -> Any:
    try:
        value: Any = float(text)
    except ValueError:
        value = text
    return number().parse(value)


def _listed(value: Any) -> Sequence[str]:
    return () if value is None else value if isinstance(value, list) else (value,)


def _bare(address: str | None) -> str:
    """Without the brackets that the log has."""
    text = address or ""
    return text[1:-1] if text[:1] == "<" and text[-1:] == ">" and text != "<>" else text


def _ids(given: Sequence[str], stdin: TextIO, mistakes: list[str]) -> tuple[str, ...]:
    ids = [id for id in given if id != "-"]
    if not all(id.strip() for id in ids):
        mistakes.append("an ID must not be empty")
    if "-" in given:
        read = [line.split()[0] for line in stdin if line.strip()]
        if not read:
            mistakes.append("the standard input has no ID")
        ids += read
    return tuple(dict.fromkeys(ids))
