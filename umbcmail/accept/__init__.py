"""A client talks to us: factories, session, command grammar, DATA, Received.

`factory` makes a `session` for each connection; the session moves bytes and
asks its `dialogue`, which decides; `grammar`, `data` and `received` are pure.
"""
