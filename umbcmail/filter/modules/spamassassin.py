"""The module C{spamassassin}: has messages judged by spamd, and tells what it says in
fields of the header.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from umbcmail.examination import Action, Examined, Opinion, Rank
from umbcmail.filter.modules import spamd
from umbcmail.filter.modules.daemon import Daemon
from umbcmail.filter.modules.question import Question
from umbcmail.filter.multiplexer.settings import CONCURRENCY, DAEMON, OVERSIZE, SCAN_LIMIT
from umbcmail.interfaces import IModule
from umbcmail.options import TEXT, Kind, Option, number

SOCKET = "inet:783@127.0.0.1"
LIMIT = 500 * 1024

SYMBOLS = 200
"""Names of rules that are told."""
USERS = ("", "%user", "%recipient")


def _user(value: Any) -> str:
    text = str(TEXT.parse(value))
    if "%" in text and text not in USERS:
        raise ValueError("%user or %recipient stands alone")
    if not re.fullmatch(r"[%A-Za-z0-9._@+-]{0,64}", text):
        raise ValueError("a name of a user is needed, %user or %recipient")
    return text


OPTIONS = (
    DAEMON,
    CONCURRENCY,
    SCAN_LIMIT,
    OVERSIZE,
    Option(
        "refuse-score",
        number(0.1, 100000),
        None,
        "Score from which a message is refused (550); not set: spam is only tagged.",
    ),
    Option(
        "quarantine-score",
        number(0.1, 100000),
        None,
        "Score from which a message that is not refused is put aside; not set: none is.",
    ),
    Option(
        "user",
        Kind("a user, %user or %recipient", _user),
        "",
        "Whose settings of SpamAssassin count: a user, or, where there is one recipient only, %user or %recipient.",
    ),
)

_LOGIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_ADDRESS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+=-]{0,63}@[A-Za-z0-9.-]{1,253}")


@implementer(IModule)
class SpamAssassin(Daemon):
    """The module."""

    mark = "X-Spam-Status"
    claims = (b"x-spam-",)

    def __init__(self, settings: Mapping[str, Any], hostName: str, reactor: Any) -> None:
        """
        @param settings: of the module.
        """
        Daemon.__init__(self, settings, reactor, SOCKET, LIMIT)
        self._hostName = hostName

    def _judge(self, examined: Examined) -> Deferred[Opinion]:
        trace = spamd.received(
            examined.client, examined.hostName or self._hostName, examined.id, self._reactor.seconds()
        )
        head = spamd.request(len(trace) + examined.content.size, self._user(examined)) + trace
        question = Question(head, examined.content, halfCloses=True)
        return self._ask(question).addCallback(self._said)

    def _user(self, examined: Examined) -> str:
        """Whose settings count, C{""} for those of all."""
        user: str = self._settings["user"]
        if "%" not in user:
            return user
        if len(examined.recipients) != 1:
            return ""
        [recipient] = examined.recipients
        if user == "%recipient":
            return recipient if _ADDRESS.fullmatch(recipient) else ""
        local = recipient.rpartition("@")[0].partition("+")[0]
        return local if _LOGIN.fullmatch(local) else ""

    def _said(self, reply: bytes) -> Opinion:
        judgement = spamd.judgementIn(reply)
        score = judgement.score
        refuse, aside = self._settings["refuse-score"], self._settings["quarantine-score"]
        action = Action.ACCEPT
        if refuse is not None and score >= refuse:
            action = Action.REFUSE
        elif aside is not None and score >= aside:
            action = Action.QUARANTINE
        isSpam = judgement.isSpam or action is not Action.ACCEPT
        return Opinion(
            Rank.SPAM if isSpam else Rank.CLEAN,
            action,
            f"spam score {score:.1f}" if isSpam else "",
            f"This looks like spam, with a score of {score:.1f}",
            score,
            headersOf(judgement),
        )


def headersOf(judgement: spamd.Judgement) -> tuple[tuple[str, str], ...]:
    """Fields that tell of a judgement, as SpamAssassin itself writes them."""
    score = f"{round(judgement.score, 1) + 0.0:.1f}"
    verdict = "Yes" if judgement.isSpam else "No"
    lines = [f"{verdict}, score={score} required={judgement.threshold:.1f} tests="]
    symbols = judgement.symbols[:SYMBOLS] or ("none",)
    for at, symbol in enumerate(symbols, 1):
        if len(lines[-1]) + len(symbol) > 76:
            lines.append("\t")
        lines[-1] += symbol if at == len(symbols) else f"{symbol},"
    status = "\n".join(lines)
    headers = [("X-Spam-Status", status), ("X-Spam-Score", score)]
    return (("X-Spam-Flag", "YES"), *headers) if judgement.isSpam else tuple(headers)


def make(settings: Mapping[str, Any], tools: Any) -> SpamAssassin:
    """The module; see L{umbcmail.interfaces.IPart.make}."""
    return SpamAssassin(settings, tools.hostName, tools.reactor)
