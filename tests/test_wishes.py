from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from offers import Asking

from rmqsetup import wishes
from rmqsetup.catalog import load
from rmqsetup.detect import detect
from rmqsetup.facts import Facts, Init
from rmqsetup.host import FileState
from rmqsetup.hosts.replay import ReplayHost
from rmqsetup.managers import apt_sources
from rmqsetup.managers.apt_sources import OURS as SOURCES
from rmqsetup.managers.apt_sources import PIN
from rmqsetup.managers.layout import SYSTEM
from rmqsetup.plan import Plan
from rmqsetup.recipe import Request
from rmqsetup.resolve import resolve
from rmqsetup.settings import Setting
from rmqsetup.steps import Phase
from rmqsetup.steps.file import File, sha256
from rmqsetup.steps.packages import Packages
from rmqsetup.steps.service import Service
from rmqsetup.wishes import LIMITS, Ours, Retirement

CONFIG, SETTINGS, PLUGINS = SYSTEM.config, SYSTEM.settings, SYSTEM.plugins

FACTS = detect(ReplayHost(Path(__file__).parent / "data" / "machines" / "debian-13"))
KEYRING = "/usr/share/keyrings/com.rabbitmq.team.asc"
A, B = Setting("vm_memory_high_watermark.relative", "0.5"), Setting("log.console", "true")
apt = pytest.mark.skipif(not shutil.which("apt-cache"), reason="no apt to agree with")


def plan(
    request: Request | None = None, *, facts: Facts = FACTS, ours: Ours | None = None, ask=None, retired=()
) -> Plan:
    request = request or Request()
    resolution = resolve(facts, request, load(), ask or Asking())
    return wishes.build(resolution, facts, request, ours=ours or Ours(), retired=retired)


def files(made: Plan) -> dict[str, File]:
    return {step.path: step for step in made.steps if isinstance(step, File)}


def text(made: Plan, path: str) -> str:
    return (files(made)[path].content or b"").decode()


def packages(made: Plan) -> Packages:
    (step,) = (step for step in made.steps if isinstance(step, Packages))
    return step


def service(made: Plan) -> Service:
    (step,) = (step for step in made.steps if isinstance(step, Service))
    return step


FULL = Request(plugins=("rabbitmq_management", "rabbitmq_shovel"), config=(A,), open_files=65536)


# --- the plan as a whole ---------------------------------------------------------------------------------------------


def test_phases_files_before_packages_before_owned_files_before_the_start():
    made = plan(FULL)
    assert [step.phase for step in made.steps] == sorted(step.phase for step in made.steps)
    assert [(step.key, step.phase) for step in made.steps] == [
        (f"file:{KEYRING}", Phase.WRITE),
        (f"file:{SOURCES}", Phase.WRITE),
        (f"file:{PIN}", Phase.WRITE),
        (f"file:{SETTINGS}", Phase.WRITE),
        (f"file:{LIMITS}", Phase.WRITE),
        ("packages:apt", Phase.PACKAGES),
        (f"file:{PLUGINS}", Phase.OWNED),
        ("service:rabbitmq-server", Phase.START),
    ]
    assert made.title == "install"


def test_paths_modes_and_owners():
    made = files(plan(FULL))
    assert {path: (f.mode, f.owner, f.group) for path, f in made.items()} == {
        KEYRING: (0o644, "root", "root"),
        SOURCES: (0o644, "root", "root"),
        PIN: (0o644, "root", "root"),
        SETTINGS: (0o644, "root", "root"),
        LIMITS: (0o644, "root", "root"),
        PLUGINS: (0o644, "rabbitmq", "rabbitmq"),
    }
    assert made[PLUGINS].content == b"[rabbitmq_management,rabbitmq_shovel].\n"
    assert text(plan(FULL), LIMITS).endswith("[Service]\nLimitNOFILE=65536\n")
    assert text(plan(FULL), SETTINGS).endswith("vm_memory_high_watermark.relative = 0.5\n")


