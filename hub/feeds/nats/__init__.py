"""The feed `nats`: it takes the feeds of other machines."""

from hub.feeds.nats.gather import NatsFeed

__all__ = ["NatsFeed"]
