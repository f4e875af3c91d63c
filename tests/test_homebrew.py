"""What is decided about Homebrew on recorded machines, and how its plan goes together."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from offers import never

from rmqsetup import cli
from rmqsetup.catalog import load
from rmqsetup.cli import reading
from rmqsetup.cli.session import Session
from rmqsetup.codec import from_data, to_data
from rmqsetup.detect import detect
from rmqsetup.errors import NetworkError, UnsupportedError
from rmqsetup.facts import Candidate, Facts, Keg
from rmqsetup.host import Command, Result
from rmqsetup.hosts.replay import ReplayHost
from rmqsetup.managers.layout import SYSTEM, of_brew
from rmqsetup.plan import Plan
from rmqsetup.recipe import Request
from rmqsetup.resolve import resolve
from rmqsetup.settings import Setting
from rmqsetup.show.terminal import Terminal
from rmqsetup.steps import Phase
from rmqsetup.steps.file import File
from rmqsetup.steps.flags import Flags, parse
from rmqsetup.steps.packages import Packages
from rmqsetup.steps.service import Service
from rmqsetup.version import Wanted
from rmqsetup.wishes import Ours, build

MACHINES = Path(__file__).parent / "data" / "machines"
MAC, LINUX = "macos-26-arm64", "fedora-43-linuxbrew"
OFFERED = ("rabbitmq", "erlang@28")


def look(name: str) -> Facts:
    return detect(ReplayHost(MACHINES / name), brew=True)


def offering(rabbitmq: str, erlang: str, name: str = MAC) -> Facts:
    facts = look(name)
    assert facts.homebrew is not None
    versions = zip(OFFERED, (rabbitmq, erlang), strict=True)
    candidates = tuple(Candidate(package, version, "homebrew/core") for package, version in versions)
    return replace(facts, homebrew=replace(facts.homebrew, candidates=candidates))


def decide(facts: Facts, request: Request | None = None):
    return resolve(facts, request or Request(), load(), never)


def refusal(facts: Facts, request: Request | None = None) -> UnsupportedError:
    with pytest.raises(UnsupportedError) as caught:
        decide(facts, request)
    return caught.value


def plan(facts: Facts, request: Request) -> Plan:
    return build(decide(facts, request), facts, request, ours=Ours())


# --- what is taken ---------------------------------------------------------------------------------------------------


def test_the_pair_of_the_formula_is_taken_and_judged():
    found = decide(offering("4.4.1", "28.5.0.7"))
    assert (found.source, found.rabbitmq, found.erlang) == ("brew", "4.4.1", "28.5.0.7")
    assert not any("Erlang" in words for words in found.warnings)
    assert str(found.packages[0]) == "rabbitmq"
    bad = decide(offering("4.3.5_1", "28.5.0.7"))
    assert bad.rabbitmq == "4.3.5"
    assert any("too new" in words for words in bad.warnings)
    assert any("brand-new clusters only" in words for words in bad.warnings)


def test_an_exact_release_is_held_to_its_revision():
    found = decide(offering("4.3.6_1", "27.3.4.18"), Request(rabbitmq=Wanted.parse("4.3.6")))
    assert str(found.packages[0]) == "rabbitmq 4.3.6_1"


def test_what_is_installed_stays():
    found = decide(look("macos-14-arm64-installed"))
    assert (found.source, found.rabbitmq, found.erlang) == ("installed", "4.3.5", "28.5.0.5")
    assert found.layout.erlang == "erlang@28"


def test_definitions_at_boot_are_refused_where_the_erlang_is_known_to_hang(tmp_path):
    definitions = tmp_path / "d.json"
    definitions.write_text("{}")
    request = Request(definitions=str(definitions))
    error = refusal(offering("4.3.6", "28.5.0.7"), request)
    assert "can hang on Erlang 28" in error.cause
    assert "rabbitmqctl import_definitions" in error.hint
    assert decide(offering("4.4.1", "28.5.0.7"), request).source == "brew"


def test_an_erlang_that_does_not_boot_it_is_refused():
    assert "needs at least Erlang" in refusal(offering("4.4.1", "26.2.5")).cause


def test_an_intel_mac_is_told_that_its_time_is_over():
    assert any("Intel" in words for words in decide(look("macos-15-x86_64")).warnings)
    assert not any("Intel" in words for words in decide(look(LINUX), Request(source="brew")).warnings)


def test_another_rabbitmq_beside_it_is_told():
    facts = look(MAC)
    both = replace(facts, packages=look("macos-15-macports").packages)
    assert any("RabbitMQ 3.11.15 of MacPorts" in words for words in decide(both).warnings)
    assert not any("as well" in words for words in decide(facts).warnings)


def test_a_homebrew_from_before_its_services_is_told():
    facts = look(MAC)
    assert facts.homebrew is not None
    old = replace(facts, homebrew=replace(facts.homebrew, version="4.2.0"))
    assert any("brew update" in words for words in decide(old).warnings)
    assert not any("brew update" in words for words in decide(facts).warnings)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (Request(rabbitmq=Wanted.parse("3.13")), "not 3.13"),
        (Request(rabbitmq=Wanted.parse("4.3.5")), "not 4.3.5"),
        (Request(erlang=Wanted.parse("27")), "not on 27"),
        (Request(source="team"), "from Team RabbitMQ's repository"),
        (Request(source="distro"), "from macOS 26 itself"),
        (Request(source="mirror", mirror="https://m.example"), "from a mirror"),
    ],
)
def test_what_homebrew_has_not(request_, words):
    error = refusal(look(MAC), request_)
    assert words in error.message
    assert error.hint


# --- who cannot have it ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words", "hint"),
    [
        ("macos-26-without-brew", "not on this machine", "xcode-select --install"),
        ("macos-15-macports", "MacPorts", "brew"),
        ("macos-26-root", "as root", "as alice, without sudo"),
        ("macos-26-anothers-brew", "not carol's", "as alice"),
        ("macos-26-rosetta", "Rosetta", "arm64 Python"),
        ("macos-15-x86_64-without-tools", "Command Line Tools", "xcode-select --install"),
        ("macos-13", "no security updates", "macOS 26"),
    ],
)
def test_refusals_name_what_to_do(name, words, hint):
    error = refusal(look(name))
    assert words in error.message
    assert hint in error.hint


@pytest.mark.parametrize("name", ["macos-26-without-brew", "macos-15-macports", "macos-26-anothers-brew", "macos-13"])
@pytest.mark.parametrize("line", ["install --yes", "plan", "versions"])
def test_nobody_is_asked_for_a_password_on_a_mac(name, line, tmp_path):
    words = reading.read(tuple(line.split()))
    assert words is not None
    out, err = io.StringIO(), io.StringIO()
    session = Session(words, Terminal(out, err), ReplayHost(MACHINES / name), state=tmp_path, root=False)
    assert cli.carry_out(session) == (0 if line == "versions" else 3)
    assert "sudo" not in out.getvalue() + err.getvalue()


def test_where_receipts_are():
    words = reading.read(("history",))
    assert words is not None
    terminal = Terminal(io.StringIO(), io.StringIO())

    def state(name: str, words=words) -> str:
        return str(Session(words, terminal, ReplayHost(MACHINES / name)).state)

    assert state(MAC) == "/opt/homebrew/var/lib/rmqsetup"
    assert state("macos-15-macports") == state("debian-13") == state(LINUX) == "/var/lib/rmqsetup"
    wanted = reading.read(("plan", "--source", "brew"))
    assert wanted is not None
    assert state(LINUX, wanted) == "/home/linuxbrew/.linuxbrew/var/lib/rmqsetup"


def test_macports_users_are_offered_homebrew_and_the_archive():
    error = refusal(look("macos-15-macports"))
    assert "RabbitMQ 3.11.15 of MacPorts is installed here" in error.cause
    assert "Homebrew/install" in error.hint
    assert "--source archive" in error.hint


def test_where_homebrew_does_not_answer():
    facts = look(MAC)
    assert facts.homebrew is not None
    said = "Error: curl: (6) Could not resolve host: formulae.brew.sh"
    silent = replace(facts, homebrew=replace(facts.homebrew, candidates=(), problem=said))
    with pytest.raises(NetworkError):
        decide(silent)


def test_homebrew_on_linux_is_taken_only_when_asked_for():
    assert "--source brew" in refusal(look(LINUX)).hint
    assert decide(look(LINUX), Request(source="brew")).distribution.name == "Homebrew on Linux"
    assert "not on this machine" in refusal(look("debian-13"), Request(source="brew")).message
    bare = replace(look(LINUX), manager="brew")
    assert decide(bare).source == "brew"


# --- what is wished --------------------------------------------------------------------------------------------------


def test_the_plan_writes_below_the_prefix_and_owns_nothing_of_root(tmp_path):
    definitions = tmp_path / "d.json"
    definitions.write_text("{}")
    request = Request(
        plugins=("rabbitmq_management",),
        config=(Setting("log.console", "true"),),
        open_files=65536,
        definitions=str(definitions),
    )
    made = plan(offering("4.4.1", "28.5.0.7"), request)
    files = [step for step in made.steps if isinstance(step, File)]
    config = "/opt/homebrew/etc/rabbitmq"
    assert [file.path for file in files] == [
        f"{config}/conf.d/10-rmqsetup.conf",
        f"{config}/enabled_plugins",
        f"{config}/definitions.json",
    ]
    assert {(file.owner, file.group) for file in files} == {("", "")}
    assert f"load_definitions = {config}/definitions.json" in (files[0].content or b"").decode()
    assert [step.phase for step in made.steps] == [Phase.WRITE] * 3 + [Phase.PACKAGES, Phase.START, Phase.NODE]
    assert made.resolution is not None
    assert any("open files" in words for words in made.resolution.warnings)
    assert from_data(to_data(made), Plan) == made


def test_packages_and_service():
    packages, service, flags = plan(look(MAC), Request()).steps
    assert flags == Flags("/opt/homebrew/opt/rabbitmq/sbin/rabbitmqctl")
    assert isinstance(packages, Packages)
    assert isinstance(service, Service)
    assert (packages.manager, packages.prefix, packages.hold) == ("brew", "/opt/homebrew", ("rabbitmq",))
    assert (service.manager, service.enabled, service.running) == ("brew", True, True)
    assert service.newer_than[-1] == "/opt/homebrew/opt/erlang@28/INSTALL_RECEIPT.json"


def test_a_broker_that_is_not_to_start_is_not_registered_either():
    service = plan(look(MAC), Request(start=False)).steps[-1]
    assert isinstance(service, Service)
    assert (service.enabled, service.running) == (None, None)


def test_without_a_session_the_node_is_nobodys_service():
    facts = look("debian-13-linuxbrew-without-session")
    made = plan(facts, Request(source="brew"))
    service = made.steps[-2]
    assert isinstance(service, Service)
    assert service.manager == "detached"
    assert made.resolution is not None
    assert any("no session" in words for words in made.resolution.warnings)


def test_layouts():
    brew = of_brew("/opt/homebrew", home="/Users/alice")
    assert brew.cookie == "/Users/alice/.erlang.cookie"
    assert brew.environment == "/opt/homebrew/etc/rabbitmq/rabbitmq-env.conf"
    assert brew.program("rabbitmqctl") == "/opt/homebrew/opt/rabbitmq/sbin/rabbitmqctl"
    assert SYSTEM.program("rabbitmqctl") == "rabbitmqctl"
    assert SYSTEM.cookie == "/var/lib/rabbitmq/.erlang.cookie"


def test_a_keg_without_a_receipt_has_no_erlang_that_is_known():
    facts = look(MAC)
    assert facts.homebrew is not None
    bare = replace(facts, homebrew=replace(facts.homebrew, kegs=(Keg("rabbitmq", "4.3.6"),)))
    found = decide(bare)
    assert (found.source, found.erlang) == ("installed", "")
    assert "not known" in found.warnings[-1]


# --- feature flags ---------------------------------------------------------------------------------------------------

WISH = Flags("/x/rabbitmqctl")
LISTED = """[
{"name":"khepri_db","state":"disabled","stability":"stable"}
,{"name":"stream_queue","state":"enabled","stability":"required"}
,{"name":"new","state":"disabled","stability":"experimental"}
]
"""


def observed(code: int, text: str) -> Flags:
    (look_,) = WISH.query()
    assert isinstance(look_, Command)
    return WISH.observe((Result(look_, code, text),))


def test_flags_that_are_stable_and_disabled_are_enabled():
    seen = observed(0, LISTED)
    assert seen.disabled == ("khepri_db",)
    change = WISH.diff(seen)
    assert change.details == ("khepri_db",)
    assert change.inverse is None
    assert str(change.actions[-1]) == "/x/rabbitmqctl -q enable_feature_flag all"
    assert WISH.diff(observed(0, LISTED.replace("disabled", "enabled"))).empty
    assert WISH.absorb(seen) == WISH


def test_a_node_that_does_not_answer_is_waited_for():
    seen = observed(69, "")
    assert not seen.answered
    change = WISH.diff(seen)
    assert "await_startup" in str(change.actions[0])
    (look_,) = WISH.query()
    assert isinstance(look_, Command)
    assert WISH.explain(Result(look_, 69, "", "no node")).exit_code == 8


@given(st.text() | st.sampled_from(["[", "[1]", "[[]]", '[{"state": "disabled"}]', "x[]"]))
def test_no_text_makes_the_flags_fail(text):
    assert parse(text) is None or isinstance(parse(text), tuple)