def test_the_least_there_is_to_wish():
    made = plan(Request(source="distro"))
    assert [step.key for step in made.steps] == ["packages:apt", "service:rabbitmq-server"]


def test_packages_of_a_source():
    made = packages(plan())
    assert made.want[0].version == "4.4.1-1"
    assert made.hold == made.family == ("rabbitmq-server", "erlang-*")
    assert made.hold_back == "rabbitmq-server"
    assert made.origins == ("RabbitMQ",)
    assert len(made.uris) == 4
    assert (made.release, made.ours, made.downgrade) == ((), (), False)


def test_no_hold_lifts_only_what_is_ours():
    request = Request(hold=False, recommends=False, lock_timeout=7)
    assert (packages(plan(request)).hold, packages(plan(request)).release) == ((), ())
    made = packages(plan(request, ours=Ours(holds=("erlang-*",))))
    assert (made.hold, made.release, made.ours) == ((), ("erlang-*",), ("erlang-*",))
    assert (made.recommends, made.lock_timeout) == (False, 7)


def test_the_service_is_newer_than_all_that_it_reads():
    made = service(plan())
    assert made == Service(
        "systemd",
        "rabbitmq-server",
        enabled=True,
        running=True,
        newer_than=(
            "/etc/rabbitmq/conf.d/10-rmqsetup.conf",
            "/etc/rabbitmq/rabbitmq.conf",
            "/etc/rabbitmq/enabled_plugins",
            "/etc/rabbitmq/definitions.json",
            "/etc/systemd/system/rabbitmq-server.service.d/rmqsetup.conf",
            "/var/lib/dpkg/info/rabbitmq-server.list",
            "/var/lib/dpkg/info/erlang-base.list",
        ),
    )
    quiet = service(plan(Request(start=False, enable=False)))
    assert (quiet.running, quiet.enabled) == (None, False)


def test_definitions_travel_by_reference(tmp_path):
    source = tmp_path / "d.json"
    source.write_text('{"users": []}')
    made = plan(Request(definitions=str(source)))
    file = files(made)["/etc/rabbitmq/definitions.json"]
    assert (file.content, file.source, file.secret, file.mode) == (None, str(source), True, 0o640)
    assert file.digest == sha256(source.read_bytes())
    assert file.phase is Phase.OWNED
    assert text(made, SETTINGS).endswith("load_definitions = /etc/rabbitmq/definitions.json\n")


def test_without_systemd_a_limit_is_not_written_but_warned_of():
    made = plan(FULL, facts=replace(FACTS, init=Init.NONE))
    assert LIMITS not in files(made)
    assert "limit of open files is not set" in made.resolution.warnings[-1]
    assert not any("limit of open files" in warning for warning in plan(FULL).resolution.warnings)


# --- what was there --------------------------------------------------------------------------------------------------


def test_directories_we_make_go_again_and_others_stay():
    made = plan(FULL)
    assert files(made)[SETTINGS].directories == (f"{CONFIG}/conf.d", CONFIG)
    assert files(made)[PLUGINS].directories == (CONFIG,)
    assert files(made)[LIMITS].directories == ("/etc/systemd/system/rabbitmq-server.service.d",)
    assert packages(made).keep == ("/var/lib/rabbitmq", "/var/log/rabbitmq", CONFIG)


def test_a_configuration_that_was_there_before_us_outlives_a_purge():
    before = replace(FACTS, directories=(CONFIG,))
    made = plan(FULL, facts=before)
    assert packages(made).keep == ("/var/lib/rabbitmq", "/var/log/rabbitmq", CONFIG)
    assert files(made)[SETTINGS].directories == (f"{CONFIG}/conf.d",)
    assert files(made)[PLUGINS].directories == ()
    again = plan(FULL, facts=before, ours=Ours(directories=(CONFIG,)))
    assert files(again)[PLUGINS].directories == (CONFIG,)


