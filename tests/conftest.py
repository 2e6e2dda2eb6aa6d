"""How hypothesis runs here: machines are busy, so nothing has a deadline; CI tries less."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "hub",
    deadline=None,
    max_examples=25 if os.environ.get("CI") == "true" else 100,
    stateful_step_count=25,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("hub")
