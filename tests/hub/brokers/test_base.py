"""What brokers are asked is secret, and stands in no repr."""

from __future__ import annotations

from hub.brokers.base import Endpoint, Reply, Request


def test_no_repr_holds_a_query_a_header_or_a_body() -> None:
    headers = {"X-Key": "sesame"}
    request = Request("POST", "https://a.invalid/x?pin=sesame", headers, b"sesame")
    assert repr(request) == "<Request POST https://a.invalid/x>"
    endpoint = Endpoint("wss://a.invalid/x?token=sesame", headers)
    assert repr([endpoint]) == "[<Endpoint wss://a.invalid/x>]"
    assert repr(Reply(200, headers, b"sesame")) == "<Reply 200, 6 bytes>"