def test_every_file_may_replace_what_we_wrote():
    ours = Ours(digests=("d" * 64,))
    assert {file.expect for file in files(plan(FULL, ours=ours)).values()} == {("d" * 64,)}


# --- a re-run with another wish --------------------------------------------------------------------------------------


def changed(old: Plan, new: Plan) -> list[str]:
    before = {step.key: step for step in old.steps}
    return [step.key for step in new.steps if before.get(step.key) != step]


def test_another_wish_changes_its_own_file_and_nothing_else():
    assert changed(plan(FULL), plan(replace(FULL, plugins=()))) == [f"file:{PLUGINS}"]
    assert changed(plan(FULL), plan(replace(FULL, config=(B,)))) == [f"file:{SETTINGS}"]
    assert changed(plan(FULL), plan(replace(FULL, open_files=2048))) == [f"file:{LIMITS}"]
    assert changed(plan(FULL), plan(replace(FULL, hold=False))) == ["packages:apt"]
    assert changed(plan(FULL), plan(FULL)) == []
    assert service(plan(FULL)) == service(plan(Request()))


def test_what_is_left_out_stays_as_it_is():
    ours = Ours(paths=(SETTINGS, PLUGINS, LIMITS), settings="# ours\nlog.console = true\n")
    kept = files(plan(Request(), ours=ours))
    assert {SETTINGS, PLUGINS, LIMITS}.isdisjoint(kept)
    assert PLUGINS in files(plan(Request(plugins=()), ours=ours))


def test_settings_that_are_said_are_all_the_settings():
    ours = Ours(paths=(SETTINGS,), settings="log.console = true\n")
    assert settings_of(plan(Request(config=(A,)), ours=ours)) == ["vm_memory_high_watermark.relative = 0.5"]


def test_definitions_and_settings_share_a_file_and_leave_each_other_alone(tmp_path):
    source = tmp_path / "d.json"
    source.write_text("{}")
    loads = "load_definitions = /etc/rabbitmq/definitions.json"
    first = plan(Request(config=(A, B)))
    second = plan(Request(definitions=str(source)), ours=Ours(settings=text(first, SETTINGS)))
    assert settings_of(second) == ["vm_memory_high_watermark.relative = 0.5", "log.console = true", loads]
    third = plan(Request(config=(B,)), ours=Ours(settings=text(second, SETTINGS)))
    assert settings_of(third) == ["log.console = true", loads]


def settings_of(made: Plan) -> list[str]:
    return [line for line in text(made, SETTINGS).splitlines() if not line.startswith("#")]


# --- sources ---------------------------------------------------------------------------------------------------------


def test_the_list_is_read_back_as_it_was_meant():
    first, second = apt_sources.parse_sources(SOURCES, text(plan(), SOURCES))
    assert first.uris == (
        "https://deb1.rabbitmq.com/rabbitmq-server/debian/trixie",
        "https://deb2.rabbitmq.com/rabbitmq-server/debian/trixie",
    )
    assert (first.types, first.suites, first.components) == (("deb",), ("trixie",), ("main",))
    assert (first.architectures, first.signed_by, first.enabled, first.trusted) == (("amd64",), KEYRING, True, False)
    assert second.uris[0].endswith("/rabbitmq-erlang/debian/trixie")


def test_the_pin_names_the_live_origin_once():
    assert pins(plan()) == ["release o=RabbitMQ"]
    assert pins(plan(ask=Asking(origin="Example Mirror"))) == ["release o=Example Mirror"]
    assert "Package: rabbitmq-server erlang erlang-*\nPin: " in text(plan(), PIN)


def test_without_a_usable_origin_the_pin_names_the_hosts():
    hosts = ['origin "deb1.rabbitmq.com"', 'origin "deb2.rabbitmq.com"']
    assert pins(plan(ask=Asking(origin=""))) == hosts
    assert pins(plan(ask=Asking(origin="a, b"))) == hosts


