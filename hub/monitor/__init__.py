"""The monitor: everyone's heartbeats and psutil figures, and the answers to the command line.

`record` is pure and keeps what was heard and measured; `monitor` is the process.
"""
