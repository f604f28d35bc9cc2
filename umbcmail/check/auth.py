"""The rule C{auth}: who has authenticated may send to anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zope.interface import implementer

from umbcmail.envelope import Client, Recipient
from umbcmail.interfaces import IRelayRule
from umbcmail.options import Option
from umbcmail.verdict import Verdict, noOpinion, permit

OPTIONS: tuple[Option, ...] = ()

_KNOWN = permit("the client has authenticated")
_UNKNOWN = noOpinion("the client has not authenticated")


@implementer(IRelayRule)
class AuthRule:
    """Permits clients with a login; has no opinion on others."""

    def judge(self, client: Client, sender: str, recipient: Recipient) -> Verdict:
        """See L{IRelayRule.judge}; never waits."""
        return _KNOWN if client.login else _UNKNOWN


def make(settings: Mapping[str, Any], tools: Any) -> AuthRule:
    """The rule; see L{umbcmail.interfaces.IPart.make}."""
    return AuthRule()
