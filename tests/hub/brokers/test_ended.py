"""What the codecs say of a connection that has ended, and of a list that is too short."""

from __future__ import annotations

import pytest

from hub.brokers import catalogue
from hub.brokers.base import Ended
from hub.core.model import Fault


@pytest.mark.parametrize(
    ("end", "why"), [(Ended(1006), "1006"), (Ended(1001, "going away"), "1001 going away")]
)
@pytest.mark.parametrize("name", ["zerodha", "upstox", "dhan", "binance"])
def test_the_code_stands_in_brackets_with_the_reason_that_came(
    name: str, end: Ended, why: str
) -> None:
    channel = catalogue.get(name).channels[0]
    fault, text = channel.codec({}, channel.addresses).ended(end)
    assert fault is Fault.NETWORK
    assert text.endswith(f"({why})")


@pytest.mark.parametrize("name", ["zerodha", "upstox", "dhan", "binance"])
def test_a_part_of_a_first_list_is_no_list(name: str) -> None:
    assert catalogue.get(name).instruments.least >= 100
