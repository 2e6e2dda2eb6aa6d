"""What hypothesis makes of requests: JSON of any kind, and such that is nearly right."""

from __future__ import annotations

from hypothesis import strategies as st

KNOWN = (
    "authenticate", "auth", "subscribe", "unsubscribe", "unsubscribe_all", "subscribe_orders",
    "unsubscribe_orders", "get_broker_info", "get_supported_brokers", "ping",
)  # fmt: skip
ENTRY = {"symbol": "SBIN", "exchange": "NSE"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = (
    "action", "type", "api_key", "apikey", "symbols", "symbol", "exchange", "mode", "depth",
    "snapshot", "request_id", "timestamp", "_pingId", "batch", "encoding", "conflation_info",
    "max_rate",
)  # fmt: skip
LIKELY = st.sampled_from(
    [*KNOWN, "LTP", " quote ", 1, 2, 3, "NSE", "SBIN", [ENTRY], [{**ENTRY, "mode": 1}], [], {}, ""]
)
REQUESTS = st.dictionaries(st.sampled_from(FIELDS), LIKELY | JSON, max_size=8)
