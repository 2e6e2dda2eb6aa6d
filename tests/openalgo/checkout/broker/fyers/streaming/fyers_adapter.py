"""Has the broker's name, and is no adapter."""


class FyersAdapter:
    pass
