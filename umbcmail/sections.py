"""All that can be configured, with the parts that are installed.  Part of the composition."""

from __future__ import annotations

from dataclasses import replace

from umbcmail.accept.auth.checkers import AUTH
from umbcmail.accept.factory import AGENT, PORT
from umbcmail.accept.tls import TLS, TLS_NAME
from umbcmail.check.recipients import RECIPIENTS
from umbcmail.config.host import HOST
from umbcmail.drac.settings import DRAC
from umbcmail.filter.modules.freshclam import FRESHCLAM
from umbcmail.filter.multiplexer.settings import FILTER
from umbcmail.filter.settings import AGENT_OPTIONS, MILTER
from umbcmail.lda.settings import LDA
from umbcmail.maillog import LOG
from umbcmail.multiplexing import moduleSection
from umbcmail.options import TEXT, Option, Section
from umbcmail.parts import findParts
from umbcmail.postman.settings import POSTMAN
from umbcmail.queue.destinations import DESTINATION, WARM_UP
from umbcmail.queue.expiry import SCHEDULE
from umbcmail.queue.intakesettings import INTAKE
from umbcmail.queue.munger import MUNGE
from umbcmail.queue.notifier import BOUNCE
from umbcmail.queue.schedule import QUEUE
from umbcmail.queue.throttle import THROTTLE
from umbcmail.route.aliassettings import ALIASES
from umbcmail.route.classes import DOMAINS
from umbcmail.route.resolver import DNS
from umbcmail.route.table import ROUTE
from umbcmail.send.callahead import CALL_AHEAD
from umbcmail.send.tlspolicy import TLS_POLICY
from umbcmail.storage import HOSTS, SPOOL, STATE
from umbcmail.submit.pickup import DROP
from umbcmail.watch.listen import WATCH

_AGENTS = replace(
    AGENT,
    options=AGENT.options + INTAKE + AGENT_OPTIONS,
    defaults=(("relay", (("mode", "background"), ("filter-down", "accept"))),),
)


def sections() -> tuple[Section, ...]:
    """All that can be configured, with the parts that are installed."""
    rules = {p.section: Section(p.section, f"The rule {p.name}.", p.options) for p in findParts("rule").values()}
    couriers = findParts("courier")
    options = {option.name: option for part in couriers.values() for option in part.options}
    courier = Section(
        "courier.*",
        "A courier: how mail is carried.",
        (Option("type", TEXT, "smtp", "What it is: " + ", ".join(sorted(couriers)) + "."), *options.values()),
        names=tuple(couriers),
        defaults=tuple((name, (("type", name),)) for name in couriers),
    )
    pace = (DESTINATION, THROTTLE, WARM_UP)
    ways = (RECIPIENTS, CALL_AHEAD, QUEUE, *pace, BOUNCE, courier, TLS_POLICY, ROUTE, SCHEDULE, MUNGE, WATCH)
    shared = (AUTH, SPOOL, STATE, HOSTS, DRAC, DROP, LDA, POSTMAN, LOG, DNS)
    multiplexer = (MILTER, FILTER, moduleSection(), FRESHCLAM)
    return (HOST, DOMAINS, ALIASES, *rules.values(), TLS, TLS_NAME, *shared, _AGENTS, PORT, *multiplexer, *ways)
