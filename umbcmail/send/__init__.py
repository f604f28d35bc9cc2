"""Carry the message to the next hop.

`smtp` and `lmtp` are the couriers; an `attempt` goes through the hops, a `pool`
keeps the connections to one hop, a `client` moves the bytes of one connection,
`opening` and `transaction` decide what is said; `replies`, `commands`,
`stuffing` and `problems` are pure.  `callahead` asks a next hop about a recipient, by a
`question`.
"""
