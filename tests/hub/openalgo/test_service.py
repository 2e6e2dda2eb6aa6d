"""Which systemd service runs a checkout, read from unit files below a made-up root."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub.openalgo.service import Service, services

UNIT = """[Unit]
Description=OpenAlgo

[Service]
User=www-data
Group=web
WorkingDirectory={root}
Environment="HOME={root}/tmp" THREADS=2
ExecStart=/bin/bash -c 'gunicorn \\
    --worker-class eventlet \\
    app:app'

[Install]
WantedBy=multi-user.target
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "checkout"
    path.mkdir()
    return path


@pytest.fixture
def system(tmp_path: Path) -> Path:
    return tmp_path / "system"


def put(system: Path, name: str, text: str, folder: str = "etc/systemd/system") -> None:
    path = system / folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_it_is_the_one_that_works_in_the_checkout(root: Path, system: Path) -> None:
    put(system, "openalgo1.service", UNIT.format(root=root))
    put(system, "openalgo2.service", UNIT.format(root=f"{root}2"))
    put(system, "sshd.service", "[Service]\nExecStart=/usr/sbin/sshd\n")
    put(system, "odd.service", "[Unit]\nWorkingDirectory=" + str(root))
    environment = {"HOME": f"{root}/tmp", "THREADS": "2"}
    assert services(root, system) == [Service("openalgo1", "www-data", "web", environment)]
    assert services(root.parent, system) == []


def test_a_working_directory_may_be_one_that_need_not_be_there(root: Path, system: Path) -> None:
    put(system, "openalgo.service", UNIT.format(root=f"-{root}"))
    assert [one.name for one in services(root, system)] == ["openalgo"]


def test_links_on_either_side_do_not_hide_it(root: Path, system: Path) -> None:
    link = root.parent / "link"
    link.symlink_to(root)
    put(system, "a.service", UNIT.format(root=link))
    put(system, "b.service", UNIT.format(root=root))
    assert [one.name for one in services(link, system)] == ["a", "b"]
    assert [one.name for one in services(root, system)] == ["a", "b"]


def test_the_stronger_folder_s_unit_counts(root: Path, system: Path) -> None:
    put(system, "openalgo.service", UNIT.format(root=root), "usr/lib/systemd/system")
    put(system, "openalgo.service", UNIT.format(root=root).replace("www-data", "trader"))
    assert [one.user for one in services(root, system)] == ["trader"]


def test_an_instance_of_a_template_is_not_looked_for(root: Path, system: Path) -> None:
    put(system, "openalgo@.service", UNIT.format(root=root))
    assert services(root, system) == []


def test_what_cannot_be_read_is_passed_over(root: Path, system: Path) -> None:
    put(system, "openalgo.service", UNIT.format(root=root))
    put(system, "home.service", UNIT.format(root="~"))
    (system / "etc/systemd/system/gone.service").symlink_to(system / "nowhere")
    (system / "etc/systemd/system/bytes.service").write_bytes(b"\xff\xfe")
    put(system, "quotes.service", f"[Service]\nWorkingDirectory={root}\nEnvironment='A=b\n")
    assert [one.name for one in services(root, system)] == ["openalgo", "quotes"]


@pytest.mark.parametrize(
    ("lines", "standalone"),
    [
        ("", False),
        ("Environment=APP_MODE=standalone", True),
        ('Environment="APP_MODE=standalone" A=1', True),
        ("Environment=APP_MODE='standalone'", True),
        ("Environment=APP_MODE=integrated", False),
        ("Environment=APP_MODE=standalone\nEnvironment=", False),
        ("#Environment=APP_MODE=standalone", False),
        ("[Unit]\nEnvironment=APP_MODE=standalone", False),
    ],
)
def test_a_drop_in_says_whether_it_starts_its_proxy(
    root: Path, system: Path, lines: str, standalone: bool
) -> None:
    put(system, "openalgo.service", UNIT.format(root=root))
    put(system, "openalgo.service.d/50-hub.conf", f"[Service]\n{lines}\n")
    (service,) = services(root, system)
    assert service.standalone == standalone
    assert service.user == "www-data"


def test_drop_ins_count_in_the_order_of_their_names(root: Path, system: Path) -> None:
    put(system, "openalgo.service", UNIT.format(root=root))
    for name, mode, folder in (
        ("20-b.conf", "standalone", "usr/lib/systemd/system"),
        ("10-a.conf", "integrated", "etc/systemd/system"),
    ):
        text = f"[Service]\nEnvironment=APP_MODE={mode}\n"
        put(system, f"openalgo.service.d/{name}", text, folder)
    assert services(root, system)[0].standalone
    off = "[Service]\nEnvironment=APP_MODE=off\n"
    put(system, "openalgo.service.d/20-b.conf", off)  # the stronger folder's of that name
    assert not services(root, system)[0].standalone
