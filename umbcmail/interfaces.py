"""Where stages meet each other and plugins meet us.

Imports nothing but zope.interface: L{twisted.plugin} of every C{twistd} user on
the host imports this module.  The docstrings state the obligations: whether a
call may be slow, may be made twice, and who owns what is handed over.

Values are named by their class: C{Envelope}, C{Recipient}, C{Client} in
C{umbcmail.envelope}, C{Route}, C{Hop} in C{umbcmail.destination}, C{Outcome},
C{Verdict}, C{Reply} in the modules of those names, C{Entry}, C{Claim}, C{Draft},
C{Change}, C{Selection} in C{umbcmail.entry}.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from twisted.internet.defer import Deferred

    from umbcmail.destination import Hop, Route, TLSRule
    from umbcmail.entry import Change, Claim, Count, Draft, Entry, Selection
    from umbcmail.envelope import Client, Envelope, Recipient
    from umbcmail.outcome import Outcome
    from umbcmail.reply import Reply
    from umbcmail.verdict import Verdict


class IContent(Interface):
    """The octets of a message, header and body, with CRLF line ends and
    without dot-stuffing.  May be read more than once, at the same time too."""

    size = Attribute("Octets, an int.")
    data = Attribute("All of it as bytes when it is held in memory, else None.")

    def open() -> IContentReader:
        """Start to read.  @return: L{IContentReader}"""


class IContentReader(Interface):
    """Reads a content from its beginning, by pieces."""

    def read() -> Deferred[bytes]:
        """The next piece.  Not to be called while one is being read.

        @return: L{Deferred} of bytes, C{b""} at the end; fails with L{OSError}.
        """

    def close() -> None:
        """No more is wanted.  Must be called once, also after an error."""


class IContentWriter(Interface):
    """Takes content that is too large for memory, before its message is committed."""

    def write(data: bytes) -> Deferred[None]:
        """Add octets.  May be called again before the Deferred fires; who does
        not want to hold more in memory waits for it.

        @return: L{Deferred}; fails with C{SpoolError}.
        """

    def finish() -> Deferred[IContent]:
        """All has been written.

        @return: L{Deferred} of L{IContent}, which C{ISpool.commit} takes and
            which C{ISpool.discard} must be told of when it is not committed.
        """

    def abort() -> None:
        """Forget what has been written."""


class ISpool(Interface):
    """Stable storage for messages that can't be delivered at once.

    All times are seconds since 1970, given by the caller.  All Deferreds fire in
    the reactor's thread and may fail with C{SpoolError}; then nothing has changed.
    """

    owner = Attribute("Who claims here: unique among the living processes, a str.")

    def start() -> Deferred[None]:
        """Open it.  @return: L{Deferred}; fails with C{SpoolError}."""

    def stop() -> Deferred[None]:
        """Finish what has been asked for and close.  @return: L{Deferred}"""

    def newContent(messageId: str) -> IContentWriter:
        """A place for large content.  @return: L{IContentWriter}"""

    def discard(content: IContent) -> None:
        """A finished content is not going to be committed; any L{IContent} may be
        given, also one that is held in memory.  @return: C{None}"""

    def commit(
        envelope: Envelope, content: IContent, drafts: Sequence[Draft], now: float, claim: bool = False
    ) -> Deferred[list[Claim]]:
        """Put a message on stable storage: when the Deferred fires it survives
        the loss of power.

        @param content: L{IContent}; if it came from C{newContent} the spool owns
            it from here on, whatever happens.
        @param drafts: sequence of C{Draft}, at least one.
        @param claim: the entries are claimed by the caller from the beginning.
        @return: L{Deferred} of a list of C{Claim}, in the order of the drafts
            (with token 0 when not claimed).
        """

    def claim(queue: str, limit: int, now: float) -> Deferred[list[Claim]]:
        """Take up to C{limit} entries of a class that are due, neither held nor
        claimed under a lease that still holds.  No two callers get the same.

        @return: L{Deferred} of a list of C{Claim}, those due first come first.
        """

    def renew(claims: Sequence[Claim], now: float) -> Deferred[list[Claim]]:
        """Extend the leases of claims that the caller still works on.
        @return: L{Deferred} of a list of those that still hold, renewed."""

    def record(
        claim: Claim, change: Change, now: float, bounces: Iterable[tuple[Envelope, IContent, Draft]] = ()
    ) -> Deferred[None]:
        """Write down what an attempt has done and end the claim, in one step with
        the commit of C{bounces}.  When all deliveries are done the entry goes,
        and with its last entry the message.

        @param bounces: sequence of C{(Envelope, IContent, Draft)}.
        @return: L{Deferred}; fails with C{StaleClaim} when the claim does not
            hold any more; then nothing is changed and no bounce is committed.
        """

    def giveBack(claim: Claim, due: float) -> Deferred[None]:
        """End a claim without an attempt.  A stale one is no error.
        @return: L{Deferred}"""

    def content(entry: Entry) -> Deferred[IContent]:
        """The content of an entry.  @return: L{Deferred} of L{IContent}; fails
        with C{SpoolError} when it can't be read."""

    def nextDue(queue: str) -> Deferred[float | None]:
        """When the next entry of a class is due that is neither held nor claimed.
        @return: L{Deferred} of a float, or None when there is none."""

    def listing(selection: Selection, limit: int) -> Deferred[list[Entry]]:
        """Entries, the oldest first.  @return: L{Deferred} of a list of C{Entry}"""

    def counts(now: float) -> Deferred[dict[str, Count]]:
        """@return: L{Deferred} of a dict from class name to C{Count}; classes
        without entries may be missing."""

    def retry(selection: Selection, now: float) -> Deferred[int]:
        """Make entries due now.  @return: L{Deferred} of how many."""

    def hold(selection: Selection) -> Deferred[int]:
        """Put entries aside; an attempt under way may finish.
        @return: L{Deferred} of how many."""

    def release(selection: Selection, now: float) -> Deferred[int]:
        """Undo C{hold} and make due now.  @return: L{Deferred} of how many."""

    def move(selection: Selection, queue: str) -> Deferred[int]:
        """Move entries to another class; due times stay.  Claimed entries are
        left out.  @return: L{Deferred} of how many."""

    def remove(selection: Selection) -> Deferred[int]:
        """Remove entries for good, claimed ones too (their claims become stale).
        @return: L{Deferred} of how many."""

    def recover(now: float) -> Deferred[int]:
        """Free what processes that have ended had claimed, and remove content
        that never got its message.  @return: L{Deferred} of how many entries
        were freed."""


