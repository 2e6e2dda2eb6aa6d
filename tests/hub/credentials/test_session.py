"""A session is its owner's alone, and counts for the credentials that it was made with."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub.core.errors import KeyStoreError
from hub.credentials.session import SessionFile

OWN = {"api_key": "a", "pin": "1"}


def test_what_is_kept_comes_back_for_the_same_credentials(tmp_path: Path) -> None:
    file = SessionFile(tmp_path / "new/angel.env.session")
    assert file.load(OWN) is None
    assert file.stamp() is None
    kept = file.save(OWN, {"access_token": "sesame"}, 1000.0)
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert file.load(dict(reversed(OWN.items()))) == kept
    assert kept.fields == {"access_token": "sesame"}
    assert file.load({**OWN, "pin": "2"}) is None
    assert "sesame" not in repr(kept)
    assert file.stamp() is not None


def test_one_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = SessionFile(tmp_path / "s")
    file.save(OWN, {}, 1.0)
    file.path.chmod(0o640)
    with pytest.raises(KeyStoreError, match="open to other users; type `chmod 600 "):
        file.load(OWN)


@pytest.mark.parametrize("content", [b"", b"{}", b'{"made": "x"}', b"\xff"])
def test_one_that_cannot_be_understood_is_none_and_is_replaced(
    tmp_path: Path, content: bytes
) -> None:
    file = SessionFile(tmp_path / "s")
    file.path.touch(0o600)
    file.path.write_bytes(content)
    assert file.load(OWN) is None
    file.save(OWN, {"a": "b"}, 1.0)
    assert file.load(OWN) is not None


def test_it_can_be_forgotten(tmp_path: Path) -> None:
    file = SessionFile(tmp_path / "s")
    file.save(OWN, {}, 1.0)
    assert [file.remove(), file.remove()] == [True, False]
