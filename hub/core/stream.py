"""The stream from the router to a shard: the kinds of message on it, told by their first part. What
comes to the router's ingest has some of the same kinds.

All that must keep its order relative to ticks rides in the same pipe as the ticks. Behind its kind
each message carries the token of the shard's stay at the router, which the welcome named: what is
left over from an earlier stay, or from a router that has died, is told by it and dropped.
"""

VERSION = 7
"""Of control messages and this stream together; both ends must be of the same. Every token
begins with it, so that no message of another version is taken for one of this."""


def token(epoch: int, lease: int) -> bytes:
    """The name of one stay at one router."""
    return f"{VERSION}.{epoch:x}.{lease:x}".encode()


TICKS = b"t"
"""Batches of ticks the shard has legs for: one frame per group. To the router: one batch of a
feed's, whose JSON its host has checked; a batch alone, without a kind, is checked there."""

UNCHECKED = b"u"
"""To the router alone: one batch of a feed's whose JSON nobody here has checked."""

AGAIN = b"g"
"""Batches of values that may have come before: what is no news to a shard is no tick. To the
router: one batch whose JSON nobody here has checked."""

KEEP = b"k"
"""Batches of ticks the shard has no leg for, and only keeps the last values of."""

OLD = b"l"
"""The same of ticks that came while the shard was not there; how old they are nobody says."""

ACCOUNT = b"a"
"""One batch of account events; never dropped, not even those of an earlier stay of the same
process, since the router knows them sent. One without content stands for events that were lost."""

FOLLOWED = b"w"
"""Keys of account events that begin here, and the number of the shard's word that asked for them.
What comes before belongs to an earlier interest in them."""

MARK = b"m"
"""The number of a pause of the shard's, which it has asked for: what comes before was on its way in
that pause."""

OPENED = b"o"
"""Keys whose ticks begin here: on a leg, with the number of the shard's word that opened it, or for
an heir, with the number 0. What the shard knew of them is void once the question is answered whose
number follows."""

CLOSED = b"c"
"""Keys whose ticks end here: what the shard knows of them is void."""

QUERY = b"q"
"""Asks a keeper for last values: the stay of the shard that wants them, the question's number, live
keys, other keys."""

VALUES = b"v"
"""A keeper's answer. To the router: stay and question as they were asked, a batch. To the shard
that wants it: the batch, then the keys with the number of the question."""

FORGET = b"f"
"""Keys that are no longer live upstream: their last values are void."""

INVALIDATE = b"i"
"""Somebody's credentials have changed: forget what was verified. Holds OpenAlgo's own message."""