class IIntake(Interface):
    """Takes over the responsibility for a received message."""

    def accept(envelope: Envelope, content: IContent) -> Reply | Deferred[Reply]:
        """Deliver it or put it on stable storage, by the agent's mode.

        @param content: L{IContent}; the intake owns it from here on.
        @return: C{Reply} for the client, or a L{Deferred} of one.  Never fails:
            what is not known answers 4xx.  After a 2xx the message is delivered
            or stable; after all else it is not ours.
        """


class IRelayPolicy(Interface):
    """Decides whether mail may go to a recipient: our own domains, then the rules
    of the port."""

    def judge(client: Client, sender: str, recipient: Recipient) -> Verdict | Deferred[Verdict]:
        """@return: C{Verdict} that is never NO_OPINION, or a L{Deferred} of one
        that never fails."""


class IRelayRule(Interface):
    """One rule of the ordered list that says who may relay."""

    def judge(client: Client, sender: str, recipient: Recipient) -> Verdict | Deferred[Verdict]:
        """Whether this client may send to this recipient in a foreign domain.

        @param client: C{Client}.  @param sender: str, C{""} for the null sender.
        @param recipient: C{Recipient}.
        @return: C{Verdict}, or a L{Deferred} of one where something must be asked;
            if it fails, the client is told to try again.
        """


class IRouter(Interface):
    """Says which class a domain is in and how its mail travels."""

    def classify(domain: str) -> str:
        """@param domain: lower case, C{""} for the bare postmaster.
        @return: name of the queue class, a str.  Never waits."""

    def route(domain: str, queue: str) -> Route | Deferred[Route]:
        """@param queue: the class that the mail is in.
        @return: C{Route}, or a L{Deferred} of one that never fails."""


