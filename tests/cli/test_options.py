"""What the commands share."""

from __future__ import annotations

import pytest

from cli.options import seconds


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("90s", 90), ("10m", 600), ("1h30m", 5400), ("6h15m", 22500), ("0.5s", 0.5)],
)
def test_times(text: str, wanted: float) -> None:
    assert seconds(None, None, text) == wanted  # type: ignore[arg-type]  # click's own
