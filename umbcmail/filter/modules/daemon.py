"""What the modules have in common that ask a daemon about messages: so many at the same
time, and none that are too large.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from twisted.internet.defer import Deferred, DeferredSemaphore

from umbcmail.examination import Action, Examined, Opinion
from umbcmail.filter.modules.question import Question, ask
from umbcmail.filter.sockets import socketAddress

_ACTIONS = {"tag": Action.ACCEPT, "delay": Action.DELAY, "refuse": Action.REFUSE}


class Daemon:
    """One of them says what is asked of its daemon (L{_judge}).

    @cvar mark: the field that tells of a message that was not examined.
    """

    mark: ClassVar[str]

    def __init__(self, settings: Mapping[str, Any], reactor: Any, socket: str, limit: int) -> None:
        """
        @param settings: of the module.
        @param socket: where the daemon is unless they say so.
        @param limit: octets of the largest message, likewise.
        """
        self._settings = settings
        self._reactor = reactor
        self._socket = settings["socket"] or socketAddress(socket)
        self._limit: int = settings["scan-limit"] or limit
        self._places = DeferredSemaphore(settings["concurrency"])

    def examine(self, examined: Examined) -> Opinion | Deferred[Opinion]:
        """See L{IModule.examine<umbcmail.interfaces.IModule.examine>}."""
        if examined.content.size > self._limit:
            return _unexamined(self._settings["oversize"], self.mark, examined.content.size, self._limit)
        judged: Deferred[Opinion] = self._places.run(self._judge, examined)
        return judged

    def _judge(self, examined: Examined) -> Deferred[Opinion]:
        raise NotImplementedError

    def _ask(self, question: Question) -> Deferred[bytes]:
        return ask(self._reactor, self._socket, question)


def _unexamined(policy: str, mark: str, size: int, limit: int) -> Opinion:
    """The opinion.

    @param policy: C{"tag"}, C{"delay"} or C{"refuse"}.
    @param mark: the field that tells of it.
    @param size: octets of the message.
    @param limit: octets that are examined.
    """
    return Opinion(
        action=_ACTIONS[policy],
        found=f"{size} octets are too many",
        text="The message is too large to be examined",
        headers=((mark, f"Unknown, not examined, over {limit} octets"),),
        isExamined=False,
    )
