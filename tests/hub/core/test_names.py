"""The names in the runtime directory."""

from __future__ import annotations

from hub.core import names


def test_no_two_sockets_or_files_share_a_name() -> None:
    fixed = [value for name, value in vars(names).items() if name.isupper()]
    pipes = [names.pipe_name(shard) for shard in range(64)]
    assert len({*fixed, *pipes}) == len(fixed) + 64
    assert not any("/" in name for name in (*fixed, *pipes))
