"""What is special about some of OpenAlgo's brokers.

Runs in the checkout's interpreter, too: see `worker.py` for what may be imported.
"""

KEPT = frozenset({"flattrade", "shoonya"})
"""Brokers whose sessions are kept when nobody is here: they refuse a new login for a while."""

SINGLE = frozenset({"flattrade", "shoonya"})
"""Brokers that end a session when its login connects once more."""
