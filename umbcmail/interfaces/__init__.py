"""Where stages meet each other and plugins meet us.

Imports nothing but zope.interface and its own modules: L{twisted.plugin} of every
C{twistd} user on the host imports this.  The docstrings state the obligations:
whether a call may be slow, may be made twice, and who owns what is handed over.

Values are named by their class: C{Envelope}, C{Recipient}, C{Client} in
C{umbcmail.envelope}, C{Route}, C{Hop} in C{umbcmail.destination}, C{Outcome},
C{Verdict}, C{Reply} in the modules of those names, C{Entry}, C{Claim}, C{Draft},
C{Change}, C{Selection} in C{umbcmail.entry}, C{Delivery} in
C{umbcmail.entry} too, C{Examined}, C{Opinion} in C{umbcmail.examination}.
"""

from __future__ import annotations

from umbcmail.interfaces.mail import (
    IAsker,
    ICourier,
    IExpander,
    IFilters,
    IFilterSession,
    IForwards,
    IGssapiAcceptance,
    IGssapiChecker,
    IGssapiCredentials,
    IIntake,
    ILogin,
    IRecipientCheck,
    IRelayPolicy,
    IRelayRule,
    IResolver,
    IRouter,
    IScramChecker,
    IScramCredentials,
    ITLSPolicy,
)
from umbcmail.interfaces.module import IModule, ISeal
from umbcmail.interfaces.part import IPart
from umbcmail.interfaces.refresh import IRefreshed
from umbcmail.interfaces.spool import IContent, IContentReader, IContentWriter, ISpool
from umbcmail.interfaces.state import ICounters, IHosts, IRoster, IState, IWatched

__all__ = [
    "IAsker",
    "IContent",
    "IContentReader",
    "IContentWriter",
    "ICounters",
    "ICourier",
    "IExpander",
    "IFilterSession",
    "IFilters",
    "IForwards",
    "IGssapiAcceptance",
    "IGssapiChecker",
    "IGssapiCredentials",
    "IHosts",
    "IIntake",
    "ILogin",
    "IModule",
    "IPart",
    "IRecipientCheck",
    "IRefreshed",
    "IRelayPolicy",
    "IRelayRule",
    "IResolver",
    "IRoster",
    "IRouter",
    "IScramChecker",
    "IScramCredentials",
    "ISeal",
    "ISpool",
    "IState",
    "ITLSPolicy",
    "IWatched",
]
