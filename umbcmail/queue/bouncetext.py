"""The text for people in a delivery status notification.  Pure.

It says what happened, to whom, why in plain words, what can be done, and what the
other side said itself, as a quotation.  Nothing of our own inside is in it: no
paths, no addresses of our networks.
"""

from __future__ import annotations

import ipaddress
import textwrap
import time

from umbcmail.entry import Delivery
from umbcmail.outcome import Outcome
from umbcmail.queue.report import Report, ownReason

WORDS = 1000
"""Characters of a reply that are quoted."""

_CAUSES = {
    "1.1": "there is no such mailbox",
    "1.2": "the domain of the address does not exist",
    "1.3": "the address is not written correctly",
    "1.6": "the mailbox has moved, and nobody knows where to",
    "1.7": "your own address is not written correctly",
    "1.8": "the mail system there can't find the domain of your own address",
    "1.10": "the domain takes no mail at all",
    "2.0": "the mailbox can't be used",
    "2.1": "the mailbox is closed",
    "2.2": "the mailbox is full",
    "2.3": "the message is larger than the mailbox takes",
    "2.4": "the mailing list there can't be used",
    "3.1": "the mail system there has no room left",
    "3.2": "the mail system there takes no mail at present",
    "3.3": "the mail system there can't do what was asked for with the message",
    "3.4": "the message is larger than the mail system there takes",
    "4.1": "the mail host does not answer",
    "4.2": "the connection to the mail host broke down",
    "4.3": "the name servers for the domain do not answer",
    "4.4": "no host takes mail for the domain",
    "4.5": "the mail host is too busy",
    "4.6": "the message goes round in circles",
    "4.7": "it could not be delivered in the time allowed",
    "5.3": "it has too many recipients",
    "6.3": "the mail system there can't take messages of this kind",
    "6.7": "the mail system there can't take addresses of this kind",
    "6.9": "the mail system there can't take messages of this kind",
    "7.1": "the mail system there refuses it by its rules",
    "7.2": "only some people may write to this mailing list",
    "7.4": "the connection could not be protected by TLS as it has to be",
    "7.5": "the connection could not be protected by TLS as it has to be",
    "7.8": "the mail host wants our mail system to log in",
    "7.10": "the connection could not be protected by TLS as it has to be",
    "7.13": "the account is disabled",
    "7.20": "the signature of the message (DKIM) does not satisfy the mail system there",
    "7.21": "the signature of the message (DKIM) does not satisfy the mail system there",
    "7.22": "the signature of the message (DKIM) is not that of its author",
    "7.23": "your domain does not allow our mail host to send its mail (SPF)",
    "7.25": "the mail system there does not like the name of our mail host",
    "7.26": "nothing proves that the message comes from your domain (SPF, DKIM)",
    "7.27": "your own address takes no mail",
    "7.28": "too much mail of this kind has come to the mail system there",
    "7.30": "a host on the way can't protect the message as you have asked for (REQUIRETLS)",
}
"""By the last two numbers of the enhanced status code (RFC 3463 and its registry)."""
_SUBJECTS = {
    "1": "the mail system there does not take an address",
    "2": "the mailbox can't take it",
    "3": "the mail system there can't take it",
    "4": "it can't be carried to the mail host",
    "6": "the mail system there can't take messages of this kind",
    "7": "the mail system there refuses it by its rules",
}
"""By the first of the two."""
_COMMANDS = {
    "MAIL FROM": "the mail system there takes no mail from your address",
    "RCPT TO": "the mail system there takes no mail for this address",
    "end of DATA": "the mail system there does not take this message",
    "BDAT LAST": "the mail system there does not take this message",
}
"""By what was refused, where there is no other hint."""
_SPAM = ("spam", "blacklist", "blocklist", "blocked", "reputation", "unsolicited")
_TLS = "It is the postmasters who can mend that; sent again it may pass once they have."
_SENDER = "It is about your own address: check how it is written in your mail program, or ask your postmaster."
_PROOF = "Send it by the mail system of your own address, or ask your postmaster."
_ADVICE = {
    "1": "Check how the address is written; somebody who knows the person may know a newer one.",
    "1.7": _SENDER,
    "1.8": _SENDER,
    "2": "Try again later, or reach the person in another way.",
    "2.3": "Send a smaller message, or put what is large where it can be fetched.",
    "3": "Try again later, or reach the person in another way.",
    "3.3": "Send it again without a time limit or other special wishes.",
    "3.4": "Send a smaller message, or put what is large where it can be fetched.",
    "4": "If it matters, try again later; if it happens again, tell your postmaster.",
    "5": "If it happens again, tell your postmaster.",
    "5.3": "Send it to fewer people at a time.",
    "6": "Send it in a simpler form: plain text, without attachments.",
    "7": "The postmaster of the other side can say which rule it was.",
    "7.2": "Ask the owner of the list.",
    "7.4": _TLS,
    "7.5": _TLS,
    "7.8": "Tell your postmaster.",
    "7.10": _TLS,
    "7.20": _PROOF,
    "7.21": _PROOF,
    "7.22": _PROOF,
    "7.23": _PROOF,
    "7.25": "Tell your postmaster.",
    "7.26": _PROOF,
    "7.27": _SENDER,
    "7.30": _TLS,
}
_SPAM_CAUSE = "the mail system there takes it for spam, or our mail host for a sender of spam"
_SPAM_ADVICE = (
    "Write it in other words, without links; if that does not help, its postmaster can say what is wrong, or "
    "reach the person in another way."
)


