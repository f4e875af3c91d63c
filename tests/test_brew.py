"""Homebrew as package manager and as service manager, held to what the real one answered."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmqsetup import cellar
from rmqsetup.errors import BrokerNotReadyError, ManagerError, NetworkError, TrustError, UnsupportedError
from rmqsetup.host import Command, Result
from rmqsetup.managers import Operation, Package, Present, State, Wish, brew, manager
from rmqsetup.services import service_manager
from rmqsetup.services.brew import BrewServices, Detached, foreground

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HERE = Path(__file__).parent / "data"
PREFIX = "/opt/homebrew"
BREW = brew.Brew(PREFIX)
SERVICES = BrewServices(PREFIX)


def transcripts(name: str) -> dict[str, dict]:
    rows = tomllib.loads((HERE / "transcripts" / "brew" / name).read_text(encoding="utf-8"))["transcript"]
    return {row["name"]: row for row in rows}


SAID, SHOWN = transcripts("brew.toml"), transcripts("services.toml")


def result(name: str) -> Result:
    row = SAID[name]
    return Result(Command(tuple(row["argv"])), row["exit_code"], row.get("stdout", ""), row.get("stderr", ""))


def test_transcripts_say_how_they_are_known():
    for row in (*SAID.values(), *SHOWN.values()):
        assert row["mark"] in ("seen", "stand-in", "source", "reported"), row["name"]


# --- the package manager ---------------------------------------------------------------------------------------------

REASONS = {
    "root": (UnsupportedError, "as the user who owns Homebrew"),
    "not-writable": (ManagerError, "as the user who owns Homebrew"),
    "locked": (ManagerError, "--lock-timeout"),
    "no-network": (NetworkError, "proxy"),
    "no-network-cold-cache": (NetworkError, "proxy"),
    "corrupt-bottle": (TrustError, "do not install"),
    "tampered": (TrustError, "do not install"),
    "disk-full": (ManagerError, "df -h"),
    "disk-full-in-the-cache": (ManagerError, "df -h"),
    "link-conflict": (ManagerError, "brew link --dry-run"),
    "no-bottle": (UnsupportedError, "brew config"),
    "no-tools": (UnsupportedError, "xcode-select --install"),
    "rosetta": (UnsupportedError, "arch -arm64"),
    "no-such-formula": (ManagerError, "brew update"),
    "needed-by-another": (ManagerError, "what needs it"),
    "no-directory": (ManagerError, "cd /"),
    "no-home": (ManagerError, "HOME"),
    "unheard-of": (ManagerError, "brew install rabbitmq"),
}


@pytest.mark.parametrize("name", [name for name in SAID if not name.startswith("services-")])
def test_what_homebrew_complains_of(name):
    family, hint = REASONS[name]
    error = BREW.explain(result(name))
    assert type(error) is family
    assert hint in error.hint
    assert error.cause
    assert "==>" not in error.cause


def test_a_link_conflict_names_what_is_in_the_way():
    assert "belonging to rabbit-clash" in BREW.explain(result("link-conflict")).cause


def test_another_brew_at_work_is_worth_waiting_for():
    (command,) = BREW.carry_out(Wish(install=(Package("rabbitmq"),)))
    assert any(words in result("locked").stderr for words in command.busy)


def test_commands():
    wish = Wish(install=(Package("rabbitmq", "4.3.6"),))
    (install,) = BREW.carry_out(wish)
    assert install.argv == (f"{PREFIX}/bin/brew", "install", "--formula", "rabbitmq")
    environment = dict(install.env)
    assert environment["HOMEBREW_NO_ASK"] == environment["HOMEBREW_NO_INSTALL_UPGRADE"] == "1"
    assert BREW.simulate(wish).argv[1:] == ("info", "--json=v2", "--formula", "rabbitmq")
    assert BREW.refresh(5).argv[1:] == ("update", "--quiet")
    assert BREW.refresh(5).weighed
    assert BREW.hold(("rabbitmq",)).argv[1:] == ("pin", "rabbitmq")
    assert BREW.release(("rabbitmq",)).argv[1:] == ("unpin", "rabbitmq")
    assert BREW.mend(Wish(hold_back="rabbitmq")).argv[1:] == ("link", "rabbitmq")
    assert BREW.complete(wish).argv == install.argv
    assert BREW.stamp("rabbitmq") == "/opt/homebrew/opt/rabbitmq/INSTALL_RECEIPT.json"
    assert isinstance(manager("brew", "/x"), brew.Brew)


def test_an_uninstall_keeps_data_and_a_purge_does_not():
    data, logs, config = (f"{PREFIX}/{path}/rabbitmq" for path in ("var/lib", "var/log", "etc"))
    kept = BREW.carry_out(Wish(purge=("rabbitmq",), keep=(data, logs, config)))
    assert [command.argv[1:] for command in kept] == [("uninstall", "--force", "rabbitmq")]
    purged = BREW.carry_out(Wish(purge=("rabbitmq",), keep=(config,)))
    assert purged[1].argv == ("rm", "-rf", "--", data, logs)
    assert len(BREW.carry_out(Wish(purge=("erlang@28",), keep=(config,)))) == 1


LISTED = f"""{PREFIX}/Cellar/rabbitmq/4.3.6_1/INSTALL_RECEIPT.json
{PREFIX}/Cellar/rabbitmq/4.3.6/INSTALL_RECEIPT.json
{PREFIX}/Cellar/rabbitmq/4.3.6/sbin/link
{PREFIX}/Cellar/erlang@28/28.5.0.7/INSTALL_RECEIPT.json
{PREFIX}/var/homebrew/pinned/rabbitmq
"""


def test_what_is_in_the_cellar():
    assert BREW.parse_list(LISTED) == (
        Present("rabbitmq", "4.3.6_1", State.INSTALLED, held=True),
        Present("erlang@28", "28.5.0.7", State.INSTALLED),
    )


def test_the_look_into_a_real_folder(tmp_path):
    for path in ("Cellar/rabbitmq/4.3.6", "Cellar/erlang@28/28.5.0.7", "Cellar/half/1", "var/homebrew/pinned"):
        (tmp_path / path).mkdir(parents=True)
    for path in ("rabbitmq/4.3.6", "erlang@28/28.5.0.7"):
        (tmp_path / "Cellar" / path / "INSTALL_RECEIPT.json").write_text("{}")
    (tmp_path / "var/homebrew/pinned/rabbitmq").symlink_to("../../../Cellar/rabbitmq/4.3.6")
    its = brew.Brew(str(tmp_path))
    done = subprocess.run(its.list_command().argv, capture_output=True, text=True, check=False)
    assert sorted((p.name, p.version, p.held) for p in its.parse_list(done.stdout)) == [
        ("erlang@28", "28.5.0.7", False),
        ("rabbitmq", "4.3.6", True),
    ]
    look = its.simulate(Wish(purge=("rabbitmq", "absent")))
    done = subprocess.run(look.argv, capture_output=True, text=True, check=False)
    found = its.parse_simulation(Result(look, done.returncode, done.stdout, done.stderr))
    assert found.operations == (Operation("rabbitmq", old="4.3.6"),)
    assert found.problem == ""


def test_a_simulation():
    recorded = tomllib.loads((HERE / "machines" / "macos-26-arm64" / "commands.toml").read_text(encoding="utf-8"))
    text = next(row["stdout"] for row in recorded["command"] if "info" in row["argv"])
    (formula,) = brew.parse_info(text)
    assert (formula.name, formula.version, formula.erlang, formula.installed) == (
        "rabbitmq",
        "4.3.6",
        "erlang@28",
        "",
    )
    look = BREW.simulate(Wish(install=(Package("rabbitmq"),)))
    found = BREW.parse_simulation(Result(look, 0, text))
    assert found.operations == (Operation("rabbitmq", "", "4.3.6", ("homebrew/core",)),)
    refused = BREW.parse_simulation(Result(look, 1, "", SAID["no-network-cold-cache"]["stderr"]))
    assert refused.problem.startswith("Error: curl: (6)")
    assert type(BREW.refuse(refused.problem, "")) is NetworkError
    assert BREW.parse_simulation(Result(look, 0, "")).problem


def test_versions_with_a_revision():
    data = {"formulae": [{"name": "rabbitmq", "versions": {"stable": "4.3.6", "bottle": False}, "revision": 1}]}
    (formula,) = brew.parse_info(json.dumps(data))
    assert (formula.version, formula.bottle, formula.erlang) == ("4.3.6_1", False, "")
    assert [brew.released(text) for text in ("4.3.6_1", "4.3.6", "28.5_x")] == ["4.3.6", "4.3.6", "28.5_x"]


def test_receipts():
    text = HERE / "machines/macos-14-arm64-installed/files/opt/homebrew/Cellar/rabbitmq/4.3.5/INSTALL_RECEIPT.json"
    assert brew.parse_receipt(text.read_text()) == (Package("erlang@28", "28.5.0.5"), Package("openssl@3", "3.6.0"))


# --- the service manager ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHOWN)
def test_how_a_service_is(name):
    row = SHOWN[name]
    state = BrewServices(row.get("prefix", PREFIX)).parse(row["stdout"])
    assert (state.known, state.running, state.enabled, state.stale) == (
        row["known"],
        row["running"],
        row["enabled"],
        row["stale"],
    )
    assert (state.words, state.since) == (row["words"], row.get("since", 0.0))


SERVICE_REASONS = {
    "services-bootstrap-5": ("old job", "launchctl bootout gui/$(id -u)/homebrew.mxcl.rabbitmq"),
    "services-no-session-launchd": ("no session", foreground(PREFIX)),
    "services-no-session-systemd": ("no session", "loginctl enable-linger"),
    "services-of-root": ("left it to root", "sudo brew services stop rabbitmq"),
    "services-nowhere": ("neither launchd nor systemd", foreground(PREFIX)),
    "services-not-installed": ("not installed", "brew install rabbitmq"),
    "services-unheard-of": ("something new", "/opt/homebrew/var/log/rabbitmq"),
}


@pytest.mark.parametrize("name", [name for name in SAID if name.startswith("services-")])
def test_what_launchd_and_systemd_complain_of(name):
    cause, hint = SERVICE_REASONS[name]
    error = SERVICES.explain("rabbitmq", result(name))
    assert type(error) is BrokerNotReadyError
    assert cause in error.cause
    assert hint in error.hint
    assert "{" not in error.hint + error.cause


def words(*commands: Command) -> list[tuple[str, ...]]:
    return [command.argv[1:] for command in commands]


def test_commands_of_services():
    assert words(*SERVICES.enable("rabbitmq")) == [("services", "stop", "rabbitmq"), ("services", "start", "rabbitmq")]
    assert words(*SERVICES.disable("rabbitmq"), *SERVICES.reload()) == [("services", "stop", "rabbitmq")] * 2
    assert words(SERVICES.stop("rabbitmq")) == [("services", "stop", "--keep", "rabbitmq")]
    assert words(*SERVICES.restart("rabbitmq")) == [("services", "restart", "rabbitmq")]
    assert isinstance(service_manager("brew", "/x"), BrewServices)


def test_a_job_that_is_loaded_and_dead_is_restarted(tmp_path):
    program, told = tmp_path / "bin" / "brew", tmp_path / "told"
    program.parent.mkdir()
    node = f'{sys.executable} -c "import time; time.sleep(30)" {tmp_path}/beam.smp -s rabbit boot x'
    detached = f"{node} >/dev/null 2>&1 & echo $! >{tmp_path}/pid"
    program.write_text(f'#!/bin/sh\necho "$@" >>{told}\ncase $2 in run) exit 1 ;; esac\n{detached}\n')
    program.chmod(0o755)
    try:
        done = subprocess.run(BrewServices(str(tmp_path)).start("rabbitmq").argv, check=False)
        assert done.returncode == 0
    finally:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert told.read_text().splitlines() == ["services run rabbitmq", "services restart rabbitmq"]


def test_a_node_that_never_appears_is_no_start(tmp_path):
    program = tmp_path / "bin" / "brew"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    script = BrewServices(str(tmp_path)).start("rabbitmq").argv[2].replace("sleep 0.5", "sleep 0")
    command = Command(("sh", "-c", script, "start", str(tmp_path), "rabbitmq"))
    done = subprocess.run(command.argv, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    error = SERVICES.explain("rabbitmq", Result(command, 1, done.stdout, done.stderr))
    assert "it ended at once" in error.cause
    assert foreground(PREFIX) in error.hint


def test_the_look_at_a_real_folder(tmp_path):
    home, prefix = tmp_path / "home", tmp_path / "brew"
    for folder in (home / "Library/LaunchAgents", prefix / "bin", prefix / "opt/rabbitmq/sbin"):
        folder.mkdir(parents=True)
    agent = home / "Library/LaunchAgents/homebrew.mxcl.rabbitmq.plist"
    agent.write_text("<array>\n\t<string>/usr/local/opt/rabbitmq/sbin/rabbitmq-server</string>\n</array>\n")
    for program in (prefix / "bin/brew", prefix / "opt/rabbitmq/sbin/rabbitmq-server"):
        program.write_text('#!/bin/sh\necho \'[{"status": "none", "running": false}]\'\n')
        program.chmod(0o755)
    its = BrewServices(str(prefix))

    def look(proc="[ -d /proc/self ]"):
        environment = {"HOME": str(home), "PATH": "/usr/bin:/bin"}
        argv = [word.replace("[ -d /proc/self ]", proc) for word in its.show("rabbitmq").argv]
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
        return its.parse(done.stdout)

    assert (look().known, look().enabled, look().stale, look().words) == (True, False, True, "not started")
    agent.write_text(f"<array>\n\t<string>{prefix}/opt/rabbitmq/sbin/rabbitmq-server</string>\n</array>\n")
    assert (look().enabled, look().stale, look().running) == (True, False, False)
    node = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import time; print(flush=True); time.sleep(60)",
            f"{prefix}/beam.smp",
            "-s",
            "rabbit",
            "boot",
            "-x",
        ],
        stdout=subprocess.PIPE,
    )
    try:
        node.stdout.readline()
        state = look()
        assert state.running
        assert state.since > 1_700_000_000
        if shutil.which("ps"):  # as on a Mac
            told = look(proc="false")
            assert told.running
            assert abs(told.since - state.since) < 5
        assert Detached(str(prefix)).parse(f"installed\nprocess {node.pid} since 5\n").since == 5.0
    finally:
        node.kill()
        node.wait()
        node.stdout.close()


@pytest.mark.parametrize(
    ("code", "terminal", "session"), [(0, "", True), (113, "", False), (113, "/dev/ttys001", True)]
)
def test_the_look_at_a_session_on_a_mac(code, terminal, session, tmp_path):
    for name, script in (
        ("launchctl", f"exit {code}"),
        (
            "brew",
            f'case $1 in --prefix) echo {tmp_path} ;; *) echo "Homebrew 6.0.18"; echo "Homebrew/core (git)" ;; esac',
        ),
    ):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    (tmp_path / "Cellar").mkdir()
    environment = {"HOME": "/h", "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "SSH_TTY": terminal}

    answer = subprocess.run(
        ("sh", "-c", cellar._LOOK, "look", str(tmp_path)), env=environment, capture_output=True, text=True, check=False
    )
    said = dict(line.partition("=")[::2] for line in answer.stdout.splitlines())
    assert (said["prefix"], said["home"], said["version"]) == (str(tmp_path), "/h", "Homebrew 6.0.18")
    assert said["owner"] == said["user"]
    assert ("session" in said, said["writable"]) == (session, "yes")


def test_a_node_without_a_session():
    its = service_manager("detached", PREFIX)
    assert isinstance(its, Detached)
    start, stop = its.start("rabbitmq"), its.stop("rabbitmq")
    assert '"$prefix/opt/$name/sbin/rabbitmq-server" -detached' in start.argv[2]
    assert start.argv[-2:] == (PREFIX, "rabbitmq")
    assert start.env == (("CONF_ENV_FILE", "/opt/homebrew/etc/rabbitmq/rabbitmq-env.conf"),)
    assert its.restart("rabbitmq") == (stop, start)
    assert its.enable("rabbitmq") == its.disable("rabbitmq") == its.reload() == ()
    assert its.parse("").words == "no process"
    assert foreground(PREFIX) in its.explain("rabbitmq", Result(start, 1, "", "no")).hint
    assert type(its.explain("rabbitmq", Result(start, 127, "", "not found"))) is UnsupportedError


# --- any text --------------------------------------------------------------------------------------------------------

FRAGMENTS = st.sampled_from(
    [
        *(row["stdout"] for row in SHOWN.values()),
        *(row["stderr"] for row in SAID.values()),
        LISTED,
        "[",
        "[[]]",
        "[null]",
        '[{"status": {}, "exit_code": []}]',
        '{"formulae": null}',
        '{"formulae": [{"name": "x", "versions": {"stable": "1"}, "installed": [7], "dependencies": {}}]}',
        "now=1",
        "process 1 for 99-99:99:99",
        "process 1 for 01:01",
        "registered ",
    ]
)
TEXTS = st.lists(FRAGMENTS | st.text(max_size=30)).map("\n".join)


@given(TEXTS, TEXTS, st.integers(0, 2))
def test_no_text_makes_a_parser_fail(stdout, stderr, code):
    answer = Result(BREW.info("rabbitmq"), code, stdout, stderr)
    assert isinstance(BREW.parse_list(stdout), tuple)
    assert isinstance(BREW.parse_simulation(answer).operations, tuple)
    assert isinstance(brew.parse_info(stdout), tuple)
    assert isinstance(brew.parse_receipt(stdout), tuple)
    assert BREW.explain(answer).message
    for its in (SERVICES, Detached(PREFIX)):
        assert its.parse(stdout).words
        assert its.explain("rabbitmq", answer).message