def pins(made: Plan) -> list[str]:
    return re.findall(r"^Pin: (.*)$", text(made, PIN), re.MULTILINE)


def test_back_to_the_distribution_our_own_files_go():
    theirs = "/etc/apt/sources.list.d/other.list"
    ours = Ours(digests=("d",), paths=(KEYRING, SOURCES, PIN, SETTINGS, theirs))
    made = files(plan(Request(source="distro"), ours=ours))
    assert sorted(made) == sorted((KEYRING, SOURCES, PIN))
    assert all(not file.exists and file.phase is Phase.WRITE and file.expect == ("d",) for file in made.values())
    assert files(plan(Request(source="distro"))) == {}


def test_the_same_where_the_distributions_package_is_installed():
    machine = Path(__file__).parent / "data" / "machines" / "debian-13-installed-by-hand"
    facts, ours = detect(ReplayHost(machine)), Ours(paths=(SOURCES, PIN))
    assert sorted(files(plan(Request(source="distro"), facts=facts, ours=ours))) == sorted((SOURCES, PIN))
    assert files(plan(Request(), facts=facts, ours=ours)) == {}


def test_from_a_mirror_to_the_team_its_keyring_goes():
    old = "/usr/share/keyrings/com.rabbitmq.mirror.asc"
    made = files(plan(ours=Ours(paths=(old, SOURCES, PIN))))
    assert not made[old].exists
    assert made[KEYRING].exists
    assert made[SOURCES].exists


def test_retirements_keep_mode_and_owner_and_come_early():
    secret = FileState(b"deb https://u:p@x/y z main\n", 0o640, "root", "adm")
    plain = FileState(b"deb https://x/y z main\n# mine\n", 0o644, "root", "root")
    made = files(plan(retired=(Retirement("/a.list", secret), Retirement("/b.list", plain, b"# mine\n"))))
    assert (made["/a.list"].exists, made["/a.list"].secret, made["/a.list"].phase) == (False, True, Phase.WRITE)
    kept = made["/b.list"]
    assert (kept.content, kept.mode, kept.secret, kept.phase) == (b"# mine\n", 0o644, False, Phase.WRITE)
    assert kept.expect == (sha256(plain.content or b""),)
    changed_group = files(plan(retired=(Retirement("/a.list", secret, b"# left\n"),)))["/a.list"]
    assert (changed_group.mode, changed_group.group, changed_group.phase) == (0o640, "adm", Phase.WRITE)


# --- apt's own opinion -----------------------------------------------------------------------------------------------


