"""Tells umbcmail of the rules of our campus.

Belongs into a folder C{twisted/plugins/} on the Python path; beside it there must be no
C{__init__.py}.  It is imported by every C{twistd} of the host, so it does nothing but name
kind, name and module; the module itself is imported when it is needed.
"""

from umbcmail.parts import Part

labs = Part("rule", "labs", "campus_rules.labs")
