"""One process of these per shard: client sockets, the subscription index, last values.

`protocol` reads requests and writes replies, `fanout` turns ticks into frames, `outbox` keeps what
a client cannot take yet: all three pure. `session` is one client, `gateway` its socket, `desk`
what sessions ask of the hub, and `shard` wires the rest.
"""
