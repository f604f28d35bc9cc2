"""How mail moves through the stages: intake, relay rules, routes, couriers, log-ins.

See L{umbcmail.interfaces}, which has all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twisted.internet.defer import Deferred

    from umbcmail.destination import Hop, Route, TLSRule
    from umbcmail.entry import Delivery
    from umbcmail.envelope import Client, Envelope, Recipient
    from umbcmail.interfaces.spool import IContent
    from umbcmail.outcome import Outcome
    from umbcmail.reply import Reply
    from umbcmail.verdict import Verdict


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
        """@return: C{Verdict} that is PERMIT, REFUSE, DELAY, DISCARD or HOLD, or a
        L{Deferred} of one that never fails."""


class IRecipientCheck(Interface):
    """Knows of some domains who gets mail there, so that what could not be delivered is
    refused at RCPT and no notification has to be made."""

    def check(sender: str, recipient: Recipient) -> Reply | Deferred[Reply | None] | None:
        """Whether somebody gets mail at an address.

        @param sender: str, C{""} for the null sender.
        @param recipient: C{Recipient}, to which the client may send.
        @return: None: yes, or nothing is known about it; a C{Reply}, 5xx: nobody does,
            4xx: it can't be told now, 2xx: yes, and nobody else need be asked; or a
            L{Deferred} of one of them that never fails.
        """


class IRelayRule(Interface):
    """One rule of the ordered list that says who may relay.

    A rule with the attribute C{restricts}, and that true, is asked about mail to our
    own domains too, and may refuse, delay, discard or hold it.  Rules before it in
    the list are asked then as well, but only for their permission.
    """

    def judge(client: Client, sender: str, recipient: Recipient) -> Verdict | Deferred[Verdict]:
        """Whether this client may send to this recipient: in a foreign domain, and
        with C{restricts} in any.

        What a client can forge (HELO, the sender) must not be a reason to say
        PERMIT, or anybody may relay; PASS is for that.

        @param client: C{Client}.  @param sender: str, C{""} for the null sender.
        @param recipient: C{Recipient}.
        @return: C{Verdict}, or a L{Deferred} of one where something must be asked;
            if it fails, the client is told to try again.
        """


class IFilters(Interface):
    """The filters that all messages of an agent pass."""

    def session(id: str, port: str, client: Client) -> IFilterSession:
        """What is asked for a session of a client; cheap, nothing is opened yet.

        @param id: of the session.
        @param port: its name.
        """


class IFilterSession(Interface):
    """The filters of one session.  The methods below but C{introduced}, C{ended} and
    C{closed} are called one after the other, each when the one before has been answered.

    What may refuse returns L{None}, or a C{Reply} (4xx or 5xx) for the client, or a
    L{Deferred} of one of them that never fails.
    """

    def introduced(client: Client) -> None:
        """The client has said HELO or EHLO; may be another one than before."""

    def mail(
        id: str, client: Client, mechanism: str, sender: str, parameters: Sequence[str]
    ) -> Reply | Deferred[Reply | None] | None:
        """A transaction begins; when it is refused nothing but C{ended} may follow.

        @param id: that the message is going to have.
        @param mechanism: by which the client has logged in, if we know.
        @param parameters: of ESMTP, C{SIZE=123} and the like.
        """

    def recipient(recipient: Recipient) -> Reply | Deferred[Reply | None] | None:
        """A recipient that is going to be accepted; a refusal is for it alone."""

    def refused(recipient: Recipient, answer: Reply) -> Reply | Deferred[Reply | None] | None:
        """A recipient has been refused.  @return: L{None}, or a L{Deferred} of it: filters
        can't change that any more."""

    def data() -> Reply | Deferred[Reply | None] | None:
        """DATA; not asked where the content comes in chunks."""

    def unknown(line: bytes) -> Reply | Deferred[Reply | None] | None:
        """A command that there is not.  @return: words that go before the usual ones."""

    def message(
        envelope: Envelope, content: IContent
    ) -> Reply | tuple[Envelope, IContent] | Deferred[Reply | tuple[Envelope, IContent]]:
        """All of a message is here.

        @param content: its first field is our Received, which filters don't see.  The
            filters own it from here on.
        @return: a reply for the client, after which nothing is left to be done; or the
            envelope and the content to go on with; or a L{Deferred} of these that never fails.
        """

    def ended() -> None:
        """The transaction is over, whatever has become of it."""

    def closed() -> None:
        """The client is gone.  A message that is being asked about is still answered."""


