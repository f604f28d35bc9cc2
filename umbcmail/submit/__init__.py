"""A program of this host hands over mail, by the command C{sendmail}.

`arguments` and `message` say what is wanted, `client` brings it to the running system by its
UNIX socket, `drop` leaves it in a folder where that does not run, and `pickup` fetches it from
there.  All but `pickup` is for a command that must start quickly: nothing large is imported.
"""
