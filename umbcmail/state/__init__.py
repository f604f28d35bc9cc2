"""What processes and hosts share: the roster of POP-before-SMTP, fading counters, which
next hops do not answer.

One store behind small interfaces (C{umbcmail.interfaces.IState}): `sqlite` in a folder of this host,
`redis` for several hosts, `memory` for tests.
"""
