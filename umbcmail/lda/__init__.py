"""Local delivery as the user: the role C{lda}, which alone runs as root.

A small LMTP server on a UNIX socket (`server`, `session`, `dialogue`) in a process of
its own takes messages from the mail system.  What is done to a mailbox is done by
processes of its user: `forker`, a program without Twisted, makes them and drops what
root may do (`privileges`) before anything else; `child` then writes into the Maildir or
runs the command.  See C{docs/local-delivery.md}.
"""
