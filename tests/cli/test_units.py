"""What `hub systemd` and `hub openalgo install` share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cli.units import Systemctl
from hub.core.errors import StartError


def test_systemd_is_asked_on_the_real_system_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "systemctl").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n')
    (tmp_path / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    Systemctl(real=False)("daemon-reload")
    assert not (tmp_path / "asked").exists()
    Systemctl(real=True)("enable", "openalgo-hub.target")
    assert (tmp_path / "asked").read_text() == "enable openalgo-hub.target\n"
    (tmp_path / "systemctl").write_text("#!/bin/sh\necho no such unit >&2; exit 5\n")
    with pytest.raises(StartError, match="`systemctl restart openalgo`: no such unit"):
        Systemctl(real=True)("restart", "openalgo")
