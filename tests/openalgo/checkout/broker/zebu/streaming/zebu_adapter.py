"""Keeps a subscription for each subscribe."""

from broker.market import CopyingAdapter


class ZebuWebSocketAdapter(CopyingAdapter):
    pass
