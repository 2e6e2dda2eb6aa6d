"""The doors: the only files that touch zmq, child processes, signals and sd_notify."""
