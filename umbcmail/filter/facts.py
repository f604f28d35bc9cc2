"""What all filters of a session are told of it: client, message, recipient.

One L{Facts} for each session; `chain` writes it, and each `milter` reads it when it sends
a command, so that a connection that is made later hears the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from twisted.internet.defer import Deferred

from umbcmail.envelope import Client
from umbcmail.filter import commands
from umbcmail.filter.macros import VALUE_LIMIT, chosenMacros, clientMacros, octets

NameOf = Callable[[str], Deferred[str]]
"""Finds the confirmed name of an address, C{""} where there is none."""


class Facts:
    """Of a session.

    @ivar id: of the session, or of its message.
    @ivar client: as it stands.
    @ivar mechanism: by which it has logged in.
    """

    def __init__(self, id: str, hostName: str, port: str, client: Client, nameOf: NameOf | None) -> None:
        """
        @param hostName: ours.
        @param port: name of the port that the client has come to.
        @param nameOf: finds the client's name, where it is not known.
        """
        self.id = id
        self.client = client
        self.mechanism = ""
        self._hostName = hostName
        self._port = port
        self._nameOf = nameOf
        self._name = ""
        self._waiting: list[Callable[[], None]] = []
        self._isNamed = nameOf is None
        self._session: dict[bytes, bytes] | None = None
        self._message: dict[bytes, bytes] = {}
        self._recipient: dict[bytes, bytes] = {}
        self._messageId: Callable[[], bytes] | None = None

    # What is written

    def introduced(self, client: Client) -> bool:
        """The client has said HELO.  @return: it is another one than before."""
        old = self.client
        isOther = (client.address, client.port, client.name) != (old.address, old.port, old.name)
        if isOther:
            self._name = ""
            self._isNamed = self._nameOf is None
        self._know(client)
        return isOther

    def _know(self, client: Client) -> None:
        self.client = client
        self._session = None

    def message(self, id: str, client: Client, mechanism: str, sender: str) -> None:
        """A transaction begins."""
        if client is not self.client or mechanism != self.mechanism:
            self.mechanism = mechanism
            self._know(client)
        self.id = id
        self._message = {b"i": octets(id), b"mail_addr": octets(sender)}
        _, at, host = sender.rpartition("@")
        if at and host:
            self._message[b"mail_host"] = octets(host)
        self._recipient = {}
        self._messageId = None

    def recipient(self, address: str, host: str = "", mailer: str = "") -> None:
        """A recipient is next.

        @param host: its domain; C{""}: it has none.
        @param mailer: C{"error"}: we have refused it, and the address says why.
        """
        self._recipient = {b"rcpt_addr": octets(address)}
        if host:
            self._recipient[b"rcpt_host"] = octets(host)
        if mailer:
            self._recipient[b"rcpt_mailer"] = octets(mailer)

    def content(self, messageId: Callable[[], bytes] | None) -> None:
        """The message is there, or (L{None}) is no longer.

        @param messageId: finds that of its header, if it is asked for.
        """
        self._messageId = messageId

    def whenNamed(self, then: Callable[[], None]) -> None:
        """Call when the client's name is known, or that it has none."""
        if self._isNamed or self.client.name or self._nameOf is None:
            then()
            return
        self._waiting.append(then)
        if len(self._waiting) == 1:
            address = self.client.address
            self._nameOf(address).addCallbacks(self._named, lambda _: self._named("", address), callbackArgs=(address,))

    def _named(self, name: str, address: str) -> None:
        if address != self.client.address:
            return
        self._name = name
        self._isNamed = True
        self._session = None
        waiting, self._waiting = self._waiting, []
        for then in waiting:
            then()

    # What is read

    def connect(self) -> bytes:
        """The command."""
        client = self.client
        name = client.name or self._name or f"[{client.address}]"
        if not client.address:
            return commands.connect(b"localhost", commands.NO_FAMILY)
        family = commands.IPV6 if ":" in client.address else commands.IPV4
        return commands.connect(name.encode(), family, client.port, client.address.encode())

    def helo(self) -> bytes:
        """The command."""
        return commands.helo(self.client.helo.encode())

    def macros(self, letter: bytes, wanted: Mapping[bytes, tuple[bytes, ...]] | None) -> bytes:
        """The packet of macros for a command.

        @param letter: of the command.
        @param wanted: what the filter has asked for.
        """
        names = chosenMacros(letter, wanted)
        if not names:
            return b""
        if self._session is None:
            self._session = clientMacros(self.client, self._name, self._hostName, self._port, self.mechanism)
        if self._messageId is not None and b"msg_id" in names:
            self._message[b"msg_id"] = self._messageId()[:VALUE_LIMIT]
            self._messageId = None
        found = {}
        for name in names:
            for known in (self._recipient, self._message, self._session):
                if name in known:
                    found[name] = known[name]
                    break
        return commands.macros(letter, found)
