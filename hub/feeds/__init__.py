"""Sources of ticks. `base` is the interface, `host` the process that runs one of them."""
