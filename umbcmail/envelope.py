"""The envelope of a message: who sent it, to whom, and how it reached us.

Values only.  All of it can be written as JSON (`toRecord`, `fromRecord`), which
is how the spool keeps it; the format is versioned there.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field, replace
from typing import Any

_SPECIAL = re.compile(r"[^\x21-\x7e]|[+=\\]")
"""What can't stand for itself in xtext (RFC 3461 section 4), or in the form of an
address beyond ASCII that may go everywhere (RFC 6533 section 3)."""


@dataclass(frozen=True, slots=True)
class Client:
    """The SMTP client that a message came from, as far as it is known.

    @ivar address: IP address in its shortest text form; IPv4-mapped IPv6
        addresses are written as IPv4.
    @ivar port: its TCP port.
    @ivar name: forward-confirmed name, lower case, or C{""}.
    @ivar helo: what it called itself in HELO or EHLO.
    @ivar esmtp: it said EHLO.
    @ivar tls: protocol and cipher (C{"TLSv1.3 TLS_AES_256_GCM_SHA384"}), or
        C{""} in clear.
    @ivar login: whom it has authenticated as, or C{""}.
    """

    address: str = ""
    port: int = 0
    name: str = ""
    helo: str = ""
    esmtp: bool = False
    tls: str = ""
    login: str = ""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a recipient comes from that the sender has not named: an alias, a list, a
    C{.forward}.

    @ivar address: the recipient that it was made of.
    @ivar sender: who is told what becomes of it, and its reverse-path, in place of the
        envelope's (the owner of a list); L{None}: that of the envelope.
    @ivar action: what gets the message in place of the mailbox of the address: C{"|program
        arguments"}, C{"/file"} or C{"/folder/"}; C{""}: nothing does.
    @ivar depth: how many steps it took; of one that still has to be looked up, and
        L{None} when nothing is left to be looked up.
    """

    address: str
    sender: str | None = None
    action: str = ""
    depth: int | None = None


@dataclass(frozen=True, slots=True)
class Recipient:
    """A forward-path (RFC 5321 section 4.1.1.3) with its DSN wishes (RFC 3461).

    @ivar address: C{local-part@domain}, verbatim, without angle brackets.
    @ivar notify: C{""} when not given, else words of C{NEVER}, C{SUCCESS},
        C{FAILURE}, C{DELAY} joined by commas.
    @ivar orcpt: original recipient as given (C{"rfc822;..."}, still xtext).
    @ivar origin: what it was made of, L{None}: the sender has named it.
    """

    address: str
    notify: str = ""
    orcpt: str = ""
    origin: Origin | None = None

    @property
    def domain(self) -> str:
        """The domain in lower case, C{""} for the bare C{postmaster}."""
        return self.address.rpartition("@")[2].lower() if "@" in self.address else ""

    def readdressed(self, address: str) -> Recipient:
        """The same recipient at another address; the one that its sender knows stays
        as the original recipient (RFC 3461 section 5.2.8, RFC 6533 section 3)."""
        orcpt = self.orcpt
        if not orcpt and self.address.isascii():
            orcpt = "rfc822;" + _SPECIAL.sub(lambda found: f"+{ord(found[0]):02X}", self.address)
        elif not orcpt:
            orcpt = "utf-8;" + _SPECIAL.sub(lambda found: f"\\x{{{ord(found[0]):02X}}}", self.address)
        return replace(self, address=address, orcpt=orcpt)


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message's envelope.

    @ivar id: our own id, unique over hosts and time; in the log, in the
        Received field and in the reply to the client.
    @ivar sender: reverse-path without brackets, C{""} is the null sender.
    @ivar recipients: in the order in which they were accepted.
    @ivar arrived: seconds since 1970.
    @ivar size: octets of the content, our trace fields included.
    @ivar agent: name of the agent that took it (C{"delivery"}), or C{"bounce"}.
    @ivar body: C{"7BIT"} or C{"8BITMIME"} as declared (RFC 6152).
    @ivar smtputf8: declared by the client (RFC 6531).
    @ivar ret: C{"FULL"}, C{"HDRS"} or C{""} (RFC 3461 section 4.3).
    @ivar envid: xtext as given (RFC 3461 section 4.4).
    @ivar requireTLS: it may go on by verified TLS only (RFC 8689).
    @ivar deliverBy: C{""}, or when it should be delivered and what is to be done
        then (RFC 2852), as C{umbcmail.deliverby} writes it.
    @ivar holdUntil: seconds since 1970 before which it may not go on (RFC 4865),
        0 for at once.
    @ivar hold: why it is put aside until an operator releases it (a rule, a filter),
        C{""}: it is not.
    @ivar heldFor: addresses of the recipients that it is put aside for; with none
        all of them.
    @ivar score: its spam score, as a filter has found it; of a notification of ours
        that of the message that it is about; L{None}: not known.
    """

    id: str
    sender: str
    recipients: tuple[Recipient, ...]
    arrived: float
    client: Client = field(default_factory=Client)
    size: int = 0
    agent: str = ""
    body: str = "7BIT"
    smtputf8: bool = False
    ret: str = ""
    envid: str = ""
    requireTLS: bool = False
    deliverBy: str = ""
    holdUntil: float = 0.0
    hold: str = ""
    heldFor: tuple[str, ...] = ()
    score: float | None = None

    def isHeldFor(self, recipient: Recipient) -> bool:
        """Whether it is put aside for a recipient."""
        return bool(self.hold) and (not self.heldFor or recipient.address in self.heldFor)

    def withRecipients(self, recipients: tuple[Recipient, ...]) -> Envelope:
        """The same message to other recipients."""
        return replace(self, recipients=recipients)

    def toward(self, recipient: Recipient) -> Envelope:
        """The envelope as it goes on to a recipient.  What the sender of a message to a
        list wants to hear ends there (RFC 3461 section 5.2.7)."""
        origin = recipient.origin
        if origin is None or origin.sender is None:
            return self
        return replace(self, sender=origin.sender, ret="", envid="")

    def toRecord(self) -> dict[str, Any]:
        """Plain JSON values; the recipients are kept apart, so not in it."""
        record = asdict(self)
        del record["recipients"]
        return record

    @classmethod
    def fromRecord(cls, record: dict[str, Any], recipients: tuple[Recipient, ...]) -> Envelope:
        """The envelope of a record; fields that a later version added are left
        out, so that an older version can still read the spool.

        @raise KeyError: a field without default is missing.
        """
        known = {name: record[name] for name in cls.__dataclass_fields__ if name in record}
        client = known.pop("client", {})
        known["client"] = Client(**{n: v for n, v in client.items() if n in Client.__dataclass_fields__})
        if "heldFor" in known:
            known["heldFor"] = tuple(known["heldFor"])
        for name in ("id", "sender", "arrived"):
            if name not in known:
                raise KeyError(name)
        return cls(recipients=recipients, **known)
