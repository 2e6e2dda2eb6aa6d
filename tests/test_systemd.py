"""The systemd units: how they start, stop and restart, what they share, what they may do.

1. Every role is told by systemd to start, to stop and that it is stuck, and comes back by itself.
2. They stand and fall with hub.target, but not with each other: nothing requires the router.
3. They share one directory of sockets, which a restart of one of them leaves alone.
4. They may do what the hub needs, in the same words in each unit, and no more.
5. hub.service is all of the hub in one unit, and is one or the other with hub.target.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from hub.core.settings import Settings
from hub.core.supervision import hub_leave_s, patience_s
from hub.openalgo.service import Service
from hub.openalgo.units import Plan, files
from hub.systemd.files import templates

UNITS = Path(__file__).parent.parent / "systemd"
HUB = "/opt/shardhub/scripts/hub"
SERVICES = {
    "hub-router.service": "router",
    "hub-shard@.service": "shard %i",
    "hub-feed@.service": "feed %i",
    "hub-monitor.service": "monitor",
    "hub-uplink.service": "uplink",
}
ALL_IN_ONE = "hub.service"
UNDER_SYSTEMD = [*SERVICES, ALL_IN_ONE]
BELOW_ROUTER = [name for name in SERVICES if name != "hub-router.service"]
WORST_EXPOSURE = 3.0
ANALYZE = shutil.which("systemd-analyze")

Unit = dict[str, dict[str, list[str]]]


def read(name: str) -> Unit:
    """Sections of a unit, each with its settings and all values given to each."""
    unit: Unit = {}
    section: dict[str, list[str]] = {}
    for line in (UNITS / name).read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = unit[line.strip("[]")] = defaultdict(list)
        elif line and not line.startswith("#"):
            setting, _, value = line.partition("=")
            section[setting].append(value)
    return unit


def words(values: list[str]) -> set[str]:
    """Lists may be given in parts."""
    return set(" ".join(values).split())


def seconds(value: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(ms|s|)", value).groups()  # type: ignore[union-attr]  # else it fails, as it should
    return float(number) / (1000 if unit == "ms" else 1)


def hardening(name: str) -> str:
    text = (UNITS / name).read_text(encoding="utf-8")
    return text[text.index("UMask=") : text.index("[Install]")]


def test_there_are_these_units_and_no_others() -> None:
    assert {path.name for path in UNITS.iterdir()} == {"hub.target", *UNDER_SYSTEMD}


@pytest.mark.parametrize("name", UNDER_SYSTEMD)
def test_a_service_runs_its_role(name: str) -> None:
    service = read(name)["Service"]
    assert service["ExecStart"] == [f"{HUB} {SERVICES.get(name, 'start')}"]
    assert service["User"] == service["Group"] == ["shardhub"]
    assert service["Environment"] == ["HUB_CONFIG=/etc/shardhub/hub.toml"]
    assert service["LimitNOFILE"] == ["1048576"]


@pytest.mark.parametrize("name", UNDER_SYSTEMD)
def test_systemd_knows_when_a_role_is_ready_stuck_or_draining(name: str) -> None:
    service = read(name)["Service"]
    assert service["Type"] == ["notify"]
    assert service["NotifyAccess"] == ["main"]
    assert service["WatchdogSec"] == ["30"]
    assert service["KillSignal"] == ["SIGTERM"]
    assert service["SyslogIdentifier"] == ["%N"], "which shard it was, and not `hub`"
    longest = hub_leave_s(Settings()) if name == ALL_IN_ONE else patience_s("shard-0", Settings())
    assert seconds(service["TimeoutStopSec"][0]) > longest, "longer than a drain takes"


@pytest.mark.parametrize("name", UNDER_SYSTEMD)
def test_a_role_comes_back_soon_and_always_unless_its_settings_are_wrong(name: str) -> None:
    unit = read(name)
    assert unit["Service"]["Restart"] == ["always"]
    assert seconds(unit["Service"]["RestartSec"][0]) <= 1
    assert unit["Service"]["RestartPreventExitStatus"] == ["78"]
    assert unit["Unit"]["StartLimitIntervalSec"] == ["0"]


@pytest.mark.parametrize("name", UNDER_SYSTEMD)
def test_who_serves_clients_reads_a_renewed_certificate_at_a_reload(name: str) -> None:
    serves = name in {"hub-shard@.service", ALL_IN_ONE}
    assert read(name)["Service"]["ExecReload"] == ["/bin/kill -HUP $MAINPID"] * serves


@pytest.mark.parametrize("name", UNDER_SYSTEMD)
def test_who_serves_clients_may_do_so_on_a_unix_socket(name: str) -> None:
    serves = name in {"hub-shard@.service", ALL_IN_ONE}
    assert read(name)["Service"]["ReadWritePaths"] == ["-/run/shardhub-web"] * serves


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_stands_and_falls_with_the_target_alone(name: str) -> None:
    unit = read(name)
    assert unit["Unit"]["PartOf"] == ["hub.target"]
    assert unit["Install"]["WantedBy"] == ["hub.target"]
    assert not {"Requires", "Requisite", "BindsTo", "Upholds"} & unit["Unit"].keys()


def test_the_target_is_part_of_the_machine_s_start() -> None:
    assert read("hub.target")["Install"]["WantedBy"] == ["multi-user.target"]


@pytest.mark.parametrize("name", BELOW_ROUTER)
def test_the_router_is_started_first_and_missed_by_nobody(name: str) -> None:
    unit = read(name)["Unit"]
    assert "hub-router.service" in words(unit["After"])
    assert "hub-router.service" in words(unit["Wants"])


def test_the_router_waits_for_nobody() -> None:
    unit = read("hub-router.service")["Unit"]
    assert not [word for word in words(unit["After"] + unit["Wants"]) if word.startswith("hub")]


def test_rule_5_the_one_unit_keeps_away_from_the_target() -> None:
    unit = read(ALL_IN_ONE)
    assert unit["Unit"]["Conflicts"] == ["hub.target"]
    assert unit["Install"]["WantedBy"] == ["multi-user.target"]
    assert not {"Requires", "Requisite", "BindsTo", "Upholds", "PartOf"} & unit["Unit"].keys()


def test_rule_5_the_one_unit_leaves_in_order_and_in_order_too_when_its_supervisor_is_gone() -> None:
    """`hub stop` waits for the supervisor, which ends shards first. Without one systemd tells all
    processes to leave: by KillMode=mixed it would kill them unheard, and clients with them."""
    service = read(ALL_IN_ONE)["Service"]
    assert service["ExecStop"] == [f"{HUB} stop"]
    assert service["KillMode"] == ["control-group"]
    assert service["WatchdogSignal"] == ["SIGTERM"], "else its children are sent SIGABRT too"


@pytest.mark.parametrize("name", UNDER_SYSTEMD)
def test_sockets_outlive_the_restart_of_one_service(name: str) -> None:
    service = read(name)["Service"]
    assert service["RuntimeDirectory"] == ["shardhub"]
    assert service["RuntimeDirectoryMode"] == ["0700"]
    assert service["RuntimeDirectoryPreserve"] == ["yes"]
    assert service["StateDirectory"] == service["ConfigurationDirectory"] == ["shardhub"]


@pytest.mark.parametrize("name", UNDER_SYSTEMD)
def test_a_service_may_do_what_the_hub_needs_and_no_more(name: str) -> None:
    service = read(name)["Service"]
    for setting in (
        "LockPersonality", "MemoryDenyWriteExecute", "NoNewPrivileges", "PrivateDevices",
        "PrivateTmp", "ProtectHome", "RestrictNamespaces", "RestrictSUIDSGID",
    ):  # fmt: skip
        assert service[setting] == ["yes"], setting
    assert service["ProtectSystem"] == ["strict"]
    assert service["CapabilityBoundingSet"] == service["AmbientCapabilities"] == [""]
    assert words(service["RestrictAddressFamilies"]) == {
        "AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK",
    }  # fmt: skip
    assert words(service["SystemCallFilter"]) == {"@system-service", "~@privileged"}


def test_all_services_are_confined_in_the_same_words() -> None:
    assert len({hardening(name) for name in UNDER_SYSTEMD}) == 1


@pytest.mark.parametrize("name", ["hub.target", ALL_IN_ONE])
def test_a_unit_says_how_it_is_installed(name: str) -> None:
    text = (UNITS / name).read_text(encoding="utf-8")
    command = {"hub.target": f"{HUB} systemd install", ALL_IN_ONE: f"enable --now {ALL_IN_ONE}"}
    assert f"#   sudo {command[name]}" in text.replace("systemctl ", "")
    for line in re.findall(r"/opt/shardhub/(\S+)", text):
        path = UNITS.parent / line.rstrip(":,*")
        assert path.exists() or line == "README.md", f"{line} is not in the repository"


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not on this machine")
class TestSystemd:
    """What systemd itself says of the units, with a program that exists in place of the hub."""

    @pytest.fixture
    def units(self, tmp_path: Path) -> Path:
        for path in UNITS.iterdir():
            text = path.read_text(encoding="utf-8").replace(HUB, "/bin/true")
            tmp_path.joinpath(path.name).write_text(text, encoding="utf-8")
        return tmp_path

    def analyze(self, *arguments: str | Path) -> str:
        assert ANALYZE
        done = subprocess.run(
            [ANALYZE, *map(str, arguments)],
            check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        print(done.stdout)
        assert done.returncode == 0, done.stdout
        return done.stdout

    @pytest.fixture
    def installed(self, tmp_path: Path) -> Path:
        """Units with all that is allowed more anywhere: those beside OpenAlgo."""
        plan = Plan(
            Service("openalgo", "www-data", "", {}),
            Path("/home/a/openalgo"),
            Path("/usr/bin/python3"),
            3,
            UNITS.parent,
            writable=(Path("/var/log/openalgo"),),
        )
        for path, text in files(plan, templates(UNITS.parent)).items():
            program = f"{UNITS.parent}/scripts/hub"
            if path.suffix in {".service", ".target"}:
                (tmp_path / path.name).write_text(text.replace(program, "/bin/true"))
        return tmp_path

    def test_it_has_nothing_to_complain_about_what_is_installed(self, installed: Path) -> None:
        said = self.analyze("verify", "--man=no", installed / "openalgo-hub.target")
        assert not [line for line in said.splitlines() if "hub" in line]

    def test_exposure_is_low_where_most_is_allowed(self, installed: Path) -> None:
        assert self.exposure(installed / "openalgo-hub-feed@.service") <= WORST_EXPOSURE

    def test_it_has_nothing_to_complain_about(self, units: Path) -> None:
        instances = [
            units / name.replace("@.", f"@{instance}.")
            for name, instance in zip(SERVICES, ("", "3", "bus", "", ""), strict=True)
        ]
        both = [units / "hub.target", units / ALL_IN_ONE]
        said = self.analyze("verify", "--man=no", *both, *instances)
        assert not [line for line in said.splitlines() if "hub" in line]

    @pytest.mark.parametrize("name", UNDER_SYSTEMD)
    def test_exposure_is_low(self, units: Path, name: str) -> None:
        assert self.exposure(units / name) <= WORST_EXPOSURE

    def exposure(self, unit: Path) -> float:
        if "--offline" not in self.analyze("--help"):
            pytest.skip("this systemd-analyze judges installed units only")
        said = self.analyze("security", "--offline=true", "--no-pager",
                            f"--threshold={WORST_EXPOSURE * 10:.0f}", unit)  # fmt: skip
        found = re.search(r"Overall exposure level for \S+: ([\d.]+)", said)
        assert found
        return float(found[1])
