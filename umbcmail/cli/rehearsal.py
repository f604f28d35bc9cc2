"""A session that might be, from its greeting to RCPT, with nobody on the other side.

Played by `explaincommand` with the L{Dialogue} that real sessions have, so that the
replies are those that a client would hear.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks

from umbcmail import reply
from umbcmail.accept.auth.authentication import refusal
from umbcmail.accept.dialogue import Dialogue
from umbcmail.address import AddressError, parsePath
from umbcmail.cli.explainparser import Question
from umbcmail.cli.explanation import Explanation
from umbcmail.reply import Reply

_ADDED = re.compile(r">[ \t]|[\r\n]")
"""What ends a path, so that something else may begin."""


@dataclass(frozen=True, slots=True)
class Terms:
    """As much of L{umbcmail.accept.auth.authentication.Terms} as is asked for until
    somebody logs in."""

    needed: bool
    keyword: str = "AUTH"


class Rehearsal:
    """The session of a client, from its greeting to RCPT."""

    def __init__(self, dialogue: Dialogue, found: Explanation, hasAuth: bool) -> None:
        """
        @param found: gets what is said, and what is assumed.
        @param hasAuth: clients with TLS can log in.
        """
        self._dialogue = dialogue
        self._found = found
        self._hasAuth = hasAuth

    @inlineCallbacks
    def play(self, question: Question, tlsFirst: bool) -> Any:
        """Say it all, as far as it goes.  @return: L{Deferred}"""
        found, dialogue = self._found, self._dialogue
        if tlsFirst and question.tls is False:
            found.session.append(("a greeting without TLS", None))
            return
        if tlsFirst:
            dialogue.secured("TLS")
            if question.tls is None:
                found.assumed.append("the client uses TLS, with which this port begins")
        if not (yield self._say(f"EHLO {question.helo}")):
            return
        if question.tls and not tlsFirst and (yield self._say("STARTTLS")):
            dialogue.secured("TLS")
            yield self._say(f"EHLO {question.helo}")
        if question.login:
            yield self._logIn(question.login)
        wide = "" if (question.sender + question.recipient).isascii() else " SMTPUTF8"
        if (yield self._sayPath("MAIL FROM:", question.sender, wide, reply.BAD_SENDER)):
            yield self._sayPath("RCPT TO:", question.recipient, "", reply.BAD_RECIPIENT)

    @inlineCallbacks
    def _logIn(self, login: str) -> Any:
        """AUTH.  No password is asked for, only what speaks against AUTH as such."""
        dialogue = self._dialogue
        right = self._hasAuth and refusal(dialogue.client, False) is None
        if (yield self._say("AUTH", reply.AUTHENTICATED if right else None)):
            dialogue.client = replace(dialogue.client, login=login)
            self._found.assumed.append(f"the password of {login} is right")
        else:
            where = "on this port" if dialogue.client.tls else "without TLS"
            self._found.assumed.append(f"AUTH is impossible {where}, so the client goes on without a login")

    def _sayPath(self, words: str, text: str, more: str, wrong: Reply) -> Deferred[bool]:
        """MAIL or RCPT.

        @param more: parameters.
        @param wrong: the reply to what is no path, and must not be taken for a
            path and parameters.
        """
        path = pathOf(text)
        hasMore = _ADDED.search(path) is not None and not _isPath(path)
        said: Deferred[bool] = self._say(f"{words}{path}{more}", wrong if hasMore else None)
        return said

    @inlineCallbacks
    def _say(self, line: str, answer: Reply | None = None) -> Any:
        """One command.

        @param answer: the reply, in place of that of the dialogue.
        @return: L{Deferred} of whether the client can go on.
        """
        if answer is None:
            answer = yield self._dialogue.command(line.encode("utf-8", "surrogateescape"))
        self._found.session.append((line, answer))
        return answer.isSuccess


def pathOf(text: str) -> str:
    """With angle brackets."""
    return text if text[:1] == "<" and text[-1:] == ">" else f"<{text}>"


def _isPath(path: str) -> bool:
    """All of it is one path."""
    try:
        return parsePath(path)[1] == len(path)
    except AddressError:
        return False