def private_apt(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run apt on a root of its own: nothing of this machine's configuration or lists."""
    for name in ("etc/parts.d", "etc/sources.d", "etc/preferences.d", "state/lists/partial", "cache"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "state" / "status").touch()
    config = folder / "apt.conf"
    config.write_text(
        f'Dir "{folder}";\nDir::Etc "etc";\nDir::Etc::main "none";\nDir::Etc::parts "parts.d";\n'
        'Dir::Etc::sourcelist "none";\nDir::Etc::sourceparts "sources.d";\n'
        'Dir::Etc::preferences "none";\nDir::Etc::preferencesparts "preferences.d";\n'
        'Dir::State "state";\nDir::State::status "status";\nDir::Cache "cache";\n'
        'APT::Architecture "amd64";\nAPT::Architectures { "amd64"; };\n'
    )
    command = ["env", "-i", f"APT_CONFIG={config}", "PATH=/usr/bin:/bin", "LC_ALL=C", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@apt
def test_apt_reads_the_list_without_complaint(tmp_path):
    private_apt(tmp_path, "true")
    (tmp_path / "etc/sources.d/rabbitmq.sources").write_text(text(plan(), SOURCES))
    for path in ("rabbitmq-server", "rabbitmq-erlang"):  # apt lists only what it holds
        offer(tmp_path, f"https://deb1.rabbitmq.com/{path}/debian/trixie/dists/trixie", "RabbitMQ", {"x": "1"})
    said = private_apt(tmp_path, "apt-get", "indextargets", "--format", "$(REPO_URI) $(COMPONENT) $(ARCHITECTURE)")
    assert (said.returncode, said.stderr) == (0, "")
    assert set(said.stdout.splitlines()) == {
        "https://deb1.rabbitmq.com/rabbitmq-server/debian/trixie/ main amd64",
        "https://deb1.rabbitmq.com/rabbitmq-erlang/debian/trixie/ main amd64",
    }


@apt
def test_a_second_list_of_the_same_repository_would_stop_apt(tmp_path):
    private_apt(tmp_path, "true")
    (tmp_path / "etc/sources.d/rabbitmq.sources").write_text(text(plan(), SOURCES))
    uri = "https://deb1.rabbitmq.com/rabbitmq-server/debian/trixie"
    (tmp_path / "etc/sources.d/old.list").write_text(
        f"deb [arch=amd64 signed-by=/usr/share/keyrings/x.gpg] {uri} trixie main\n"
    )
    said = private_apt(tmp_path, "apt-get", "indextargets")
    assert said.returncode == 100
    assert "Conflicting values set for option Signed-By" in said.stderr


@apt
@pytest.mark.parametrize("origin", ["RabbitMQ", "Example Mirror", ""])
def test_apt_prefers_what_is_pinned_over_what_is_newer(tmp_path, origin):
    private_apt(tmp_path, "true")
    made = plan(ask=Asking(origin=origin))
    (tmp_path / "etc/sources.d/rabbitmq.sources").write_text(
        text(made, SOURCES) + "\nTypes: deb\nURIs: http://deb.example.org/debian\nSuites: sid\nComponents: main\n"
    )
    (tmp_path / "etc/preferences.d/rabbitmq").write_text(text(made, PIN))
    team = "https://deb1.rabbitmq.com/{}/debian/trixie/dists/trixie"
    offer(tmp_path, team.format("rabbitmq-server"), origin, {"rabbitmq-server": "4.2.9-1"})
    offer(
        tmp_path, team.format("rabbitmq-erlang"), origin, {"erlang-base": "1:27.3.4.6-1", "erlang-ssl": "1:27.3.4.6-1"}
    )
    offer(
        tmp_path,
        "http://deb.example.org/debian/dists/sid",
        "Debian",
        {"rabbitmq-server": "9.0-1", "erlang-base": "1:99", "erlang-ssl": "1:99", "adduser": "3"},
    )
    said = private_apt(tmp_path, "apt-cache", "policy", "rabbitmq-server", "erlang-base", "erlang-ssl", "adduser")
    found = {policy.package: policy for policy in apt_sources.parse_policy(said.stdout)}
    assert {name: policy.candidate for name, policy in found.items()} == {
        "rabbitmq-server": "4.2.9-1",
        "erlang-base": "1:27.3.4.6-1",
        "erlang-ssl": "1:27.3.4.6-1",
        "adduser": "3",
    }


def offer(folder: Path, dists: str, origin: str, versions: dict[str, str]) -> None:
    """Put an index where apt keeps those it has accepted."""
    lists = folder / "state" / "lists"
    suite = dists.rpartition("/")[2]
    head = f"Origin: {origin}\nLabel: {origin}\n" if origin else ""
    (lists / apt_sources.list_name(f"{dists}/Release")).write_text(
        f"{head}Suite: {suite}\nCodename: {suite}\nComponents: main\n"
    )
    stanzas = (
        f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nFilename: {name}.deb\nSize: 1\n"
        for name, version in versions.items()
    )
    (lists / apt_sources.list_name(f"{dists}/main/binary-amd64/Packages")).write_text("\n".join(stanzas))
