"""May the mail go on?  Rules about clients, asked in order.

`relaying` asks the rules of a port.  The rules: `networks` (where a client is), `auth`
(it has a login), `table` with `access`, `actions` and `tablefiles` (what an access table
says), `dnsbl` with `dnslist` and `dnslists` (what lists in the DNS say).  Then
`recipientpolicy` asks whether the recipient exists: `recipients` (tables), and others.
"""
