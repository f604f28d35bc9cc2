"""The rule C{labs}: computers in the labs may send mail to anywhere while the labs are open.

A skeleton: copy it, and put your own question in place of this one.  The name of the
rule and of this module are brought together in C{twisted/plugins/campus_parts.py}.
"""

from __future__ import annotations

import ipaddress

from zope.interface import implementer

from umbcmail.interfaces import IRelayRule
from umbcmail.options import NETWORK, Option, integer, listOf
from umbcmail.verdict import NO_OPINION, noOpinion, permit

# What can be set in [rule.labs]: name, kind, default, one sentence.  Values are checked by
# their kind before anything starts; see umbcmail/options.py for the kinds, among them
# DOMAIN, PATH, TEXT, BOOLEAN, choice(…), duration(…).
OPTIONS = (
    Option("networks", listOf(NETWORK), [], "Networks of the labs."),
    Option("opens", integer(0, 23), 8, "Hour (UTC) from which they may send."),
    Option("closes", integer(1, 24), 20, "Hour (UTC) until which they may send."),
)


@implementer(IRelayRule)
class LabsRule:
    """Permits computers of the labs in opening hours; has no opinion on others."""

    # True: the rule is asked about mail to our own domains too, and what it says against
    # it counts.  False, or no such attribute: it is about mail to other domains only.
    restricts = False

    def __init__(self, networks, opens, closes, now):
        # Take what the rule needs by name, so that a test can give it something else.
        self._networks = networks
        self._opens = opens
        self._closes = closes
        self._now = now

    def judge(self, client, sender, recipient):
        # Called for each recipient.  client: umbcmail.envelope.Client (address, name, helo, tls,
        # login); sender: a str, "" for the null sender; recipient: umbcmail.envelope.Recipient.
        #
        # The answer is one of umbcmail.verdict; the text is for the log and the operator, the
        # reply (umbcmail.reply.reply(550, "5.7.1", "Some text")) for the client:
        #   noOpinion(why)        let the next rule say
        #   permit(why)           it may go to anywhere.  Never say so for what a client can
        #                         forge: the sender, HELO
        #   passes(why)           it may go to our own domains, no word on others
        #   refuse(reply, why)    no, for good (5xx)
        #   delay(reply, why)     can't be told now (4xx)
        #   discard(why)          the client hears yes, and nobody gets the message
        #   hold(why)             it waits in the queue until an operator releases it
        #
        # Never block here.  What must be waited for is a Deferred that fires with one of these;
        # tools.resolver gives them for the DNS, tools.inThread for functions that block.  An
        # exception, or a Deferred that fails, is logged and tells the client to come again.
        try:
            address = ipaddress.ip_address(client.address)
        except ValueError:
            return NO_OPINION
        hour = int(self._now() % 86400 // 3600)
        if self._opens <= hour < self._closes and any(address in network for network in self._networks):
            return permit("a lab that is open")
        return noOpinion("no lab that is open")


def make(settings, tools):
    # Called once, when the configuration asks for the rule.  settings: the values by name;
    # tools: umbcmail.service.Tools (reactor, log, resolver, inThread, hostName, state …).
    # A ValueError says what is wrong with the settings, and nothing starts.
    #
    # A rule that provides twisted.application.service.IService is started and stopped with
    # the program, one that provides umbcmail.interfaces.IWatched shows on the status page.
    if settings["opens"] >= settings["closes"]:
        raise ValueError("the labs must open before they close")
    return LabsRule(settings["networks"], settings["opens"], settings["closes"], tools.reactor.seconds)
