"""The adapter is in a module that is not named by the rule."""

from broker.market import LeavingAdapter


class FyersWebSocketAdapter(LeavingAdapter):
    pass
