"""OpenAlgo's own broker adapters as a feed: they run in a process of their own, `worker.py`."""
