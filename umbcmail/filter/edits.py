"""Edits of one filter, gathered until it accepts the message.  Pure but for large bodies.

Each is looked at when it comes: what can't be done (a name that is none, an address that is
none) means that the filter is broken, and then none of them is made.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed

from umbcmail.address import AddressError, parsePath
from umbcmail.content import MemoryContent
from umbcmail.envelope import Recipient
from umbcmail.filter.answers import (
    AddHeader,
    AddRecipient,
    ChangeHeader,
    ChangeSender,
    DeleteRecipient,
    Edit,
    InsertHeader,
    ReplaceBody,
)
from umbcmail.filter.codec import MilterError
from umbcmail.filter.message import Message, newName, newValue
from umbcmail.interfaces import IContent, IContentWriter

OCTETS = 2 * 1024 * 1024
"""Of edits, those of the body aside."""
COUNT = 10_000
"""Of edits."""
MEMORY_LIMIT = 256 * 1024
"""Octets of a new body that are kept in memory."""
UNWRITTEN_LIMIT = 1024 * 1024
"""Octets that may wait for the disk before the filter is held up."""
REASON_LIMIT = 200
"""Characters of the reason for a quarantine."""

_NOTIFY = re.compile(r"NEVER|(?:SUCCESS|FAILURE|DELAY)(?:,(?:SUCCESS|FAILURE|DELAY)){0,2}")
_ORCPT = re.compile(r"[!#-'*,./0-9?A-Z^-~-]+;(?:[!-*,-<>-~]|\+[0-9A-F]{2})+")
_ENVID = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2}){1,300}")


class Edits:
    """What a filter wants to have changed.

    @ivar quarantine: why it is to be put aside, C{""}: it is not.
    @ivar count: how many there are.
    """

    def __init__(
        self,
        isVerbatim: bool,
        wide: bool,
        limit: int,
        newContent: Callable[[], IContentWriter],
        hold: Callable[[bool], None],
    ) -> None:
        """
        @param isVerbatim: values of header fields begin with the blank, if any.
        @param wide: addresses beyond ASCII are taken (RFC 6531).
        @param limit: octets of a new body.
        @param newContent: a place for a large body.
        @param hold: called with True when the filter shall wait, then with False.
        """
        self.quarantine = ""
        self.count = 0
        self._isVerbatim = isVerbatim
        self._wide = wide
        self._made: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self._octets = 0
        self._body: NewBody | None = None
        self._newBody = lambda: NewBody(limit, newContent, hold)

    def add(self, edit: Edit) -> None:
        """One more.

        @raise MilterError: it can't be done, or there are too many.
        """
        self.count += 1
        if isinstance(edit, ReplaceBody):
            if self._body is None:
                self._body = self._newBody()
            else:
                self.count -= 1
            self._body.add(edit.octets)
            return
        method, arguments = self._understood(edit)
        self._octets += sum(len(word) for word in arguments if isinstance(word, bytes)) + 100
        if self._octets > OCTETS or self.count > COUNT:
            raise MilterError("too many edits")
        self._made.append((method, arguments))

    def _understood(self, edit: Edit) -> tuple[Callable[..., None], tuple[Any, ...]]:
        if isinstance(edit, AddHeader):
            return Message.addField, (newName(edit.name), newValue(edit.value, self._isVerbatim))
        if isinstance(edit, InsertHeader):
            return Message.insertField, (edit.index, newName(edit.name), newValue(edit.value, self._isVerbatim))
        if isinstance(edit, ChangeHeader):
            value = newValue(edit.value, self._isVerbatim) if edit.value else b""
            return Message.changeField, (edit.index, newName(edit.name), value)
        if isinstance(edit, ChangeSender):
            words = _words(edit.parameters)
            ret, envid = words.get("RET", "").upper() or None, words.get("ENVID") or None
            if ret not in (None, "FULL", "HDRS") or (envid is not None and not _ENVID.fullmatch(envid)):
                raise MilterError("parameters of a sender that are wrong")
            return Message.changeSender, (self._address(edit.sender, True), ret, envid)
        if isinstance(edit, AddRecipient):
            return Message.addRecipient, (self._recipient(edit),)
        assert isinstance(edit, DeleteRecipient)
        return Message.deleteRecipient, (self._address(edit.recipient, False, True),)

    def _recipient(self, edit: AddRecipient) -> Recipient:
        words = _words(edit.parameters)
        notify, orcpt = words.get("NOTIFY", "").upper(), words.get("ORCPT", "")
        if (notify and not _NOTIFY.fullmatch(notify)) or (
            orcpt and not (len(orcpt) <= 500 and _ORCPT.fullmatch(orcpt))
        ):
            raise MilterError("parameters of a recipient that are wrong")
        return Recipient(self._address(edit.recipient, False), notify, orcpt)

    def _address(self, octets: bytes, canBeNull: bool, isAnyText: bool = False) -> str:
        """An address, with or without its brackets.

        @param isAnyText: what is none is none of ours, which is no error.
        """
        try:
            text = octets.decode().strip(" ")
            path = text if text[:1] == "<" else f"<{text}>"
            address, end = parsePath(path)
            if end == len(path) and (address or canBeNull) and (self._wide or address.isascii()):
                return address
        except (AddressError, UnicodeDecodeError):
            pass
        if isAnyText:
            return octets.decode("utf-8", "replace")
        raise MilterError(f"{octets[:80]!r} is no address")

    def aside(self, reason: bytes) -> None:
        """A quarantine."""
        text = "".join(c if c.isprintable() else "?" for c in reason.decode("utf-8", "replace"))
        self.quarantine = text.strip()[:REASON_LIMIT] or "quarantine"

    def apply(self, message: Message) -> Deferred[None] | None:
        """The filter has accepted: make them all.

        @return: L{None}, or a L{Deferred} where a body is still being written; fails
            with C{SpoolError}, and then nothing has been changed.
        """
        if self._body is None:
            self._apply(message, None)
            return None
        body = self._body
        self._body = None
        return body.finish().addCallback(lambda content: self._apply(message, content, body.isAscii))

    def _apply(self, message: Message, body: IContent | None, isAscii: bool = True) -> None:
        for method, arguments in self._made:
            method(message, *arguments)
        if body is not None:
            message.replaceBody(body, isAscii)

    def abort(self) -> None:
        """None of them is made."""
        if self._body is not None:
            self._body.abort()
            self._body = None


def _words(parameters: bytes) -> dict[str, str]:
    """ESMTP parameters by name in upper case."""
    words = [word.partition("=") for word in parameters.decode("utf-8", "replace").split()]
    return {name.upper(): value for name, _, value in words}


class NewBody:
    """A body in the making: in memory, past a limit in a file.

    @ivar isAscii: all of it so far.
    """

    def __init__(self, limit: int, newContent: Callable[[], IContentWriter], hold: Callable[[bool], None]) -> None:
        self.isAscii = True
        self._size = 0
        self._limit = limit
        self._newContent = newContent
        self._hold = hold
        self._parts: list[bytes] = []
        self._writer: IContentWriter | None = None
        self._unwritten = 0

    def add(self, octets: bytes) -> None:
        """@raise MilterError: it is larger than a message may be."""
        self._size += len(octets)
        if self._size > self._limit:
            raise MilterError("a new body that is larger than a message may be")
        self.isAscii = self.isAscii and octets.isascii()
        self._parts.append(octets)
        if self._size > MEMORY_LIMIT or len(self._parts) > 1000:
            self._parts = [b"".join(self._parts)]
            if self._size > MEMORY_LIMIT:
                self._write(self._parts.pop())

    def _write(self, octets: bytes) -> None:
        if self._writer is None:
            self._writer = self._newContent()
        size = len(octets)
        self._unwritten += size
        # What fails here is told by `finish`.
        self._writer.write(octets).addCallbacks(lambda _: self._written(size), lambda failure: self._written(size))
        if self._unwritten > UNWRITTEN_LIMIT:
            self._hold(True)

    def _written(self, size: int) -> None:
        before = self._unwritten
        self._unwritten -= size
        if before > UNWRITTEN_LIMIT >= self._unwritten:
            self._hold(False)

    def finish(self) -> Deferred[IContent]:
        """@return: fails with C{SpoolError}."""
        if self._writer is None:
            return succeed(MemoryContent(b"".join(self._parts)))
        writer, self._writer = self._writer, None
        finished: Deferred[IContent] = writer.finish()
        return finished

    def abort(self) -> None:
        """Nothing of it is wanted."""
        self._parts = []
        if self._writer is not None:
            writer, self._writer = self._writer, None
            writer.abort()