class IExpander(Interface):
    """Knows what recipients stand for: aliases, lists, virtual addresses, C{.forward}."""

    def expand(
        sender: str, recipient: Recipient
    ) -> tuple[Delivery, ...] | Deferred[tuple[Delivery, ...] | None] | None:
        """What a message to a recipient is to be delivered to in its place.

        Recipients that are made of it have a C{Recipient.origin}.  A delivery with an
        outcome needs no attempt: sent (the sender may want to hear of it), failed (what it
        stands for makes no sense), or delayed (that can't be told now; the recipient is
        still itself).

        @param sender: str, C{""} for the null sender.
        @param recipient: C{Recipient}; with an C{origin} that has no C{depth} there is
            nothing left to be looked up.
        @return: L{None}: it stands for itself.  A tuple of C{Delivery}, at least one, no
            two of them the same; or a L{Deferred} of one of both, which fails by a bug only.
        """


class IForwards(Interface):
    """Knows what users have in their C{.forward}."""

    def forwardOf(address: str) -> Deferred[str | None]:
        """@param address: str, of a mailbox.
        @return: L{Deferred} of the text of the file, L{None}: there is none, or no such
            user.  Fails with C{umbcmail.aliases.DontKnow} when that can't be told, or
            the file is not to be trusted."""


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


class IAsker(Interface):
    """A courier that can ask a next hop about a recipient without sending anything."""

    def ask(recipient: Recipient, hops: tuple[Hop, ...]) -> Deferred[Outcome]:
        """MAIL from the null sender, RCPT, and no more.

        @param hops: tuple of C{Hop}, in order of preference.
        @return: L{Deferred} of the C{Outcome} of RCPT, or of what kept us from it.  It
            may be cancelled, and then fires soon.  Does not fail but by a bug.
        """


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

    def listing(name: str) -> Deferred[list[str]]:
        """What a DNS list (RFC 5782) has for a name.  That there is no such name is
        the usual answer, so it counts at the first word.
        @return: L{Deferred} of a list of IPv4 addresses as str."""

    def texts(name: str) -> Deferred[list[str]]:
        """@return: L{Deferred} of a list of str, of TXT records; from strangers."""


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


class IGssapiCredentials(Interface):
    """What somebody is let in for who has proven with GSSAPI who it is; credentials in
    the sense of L{twisted.cred.credentials.ICredentials}.  They are made when the
    exchange is over and nothing is left to be checked, so a checker believes them."""

    username = Attribute("The login, bytes; the checker has made it of the principal.")


class IGssapiAcceptance(Interface):
    """The state of an exchange of tokens, at our side."""

    reply = Attribute("A token for the client, bytes; may be empty when it is complete.")
    isComplete = Attribute("Whether the client has proven who it is.")
    principal = Attribute("Who it is, with the realm; a str that is empty before.")
    login = Attribute("The login of that; a str that is empty before.")

    def goOn(token: bytes) -> Deferred[Any]:
        """The next token of the client; once, and when it is not complete.

        @return: as of C{IGssapiChecker.accept}."""

    def wrap(octets: bytes) -> bytes:
        """When it is complete: sign something.  Quick."""

    def unwrap(token: bytes) -> bytes:
        """When it is complete: what the client has signed.  Quick.

        @raise SASLError: it has not (C{umbcmail.accept.auth.exchange})."""


class IGssapiChecker(Interface):
    """A checker of L{IGssapiCredentials}, which has the keys."""

    def accept(token: bytes) -> Deferred[Any]:
        """The first token of a client.

        @return: L{Deferred} of an L{IGssapiAcceptance}.  Fails with
            C{umbcmail.accept.auth.exchange.SASLError} for what is no token, with
            C{UnauthorizedLogin} for one that lets nobody in, else when it can't be told.
        """
