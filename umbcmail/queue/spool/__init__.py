"""Stable storage for messages, behind L{umbcmail.interfaces.ISpool}.

C{sqlite} keeps them in a folder that several processes share, C{memory} in the
process (tests, simulation).  Nothing outside of this folder knows what a spool
is made of.
"""
