"""Reads the replies of a next hop: octets to (code, lines), strictly, and pure.

The client feeds it whatever it has read; a connection can cut replies anywhere.
What is no reply by RFC 5321 section 4.2 (three digits from 200 to 599, the same
in all lines, a blank or a hyphen behind them) sets C{broken}, and then nothing
more is read: lax number parsing takes nonsense for success.  A bare LF at the
end of a line is taken, as there are such servers and no harm is in it.
"""

from __future__ import annotations

import re

from umbcmail.reply import Reply

RemoteReply = tuple[int, list[bytes]]
"""The code, and the text of each line as it came, without line end."""

LINE_LIMIT = 2048
"""Octets of one line; RFC 5321 section 4.5.3.1.5 allows 512."""
LINES_LIMIT = 100
"""Lines of one reply."""
REPLY_LIMIT = 64 * 1024
"""Octets of one reply."""
KEPT_LINES = 10
"""Lines of a reply that are kept for the log and the sender."""
KEPT_OCTETS = 512
"""Octets of each of those lines."""

_CODES = {b"%d" % code: code for code in range(200, 600)}
_ENHANCED = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?= |$)")
_UNPRINTABLE = re.compile(rb"[^ -~]")


class ReplyReader:
    """Cuts a stream of octets into replies.

    @ivar broken: something came that is no reply; the session can't go on.
    """

    __slots__ = ("_code", "_lines", "_rest", "_size", "broken")

    def __init__(self) -> None:
        self.broken = False
        self._rest = b""
        self._code = 0
        self._size = 0
        self._lines: list[bytes] = []

    @property
    def pending(self) -> bool:
        """More has come than the replies that were given out: the beginning of one,
        or nonsense."""
        return bool(self._rest or self._lines or self.broken)

    def feed(self, data: bytes) -> list[RemoteReply]:
        """Read octets.

        @return: the replies that are complete now.  When C{broken} is set they
            are those that came before the nonsense.
        """
        if self.broken:
            return []
        if self._rest:
            data = self._rest + data
        lines = data.split(b"\n")
        self._rest = lines.pop()
        replies: list[RemoteReply] = []
        for line in lines:
            code = _CODES.get(line[:3])
            mark = line[3:4]
            if code is None or len(line) > LINE_LIMIT or not self._fits(code, mark, line):
                self.broken = True
                return replies
            if mark == b"-":
                self._lines.append(line[4:].rstrip(b"\r"))
            elif self._lines:
                replies.append((code, [*self._lines, line[4:].rstrip(b"\r")]))
                self._lines = []
                self._size = 0
            else:
                replies.append((code, [line[4:].rstrip(b"\r")]))
        self.broken = len(self._rest) > LINE_LIMIT
        return replies

    def _fits(self, code: int, mark: bytes, line: bytes) -> bool:
        """Whether the line can stand where it stands."""
        if mark == b" " or mark == b"\r" or mark == b"":
            if not self._lines:
                return True
        elif mark != b"-":
            return False
        if not self._lines:
            self._code = code
        self._size += len(line)
        return code == self._code and self._size <= REPLY_LIMIT and len(self._lines) < LINES_LIMIT


def toReply(remote: RemoteReply) -> Reply:
    """A remote reply as a value: printable ASCII only, bounded, and with an
    enhanced status code of the class of the code (RFC 3463), which is C{x.0.0}
    where the next hop gave none."""
    code, raw = remote
    if len(raw) == 1:
        line = _clean(raw[0])
        found = _ENHANCED.match(line)
        if found is not None and ord(found[1]) - 48 == code // 100:
            return Reply(code, found[0], (line[found.end() + 1 :],))
        return Reply(code, f"{code // 100}.0.0", (line,))
    return _longReply(code, [_clean(line) for line in raw[:KEPT_LINES]])


def _clean(line: bytes) -> str:
    line = line[:KEPT_OCTETS]
    text = line.decode("ascii", "replace")
    if text.isascii() and text.isprintable():
        return text
    return _UNPRINTABLE.sub(b"?", line).decode("ascii")


def _longReply(code: int, lines: list[str]) -> Reply:
    enhanced = ""
    for line in lines:
        found = _ENHANCED.match(line)
        if found is not None and ord(found[1]) - 48 == code // 100:
            enhanced = found[0]
            break
    texts = []
    for line in lines:
        found = _ENHANCED.match(line)
        texts.append(line[found.end() + 1 :] if found is not None and found[0] == enhanced else line)
    return Reply(code, enhanced or f"{code // 100}.0.0", tuple(texts))
