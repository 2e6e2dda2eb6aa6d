"""The kinds of message in the pipes."""

from __future__ import annotations

from hub.core import stream


def kinds() -> list[bytes]:
    return [value for name, value in vars(stream).items() if isinstance(value, bytes)]


def test_every_kind_is_told_by_one_byte_of_its_own() -> None:
    assert len(kinds()) == 14
    assert len(set(kinds())) == len(kinds())
    assert {len(kind) for kind in kinds()} == {1}


def test_every_stay_at_every_router_has_a_token_of_its_own() -> None:
    stays = [(epoch, lease) for epoch in (1, 17, 273, 10**18) for lease in (1, 17, 273)]
    assert len({stream.token(*stay) for stay in stays}) == len(stays)


def test_every_token_names_the_version_first() -> None:
    assert stream.token(255, 16) == b"%d.ff.10" % stream.VERSION
