"""The pure part: no sockets, no loop, no clock, no randomness. `now` is always an argument."""
