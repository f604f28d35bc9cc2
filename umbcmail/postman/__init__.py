"""Keeps the Kerberos ticket that local deliveries run with: the role C{postman}.

It runs in a process of its own (`service`), so that the key of the postman is not in one
that talks to the network.  C{kinit} gets a ticket from the keytab (`kinit`), which is
moved into place when it is all there (`cache` says when it ends).  What others need to know
stands in a record beside it (L{umbcmail.credentials}).  See C{docs/postman.md}.
"""
