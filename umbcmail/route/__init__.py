"""Where does the mail of a domain go?

`router` answers, by `classes` (which queue class), `table` (configured next
hops) and `exchanges` (MX); `patterns` finds a domain among patterns.  The DNS:
`resolver` asks, by `servers`, understands by `answers` and remembers in `cache`.
"""
