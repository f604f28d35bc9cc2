"""What is one step away from an address: by the tables of virtual addresses, the files of
aliases, an included file, or the user's C{.forward}, in this order.

Asked by `walk`.  All but C{.forward} is in memory, so an answer is a few look-ups.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from twisted.internet.defer import Deferred

from umbcmail import reply
from umbcmail.address import AddressError, domainOf, parseAddress
from umbcmail.aliases import THROWN_AWAY, Alias, DontKnow, Kind, Target, membersOf
from umbcmail.interfaces import IForwards
from umbcmail.localaddress import userAndDetail
from umbcmail.reply import Reply
from umbcmail.route.aliasfiles import AliasFiles

OWNER = "owner-"


class Way(Enum):
    """Where an address is looked up first, and what is not looked up.

    C{INCLUDE} is an included file, C{END} a mailbox, a program, a file or a foreign address,
    C{NOWHERE} what is thrown away.
    """

    VIRTUAL = 0
    ALIASES = 1
    FORWARD = 2
    END = 3
    INCLUDE = 4
    NOWHERE = 5


@dataclass(frozen=True, slots=True)
class Step:
    """A place on the way.

    @ivar address: of an included file that of the alias.
    @ivar owner: who is told, in place of the message's sender; L{None}: the sender.
    @ivar action: see L{umbcmail.envelope.Origin}.
    @ivar path: of an included file.
    @ivar refusal: why nothing goes there, L{None}: it does.
    @ivar depth: steps before it.
    @ivar up: the one before it.
    """

    address: str
    way: Way
    notify: str = ""
    owner: str | None = None
    action: str = ""
    path: str = ""
    refusal: Reply | None = None
    depth: int = 0
    up: Step | None = None

    @property
    def key(self) -> Any:
        """What is the same when a place is reached again."""
        way = min(self.way.value, Way.END.value)
        return self.path or (self.address.lower(), way, self.action)

    @property
    def text(self) -> str:
        """For people."""
        return f":include:{self.path}" if self.path else self.action or self.address

    def before(self) -> Iterator[Any]:
        """The keys of this step and those before it."""
        step: Step | None = self
        while step is not None:
            yield step.key
            step = step.up


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for addresses; see the options of L{umbcmail.route.aliassettings.ALIASES}.

    @ivar isOurs: whether the files of aliases are for a domain.
    @ivar isVirtual: whether a domain has virtual addresses only.
    @ivar home: domain of names in tables of virtual addresses, C{""}: there is none.
    """

    isOurs: Callable[[str], Any]
    isVirtual: Callable[[str], Any]
    home: str = ""
    delimiter: str = "+"
    programUser: str | None = None
    folders: Collection[str] = ()


