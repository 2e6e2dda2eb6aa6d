"""Fuzzing by coverage: `scripts/fuzz --list` shows the targets, `scripts/fuzz` runs them in turn.

A target (`targets.py`) takes any bytes and fails when something that must hold does not: in the
parsers of bytes (`parsers.py`) and in a shard's clients (`clients.py`). `child.py` hands it what
atheris makes up, in a process of its own; `hunt.py` starts those and reads what they say;
`__main__.py` is the command line. The tests run every target too, without atheris.
"""
