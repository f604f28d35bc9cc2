"""May the mail go on?  Rules about clients, asked in order.

`relaying` asks the rules of a port; `networks` is the rule about where a client
is.
"""