class Meaning:
    """Says what an address stands for."""

    def __init__(self, files: AliasFiles, terms: Terms, forwards: IForwards | None = None) -> None:
        """
        @param forwards: asked about users of ours; L{None}: nobody is.
        """
        self._files = files
        self._terms = terms
        self._forwards = forwards

    def isPlain(self, step: Step) -> bool:
        """It stands for itself, as far as is known without asking anybody."""
        domain = domainOf(step.address)
        if step.way is Way.VIRTUAL and (self._terms.isVirtual(domain) or self._files.known.virtual.find(step.address)):
            return False
        if not self._terms.isOurs(domain):
            return True
        return self._forwards is None and (step.way is Way.FORWARD or self.aliasOf(step.address) is None)

    def aliasOf(self, address: str) -> Alias | None:
        """The alias of a local part, with its detail and then without."""
        entries = self._files.known.aliases.entries
        whole = userAndDetail(address, "", True)[0]
        user = userAndDetail(address, self._terms.delimiter, True)[0]
        return entries.get(whole) or (entries.get(user) if user != whole else None)

    def knows(self, address: str) -> bool | None:
        """Whether somebody gets mail at an address; L{None}: nothing is known about it.

        @raise DontKnow: that can't be told now.
        """
        domain = domainOf(address)
        entry = self._files.known.virtual.find(address)
        if entry is not None:
            return bool(entry.targets)
        if self._terms.isVirtual(domain):
            if self._files.isBroken:
                raise DontKnow("the tables of virtual addresses have mistakes")
            return False
        return True if self._terms.isOurs(domain) and self.aliasOf(address) is not None else None

    def of(self, step: Step, sender: str, note: Callable[[int, str], object]) -> Any:
        """What is one step further.

        @param sender: of the message; notifications have no owner (RFC 5321 section 4.5.5).
        @param note: told what was found.
        @return: a list of L{Step}; L{None}: it stands for itself; a C{Reply}: for nothing;
            or a L{Deferred} of one of them, which fails with L{DontKnow}.
        @raise DontKnow: the whole message has to wait.
        """
        if step.refusal is not None:
            return step.refusal
        if step.way is Way.INCLUDE:
            return self._included(step, note)
        if step.way is Way.VIRTUAL:
            found = self._virtual(step, note)
            if found is not None:
                return found
        if step.way is Way.END or not self._terms.isOurs(domainOf(step.address)):
            return None
        if step.way is not Way.FORWARD:
            alias = self.aliasOf(step.address)
            if alias is not None:
                return self._alias(step, alias, sender, note)
        return self._forward(step, note)

    def _virtual(self, step: Step, note: Callable[[int, str], object]) -> list[Step] | Reply | None:
        entry = self._files.known.virtual.find(step.address)
        if entry is None:
            if not self._terms.isVirtual(domainOf(step.address)):
                return None
            note(step.depth, f"{step.address}: not in the tables of virtual addresses")
            return reply.RECIPIENT_YET if self._files.isBroken else reply.UNKNOWN_USER
        note(step.depth, f"{step.address}: {entry.place}: {entry.key} is {', '.join(entry.targets) or 'nobody'}")
        if not entry.targets:
            return reply.UNKNOWN_USER
        try:
            made = self._files.known.virtual.targetsOf(entry, step.address)
        except AddressError:
            return reply.BAD_MAILBOX
        return [self._to(step, text, Way.ALIASES) for text in made]

    def _to(self, step: Step, text: str, same: Way, home: str = "", detail: str = "") -> Step:
        """The step to an address or a name.

        @param same: where it goes on when it is the same address again.
        @param home: domain of a name.
        @param detail: what is handed on to a name, with its delimiter.
        """
        way = Way.VIRTUAL
        if "@" not in text:
            way = Way.ALIASES
            more = detail if self._terms.delimiter not in text[1:] else ""
            text = _address(text, more, home or self._terms.home) or text
        if text.lower() == step.address.lower() or (same is Way.END and self._isSelf(text, step.address)):
            text, way = step.address, same
        return replace(step, address=text, way=way, path="", depth=step.depth + 1, up=step)

    def _isSelf(self, one: str, other: str) -> bool:
        """Two addresses are of one user, whatever their details are."""
        users = [(userAndDetail(each, self._terms.delimiter, True)[0], domainOf(each)) for each in (one, other)]
        return users[0] == users[1]

    def _alias(self, step: Step, alias: Alias, sender: str, note: Callable[[int, str], object]) -> list[Step]:
        note(step.depth, f"{step.address}: {alias.place}: {alias.name} is {_shown(alias.targets)}")
        owner = self._files.known.aliases.entries.get(OWNER + alias.name.lower())
        if owner is not None and sender:
            whose = f"{owner.name}@{domainOf(step.address) or self._terms.home}"
            note(step.depth, f"{step.address}: {owner.place}: its owner {whose} is told what goes wrong")
            step = replace(step, owner=whose, notify="")
        whole, user = (userAndDetail(step.address, mark, True)[0] for mark in ("", self._terms.delimiter))
        detail = userAndDetail(step.address, self._terms.delimiter, False)[1]
        more = self._terms.delimiter + detail if detail and alias.name.lower() == user != whole else ""
        return self._targets(step, alias.targets, Way.FORWARD, more)

    def _targets(self, step: Step, targets: Sequence[Target], same: Way, detail: str = "") -> list[Step]:
        found: list[Step] = []
        domain = domainOf(step.address) or self._terms.home
        for target in targets:
            if target.kind in (Kind.NAME, Kind.ADDRESS):
                found.append(self._to(step, target.text, same, domain, detail))
                continue
            below = replace(step, way=Way.END, path="", depth=step.depth + 1, up=step)
            if target.kind is Kind.INCLUDE:
                below = replace(below, way=Way.INCLUDE, path=target.text)
            elif target.kind is Kind.MAILBOX:
                below = replace(below, address=_address(target.text, detail, domain) or step.address)
            elif target.text == THROWN_AWAY:
                below = replace(below, way=Way.NOWHERE)
            else:
                below = replace(below, action=("|" if target.kind is Kind.PROGRAM else "") + target.text)
                if same is not Way.END:  # what users name the agent does as the user
                    below = self._asProgramUser(below, domain)
            found.append(below)
        return found

    def _asProgramUser(self, step: Step, domain: str) -> Step:
        """A program or a file of an alias: done as the user who is there for that."""
        terms, isProgram = self._terms, step.action.startswith("|")
        if terms.programUser is None:
            return replace(step, refusal=reply.PROGRAM_REFUSED if isProgram else reply.NO_SUCH_FILE)
        isBelow = any(step.action.startswith(folder.rstrip("/") + "/") for folder in terms.folders)
        if not isProgram and (not isBelow or ".." in step.action.split("/")):
            step = replace(step, refusal=reply.NO_SUCH_FILE)
        return replace(step, address=f"{terms.programUser}@{domain}")

    def _included(self, step: Step, note: Callable[[int, str], object]) -> list[Step]:
        targets = self._files.known.included(step.path)
        if targets is None:
            raise DontKnow(f":include:{step.path} is not there, or not all right")
        note(step.depth, f":include:{step.path}: {_shown(targets)}")
        return self._targets(step, targets, Way.ALIASES)

    # .forward

    def _forward(self, step: Step, note: Callable[[int, str], object]) -> Deferred[Any] | None:
        if self._forwards is None:
            return None
        return self._forwards.forwardOf(step.address).addCallback(self._forwarded, step, note)

    def _forwarded(self, text: str | None, step: Step, note: Callable[[int, str], object]) -> Any:
        """
        @param text: of the user's file.
        @raise DontKnow: it makes no sense.
        """
        if text is None:
            return None
        targets, wrong = membersOf(text.splitlines(), (Kind.INCLUDE,))
        if wrong:
            raise DontKnow(f".forward of {step.address}, line {wrong[0][0]}: {wrong[0][1]}")
        note(step.depth, f"{step.address}: .forward is {_shown(targets)}")
        if not targets:
            return None
        return self._targets(replace(step, way=Way.FORWARD), targets, Way.END)


def _address(name: str, detail: str, domain: str) -> str:
    """The address of a name, C{""}: there is none."""
    try:
        return parseAddress(f"{name}{detail}@{domain}")
    except AddressError:
        return ""


def _shown(targets: Sequence[Target]) -> str:
    marks = {Kind.PROGRAM: "|", Kind.MAILBOX: "\\", Kind.INCLUDE: ":include:"}
    shown = [marks.get(target.kind, "") + target.text for target in targets[:20]]
    return ", ".join(shown) + (f", and {len(targets) - 20} more" if len(targets) > 20 else "") or "nobody"
