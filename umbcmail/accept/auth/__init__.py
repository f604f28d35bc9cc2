"""SMTP AUTH: the commands, the mechanisms, and who knows the passwords.

C{authentication} is a session's side, C{sasl} lists the mechanisms, C{checkers} makes
the portal of what the configuration names.
"""
