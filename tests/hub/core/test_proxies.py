"""Where a client that comes through a reverse proxy really is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.config import load
from hub.core.errors import ConfigError
from hub.core.proxies import LOCAL, Proxies, address_of, problem

PROXIES = Proxies(["127.0.0.1", "10.0.0.0/8", "fd00::/8", "unix"])
PROXY = "127.0.0.1"
CLIENT = "192.0.2.7"


@pytest.mark.parametrize(
    ("address", "trusted"),
    [
        (PROXY, True),
        ("127.0.0.2", False),
        ("10.255.0.1", True),
        ("11.0.0.1", False),
        ("fd00::7", True),
        ("fe80::1%eth0", False),
        ("::ffff:10.0.0.1", True),
        (LOCAL, True),
        ("", False),
        ("nonsense", False),
    ],
)
def test_rule_1_only_what_is_listed_is_believed(address: str, *, trusted: bool) -> None:
    assert PROXIES.trusts(address) is trusted


def test_rule_1_nobody_is_believed_without_a_list() -> None:
    assert not any(map(Proxies([]).trusts, (PROXY, LOCAL, "::1")))
    assert not Proxies([PROXY]).trusts(LOCAL)


@pytest.mark.parametrize(
    ("headers", "client"),
    [
        ([], PROXY),
        ([""], PROXY),
        ([CLIENT], CLIENT),
        (["203.0.113.9, 192.0.2.7"], CLIENT),  # what the client wrote, and what the proxy saw
        (["203.0.113.9", "192.0.2.7"], CLIENT),  # two headers are one list
        (["192.0.2.7, 10.1.2.3"], CLIENT),  # through a second proxy
        (["203.0.113.9, 192.0.2.7, 10.1.2.3, 127.0.0.1"], CLIENT),
        (["10.9.9.9, 10.1.2.3"], "10.9.9.9"),  # nobody from outside
        (["192.0.2.7:51000"], CLIENT),
        (["2001:DB8:0::7"], "2001:db8::7"),
        (["[2001:db8::7]"], "2001:db8::7"),
        (["[2001:db8::7]:51000, [fd00::1]:80"], "2001:db8::7"),
        (["::ffff:192.0.2.7"], CLIENT),
        (["unknown"], PROXY),
        (["192.0.2.7, unknown"], PROXY),
        (["192.0.2.7, unknown, 10.1.2.3"], "10.1.2.3"),
        (["192.0.2.7,"], PROXY),
        (["192.0.2.7 evil"], PROXY),
        (["[192.0.2.7"], PROXY),
        (["192.0.2.7:x"], PROXY),
        (["fe80::1%any text at all"], PROXY),
        (['"192.0.2.7"'], PROXY),
        (["\u0661.2.3.4"], PROXY),
        ([", ".join(["192.0.2.7", *["10.0.0.1"] * 100_000])], "10.0.0.1"),
    ],
)
def test_rules_2_and_3_the_last_that_is_no_proxy_is_the_client(
    headers: list[str], client: str
) -> None:
    assert PROXIES.client(PROXY, headers) == client


@given(st.lists(st.text(max_size=40), max_size=5))
def test_rule_2_whatever_a_client_writes_before_it_what_the_proxy_saw_counts(
    words: list[str],
) -> None:
    assert PROXIES.client(PROXY, [*words, f"{' '.join(words)}, {CLIENT}"]) == CLIENT


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        (("192.0.2.7", 1), CLIENT),
        (("::ffff:192.0.2.7", 1, 0, 0), CLIENT),
        (("fe80::1%eth0", 1, 0, 2), "fe80::1%eth0"),
        ("", LOCAL),
        (b"", LOCAL),
        (None, LOCAL),
    ],
)
def test_the_other_end_of_a_socket_has_an_address(peer: object, address: str) -> None:
    assert address_of(peer) == address


@pytest.mark.parametrize(
    "text", ["unix", "127.0.0.1", "::1", "10.0.0.0/8", "fd00::/8", "0.0.0.0/0"]
)
def test_what_may_be_listed(text: str) -> None:
    assert problem(text) == ""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("localhost", "no address, no network"),
        ("10.0.0.1/8", "the network is 10.0.0.0/8"),
        ("10.0.0.0/33", "no address, no network"),
    ],
)
def test_what_may_not_be_listed_is_told_with_the_setting(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(flags={"websocket.trusted_proxies": ["::1", text]}, environ={})
    assert told in str(error.value)
    assert "websocket.trusted_proxies" in str(error.value)
