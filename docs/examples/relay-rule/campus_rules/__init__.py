"""Relay rules of our campus.  A package of one's own, anywhere on the Python path."""
