"""`python -m hub.monitor` runs the monitor."""

from hub.core.config import load
from hub.monitor.monitor import Monitor
from hub.runtime.role import run

run("monitor", load(), Monitor)
