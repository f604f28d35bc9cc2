"""Fuzz targets: one module for each parser of what a peer or an operator gives us.

A target is a function C{check(data)} that raises when a promise is broken, and
C{SEEDS} to begin with.  C{script/fuzz} drives them with Atheris for as long as one
likes, C{tests/unit/test_fuzz_targets.py} with Hypothesis for a moment.
"""

TARGETS = (
    "aliases",
    "bounce",
    "chunks",
    "commands",
    "content",
    "drac",
    "directories",
    "ehlo",
    "filters",
    "header",
    "lmtpserver",
    "milter",
    "multiplexer",
    "names",
    "proxy",
    "received",
    "replies",
    "sasl",
    "sending",
    "session",
    "sevenbit",
    "stuffing",
    "toml",
    "xclient",
)
