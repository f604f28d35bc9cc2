"""What we want of Kerberos, by the library C{gssapi}: is a password right, and is a
ticket for us.

`krb5` calls this in threads of its own.  Whatever a KDC says counts only when our
keytab has opened a ticket that it gave, so whoever poses as the KDC can say yes to
nothing.  "No" is L{UnauthorizedLogin}; what can't be told is L{KerberosTrouble}, with
a text that says which principal or file is to be seen to.  Errors are known by their
numbers (RFC 4120 section 7.5.9, as offsets from -1765328384; RFC 2743 section 1.2.1.1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.cred.error import UnauthorizedLogin
from zope.interface import implementer

from umbcmail.accept.auth.exchange import SASLError
from umbcmail.interfaces import IGssapiAcceptance

_BASE = -1765328384
WRONG = {6: "no such principal", 24: "wrong password", 31: "wrong password"}
"""Answers to a password that are a no."""
UNUSABLE = {
    1: "the principal has expired",
    18: "the principal is locked",
    21: "the principal is not valid yet",
    23: "the password has expired",
}
"""The same, whatever the password is."""
NO_TICKET = {32: "the ticket has expired", 33: "the ticket is not valid yet", 34: "the ticket was used before"}
"""Answers to a ticket that are a no."""
_NOT_KNOWN, _SKEW, _UNREACHABLE = 7, 37, 156
_BAD_MECHANISM, _DEFECTIVE_TOKEN, _CREDENTIALS_EXPIRED = 1, 9, 11


class KerberosTrouble(OSError):
    """It can't be told, and the text says why."""


class Unusable(UnauthorizedLogin):
    """It is no, but not for a wrong password."""


def numberOf(error: Any) -> int:
    """The error of Kerberos in an error of GSSAPI, or one that is none of them."""
    minor = int(error.min_code)
    return (minor - (1 << 32) if minor >= 1 << 31 else minor) - _BASE


def routineOf(error: Any) -> int:
    """The error of GSSAPI itself (RFC 2743 section 1.2.1.1)."""
    return int(error.maj_code) >> 16 & 0xFF


def textOf(error: Any) -> str:
    """What the library says of an error; in the thread that met it."""
    return "; ".join(error.get_all_statuses(error.min_code, False)) or str(error)


@implementer(IGssapiAcceptance)
class Acceptance:
    """See L{IGssapiAcceptance}.

    @ivar resume: what takes the context and the next token.
    """

    def __init__(self, library: Any, result: Any) -> None:
        self._library = library
        self._context = result.context
        self.resume: Callable[[Any, bytes], Any] | None = None
        self.reply = bytes(result.token or b"")
        self.isComplete = not result.more_steps
        self.principal = ""
        self.login = ""
        if self.isComplete:
            self.principal = library.display_name(result.initiator_name, False).name.decode()

    def goOn(self, token: bytes) -> Any:
        """See L{IGssapiAcceptance.goOn}."""
        assert self.resume is not None
        return self.resume(self._context, token)

    def wrap(self, octets: bytes) -> bytes:
        """See L{IGssapiAcceptance.wrap}."""
        return bytes(self._library.wrap(self._context, octets, confidential=False).message)

    def unwrap(self, token: bytes) -> bytes:
        """See L{IGssapiAcceptance.unwrap}."""
        try:
            return bytes(self._library.unwrap(self._context, token).message)
        except self._library.GSSError:
            raise SASLError("not wrapped with this context") from None