class ICourier(Interface):
    """Carries messages to next hops."""

    def deliver(
        envelope: Envelope, content: IContent, recipients: list[Recipient], hops: tuple[Hop, ...]
    ) -> Deferred[list[Outcome]]:
        """One attempt for some of a message's recipients.

        @param recipients: list of C{Recipient}.
        @param hops: tuple of C{Hop}, in order of preference.
        @return: L{Deferred} of a list of C{Outcome}, one for each recipient in
            their order.  Does not fail but by a bug, and fires within the
            courier's own time limits.
        """

    def stop() -> Deferred[None]:
        """Close idle connections, and others when they are done.
        @return: L{Deferred}"""


class ITLSPolicy(Interface):
    """Says how the way to a next hop is to be protected: a table, or what a domain
    has published (DANE, MTA-STS)."""

    def lookUp(domain: str, hop: Hop) -> TLSRule | Deferred[TLSRule | None] | None:
        """@param domain: of the recipient, lower case.
        @param hop: C{Hop} that may be connected to.
        @return: C{TLSRule}, or None to leave it to the courier, or a L{Deferred} of
            one of them; if it fails, the mail waits."""


class IResolver(Interface):
    """Questions to the DNS, with three kinds of answers: a list of records; an
    empty list when the name exists without such records; failures
    C{NoSuchName} (authoritative: there is no such name) and C{NoAnswer}
    (don't know, ask again later), both of C{umbcmail.destination}."""

    def mailExchanges(domain: str) -> Deferred[list[tuple[int, str]]]:
        """@return: L{Deferred} of a list of C{(preference, host)}, hosts in lower
        case without a dot at the end (the null MX is C{""})."""

    def addresses(name: str, family: int = 0) -> Deferred[list[str]]:
        """@param family: 4 or 6 for addresses of that family only.  With 0 those
            of one family are the answer when the other can't be told.
        @return: L{Deferred} of a list of IPv4 and IPv6 addresses as str."""

    def pointers(address: str) -> Deferred[list[str]]:
        """@return: L{Deferred} of a list of names of an IP address."""


class ILogin(Interface):
    """The avatar of somebody who has authenticated with SMTP AUTH."""

    name = Attribute("The login, a str that is not empty.")


class IScramCredentials(Interface):
    """What proves with SCRAM-SHA-256 that somebody knows a password; credentials
    in the sense of L{twisted.cred.credentials.ICredentials}."""

    username = Attribute("The login as the client wrote it, bytes.")

    def checkKeys(keys: Any) -> bool:
        """@param keys: C{umbcmail.accept.auth.scram.ScramKeys} of the login, with the
            salt and iterations that C{IScramChecker.scramKeys} gave for it.
        @return: whether the proof fits them.  Quick; may be called in a thread."""


class IScramChecker(Interface):
    """A checker of L{IScramCredentials}, which must be asked before a client can
    begin with its proof."""

    def scramKeys(login: str) -> Deferred[Any]:
        """The keys of a login, or made-up ones that look like those of others and
        are the same at each call, where there is none of the name.

        @return: L{Deferred} of a pair of whether it exists, for other checkers to
            be asked, and C{umbcmail.accept.auth.scram.ScramKeys}.
        """


class IPart(Interface):
    """A cheap maker, found among the plugins by its name and kind; the part
    itself is imported and made only when the configuration asks for it.

    Drop-ins are put into C{twisted/plugins/}, see C{docs/plugins.md}.
    """

    kind = Attribute("C{'rule'} (makes an L{IRelayRule}) or C{'courier'} (L{ICourier}).")
    section = Attribute("Section of the configuration that its options are in, a str.")
    name = Attribute("The name by which the configuration calls it.")
    options = Attribute("Tuple of C{umbcmail.options.Option}, what can be set for it.")

    def make(settings: Mapping[str, Any], tools: Any) -> Any:
        """Make the part.

        @param settings: mapping from option name to value.
        @param tools: C{umbcmail.service.Tools}: reactor, resolver, log and others.
        """