def textForPeople(report: Report) -> str:
    """The text, in lines of at most 76 characters where it has blanks to break at."""
    beginning, end = _frame(report)
    text = "".join(_wrapped(line) + "\r\n" for line in (f"This is the mail system of {report.hostName}.", beginning))
    groups: dict[str, list[str]] = {}
    for delivery in report.deliveries:
        groups.setdefault(_why(report, delivery), []).append(delivery.recipient.address)
    for why, addresses in groups.items():
        text += "".join(f"  <{address}>\r\n" for address in addresses) + why + "\r\n"
    text += _wrapped(end)
    number = report.envelope.id
    if report.contact:
        text += "\r\n" + _wrapped(f"If you need help: {report.contact} Please say the number of the message, {number}.")
    elif report.action in ("failed", "delayed"):
        text += "\r\n" + _wrapped(f"If you ask your postmaster, say the number of the message: {number}.")
    return text


def _frame(report: Report) -> tuple[str, str]:
    """What is said before and behind the recipients."""
    sent = f"The message that you sent on {_dateText(report.envelope.arrived)}"
    if report.action == "failed":
        return (
            f"{sent} could not be delivered to:",
            "It will not be tried again. The message, or its header, is attached.",
        )
    if report.action == "relayed":
        end = "The mail system there does not tell of deliveries, so this is the last that you hear if all goes well."
        if report.envelope.deliverBy:
            end = "You may hear no more of it if all goes well."
        return f"{sent} has been passed on, as you asked to be told, for:", end
    if report.action == "delivered":
        return f"{sent} has been delivered, as you asked to be told, to:", "You need not do anything."
    if report.action == "expanded":
        end = "Behind the address are several others, to which it goes on."
        return f"{sent} has been delivered, as you asked to be told, to:", end
    end = f"You need not do anything: it will be tried until {_dateText(report.until)}."
    return f"{sent} has not been delivered yet to:", f"{end} You will be told if it can't be delivered then."


def _why(report: Report, delivery: Delivery) -> str:
    """The same for all recipients to whom the same has happened."""
    outcome, own = delivery.outcome, ownReason(report, delivery)
    if report.action in ("relayed", "delivered", "expanded"):
        return ""
    cause, advice = _cause(outcome) if outcome is not None else ("", "")
    if own is not None and report.action == "failed":
        since = max(report.envelope.arrived, report.envelope.holdUntil)
        over = f"it could not be delivered within {_ageText(report.now - since)}"
        cause = f"{over}; the last time, {cause}" if cause else over
        advice = advice or _ADVICE["4"]
    elif own is not None and outcome is None:
        cause = "it has not been tried yet; our mail system is busy, or does not deliver to this domain at present"
    lines = _wrapped(f"Why: {cause}.", "    ") if cause else ""
    if advice and report.action == "failed":
        lines += _wrapped(f"What you can do: {advice[0].lower()}{advice[1:]}", "    ")
    if outcome is not None:
        lines += _wrapped(_said(outcome), "    ")
        lines += _wrapped(words(outcome)[:WORDS], "    > ")
    return lines


def _cause(outcome: Outcome) -> tuple[str, str]:
    """The cause in plain words, and what can be done."""
    reply = outcome.reply
    code = reply.enhanced[2:]
    subject = code.partition(".")[0]
    if reply.code == 530 or (reply.code >= 500 and code == "7.0" and outcome.command == "MAIL FROM"):
        code, subject = "7.8", "7"
    elif subject == "7" and any(word in reply.text.lower() for word in _SPAM):
        return _SPAM_CAUSE, _SPAM_ADVICE
    elif subject in ("", "0") and reply.code == 552:
        code, subject = "2.2", "2"
    cause = _CAUSES.get(code) or _SUBJECTS.get(subject) or _COMMANDS.get(outcome.command, "")
    return cause, _ADVICE.get(code) or _ADVICE.get(subject) or _ADVICE["5"]


def words(outcome: Outcome) -> str:
    """A reply as it was given: C{x.0.0} stands for no enhanced code of the other side."""
    reply = outcome.reply
    if outcome.remote and reply.enhanced == f"{reply.code // 100}.0.0":
        return f"{reply.code} {reply.text}"
    return str(reply)


def _said(outcome: Outcome) -> str:
    place = hostText(outcome.host)
    if outcome.remote:
        return f"{place or 'The mail system'} said, in answer to {outcome.command}:"
    return f"What happened at {place[0].lower()}{place[1:]}:" if place else "What happened:"


def hostText(host: str) -> str:
    """A next hop as people are told of it: without ports, sockets, and addresses that
    only we can reach."""
    if not host:
        return ""
    if host.startswith("unix:"):
        return "The mailbox server"
    name, _, rest = host.partition("[")
    address = rest.partition("]")[0]
    if name == address or not name:
        return f"The mail host [{address}]" if _isGlobal(address) else "A mail host of ours"
    return f"The mail host {name}" + (f" [{address}]" if _isGlobal(address) else "")


def _isGlobal(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_global
    except ValueError:
        return False


def _wrapped(text: str, indent: str = "") -> str:
    lines = textwrap.wrap(
        text, 76, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return "".join(f"{line}\r\n" for line in lines)


def _dateText(seconds: float) -> str:
    return time.strftime("%d %B %Y at %H:%M UTC", time.gmtime(seconds)).lstrip("0")


def _ageText(seconds: float) -> str:
    for name, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{round(seconds / length)} {name}"
    return "the time allowed"
