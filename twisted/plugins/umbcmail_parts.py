"""The rules, couriers and modules that umbcmail brings along; see C{docs/plugins.md}."""

from umbcmail.parts import Part

networks = Part("rule", "networks", "umbcmail.check.networks", section="networks")
auth = Part("rule", "auth", "umbcmail.check.auth")
table = Part("rule", "table", "umbcmail.check.table")
dnsbl = Part("rule", "dnsbl", "umbcmail.check.dnsbl")
drac = Part("rule", "drac", "umbcmail.check.drac")

smtp = Part("courier", "smtp", "umbcmail.send.smtp")
lmtp = Part("courier", "lmtp", "umbcmail.send.lmtp")
maildir = Part("courier", "maildir", "umbcmail.send.maildir")

clamav = Part("module", "clamav", "umbcmail.filter.modules.clamav")
spamassassin = Part("module", "spamassassin", "umbcmail.filter.modules.spamassassin")
seal = Part("module", "seal", "umbcmail.filter.modules.seal")
pattern = Part("module", "pattern", "umbcmail.filter.modules.pattern")
