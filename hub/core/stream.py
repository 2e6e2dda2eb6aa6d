"""The stream from the router to a shard: the kinds of message on it, told by their first part.

All that must keep its order relative to ticks rides in the same pipe as the ticks. Behind its kind
each message carries the token of the shard's stay at the router, which the welcome named: what is
left over from an earlier stay, or from a router that has died, is told by it and dropped.
"""

VERSION = 2
"""Of control messages and this stream together; both ends must be of the same. Every token
begins with it, so that no message of another version is taken for one of this."""


def token(epoch: int, lease: int) -> bytes:
    """The name of one stay at one router."""
    return f"{VERSION}.{epoch:x}.{lease:x}".encode()


TICKS = b"t"
"""Batches of ticks the shard has legs for: one frame per group."""

HOME = b"h"
"""Batches of ticks the shard is only the home of."""

ACCOUNT = b"a"
"""One batch of account events; never dropped, not even those of an earlier stay of the same
process, since the router knows them sent. One without content stands for events that were lost."""

OPENED = b"o"
"""Keys whose leg has just been opened, and the number of the shard's word that opened it: what
the shard knew of them is void, unless it is home."""

QUERY = b"q"
"""Asks a home for last values: the stay of the shard that wants them, the question's number, live
keys, other keys."""

VALUES = b"v"
"""A home's answer. To the router: stay and question as they were asked, a batch. To the shard
that wants it: the batch, then the keys with the number of the opening that it is for."""

FORGET = b"f"
"""Keys that are no longer live upstream: their last values are void."""

INVALIDATE = b"i"
"""Somebody's credentials have changed: forget what was verified. Holds OpenAlgo's own message."""
