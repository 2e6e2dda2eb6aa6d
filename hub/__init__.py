"""Shardhub: what exists once per hub, and what its processes share.

Interest climbs, ticks fall. The rooms: `core` decides and touches nothing, `runtime` holds the
doors (zmq, signals, child processes), and the roles (`router`, `supervisor`, `monitor`, `feeds`)
wire the two together. docs/architecture.md walks a tick and a subscribe through the files.
"""

__version__ = "0.1.0"
