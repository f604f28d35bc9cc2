"""umbcmail: a mail transfer system on Twisted.

The folders are the stages that a message passes through, `service.py` puts
them together; `docs/flow.md` tells the whole way in plain words.
"""

__version__ = "0.1.0"
