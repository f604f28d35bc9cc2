"""What processes and hosts share: the roster of POP-before-SMTP, fading counters.

One store behind small interfaces (C{umbcmail.interfaces.IState}): `sqlite` in a folder of this host,
`memory` for tests.
"""