class Kerberos:
    """A realm, as one sees it with a keytab.  All of it may block, and may be called
    in several threads."""

    def __init__(self, library: Any, realm: str, service: str, keytab: str) -> None:
        """
        @param library: the module C{gssapi.raw}.
        @param service: our principal without the realm, C{smtp/host}.
        @param keytab: path.
        """
        self._library = library
        self._mechanisms = [library.MechType.kerberos]
        self._realm = realm
        self._service = f"{service}@{realm}"
        self._keytab = keytab

    # The keytab

    def check(self) -> None:
        """Look whether there is a key of ours.

        @raise ValueError: there is none.
        """
        try:
            self._own(self._principal(self._service), b"none:")
        except self._library.GSSError as error:
            raise ValueError(
                f"the keytab {self._keytab} has no key of {self._service} ({textOf(error)}): without one, whoever "
                f"poses as the KDC could let anybody in (kadmin: ktadd -k {self._keytab} {self._service})"
            ) from None

    def takesTickets(self) -> bool:
        """Whether there is a key of C{smtp} on any host (RFC 4954 section 4: the
        service is smtp)."""
        try:
            self._own(self._smtp(), b"none:")
        except self._library.GSSError:
            return False
        return True

    def _own(self, name: Any, replays: bytes | None = None) -> Any:
        store = {b"keytab": b"FILE:" + self._keytab.encode()}
        if replays is not None:
            store[b"rcache"] = replays
        return self._library.acquire_cred_from(store, name, mechs=self._mechanisms, usage="accept").creds

    def _principal(self, name: str) -> Any:
        return self._library.import_name(name.encode(), self._library.NameType.kerberos_principal)

    def _smtp(self) -> Any:
        return self._library.import_name(b"smtp", self._library.NameType.hostbased_service)

    # Passwords

    def verify(self, user: str, password: bytes) -> str:
        """Whether it is somebody's password: the KDC gives a ticket for it, and for
        that one a ticket to us, which our keytab can open.

        @param user: principal without the realm; for the library C{/}, C{@} and
            C{\\} in it would mean something, and C{NUL} would end it.
        @param password: neither empty nor with C{NUL}, which would end it too.
        @return: the principal that the KDC says it is, with the realm.
        @raise UnauthorizedLogin: it is not.
        @raise KerberosTrouble: it can't be told.
        """
        library, service = self._library, self._principal(self._service)
        try:
            name = self._principal(f"{user}@{self._realm}")
            got = library.acquire_cred_with_password(name, password, mechs=self._mechanisms, usage="initiate").creds
        except library.GSSError as error:
            number = numberOf(error)
            if number in UNUSABLE:
                raise Unusable(UNUSABLE[number]) from None
            if number in WRONG:
                raise UnauthorizedLogin(WRONG[number]) from None
            raise self._trouble(error) from None
        try:
            token = library.init_sec_context(service, got, mech=self._mechanisms[0], flags=[]).token
        except library.GSSError as error:
            raise self._trouble(error) from None
        try:
            # The ticket has just been made for us: it can't be a replay.
            result = library.accept_sec_context(token, self._own(service, b"none:"))
            return str(library.display_name(result.initiator_name, False).name.decode())
        except library.GSSError as error:
            raise KerberosTrouble(
                f"the KDC of {self._realm} could not be verified: the keytab {self._keytab} does not open its "
                f"ticket for {self._service} ({textOf(error)}); the keytab can't be read, or it is old (kadmin: "
                f"ktadd -k {self._keytab} {self._service}), or somebody poses as the KDC"
            ) from None

    def _trouble(self, error: Any) -> KerberosTrouble:
        number, text = numberOf(error), textOf(error)
        if number == _NOT_KNOWN:
            text += (
                f"; make it and its key (kadmin: addprinc -randkey {self._service}, "
                f"ktadd -k {self._keytab} {self._service})"
            )
        elif number == _UNREACHABLE:
            text += "; see whether it runs, and whether krb5.conf or the DNS say where"
        elif number == _SKEW:
            text += "; set this host's clock, or that of the KDC"
        return KerberosTrouble(f"Kerberos realm {self._realm}: {text}")

    # Tickets

    def accept(self, context: Any, token: bytes) -> Acceptance:
        """What a client has sent to prove who it is (RFC 4752 section 3.1).

        @param context: of the token before, L{None} for the first.
        @raise SASLError: it is no token.
        @raise UnauthorizedLogin: it proves nothing.
        @raise KerberosTrouble: it can't be told.
        """
        library = self._library
        try:
            own = self._own(self._smtp())
        except library.GSSError as error:
            raise KerberosTrouble(f"the keytab {self._keytab} has no key of smtp/HOST: {textOf(error)}") from None
        try:
            result = library.accept_sec_context(token, own, context)
            return Acceptance(library, result)
        except library.GSSError as error:
            number, routine = numberOf(error), routineOf(error)
            if number in NO_TICKET or routine == _CREDENTIALS_EXPIRED:
                raise UnauthorizedLogin(NO_TICKET.get(number, NO_TICKET[32])) from None
            if routine in (_BAD_MECHANISM, _DEFECTIVE_TOKEN):
                raise SASLError("not a token of Kerberos") from None
            text = textOf(error)
            if number == _SKEW:
                text += "; the clock of the client is wrong, or that of this host"
            raise KerberosTrouble(
                f"a client's ticket can't be opened with the keytab {self._keytab}: {text}; if it happens to all "
                f"clients, the keytab is old (kadmin: ktadd -k {self._keytab} …)"
            ) from None
