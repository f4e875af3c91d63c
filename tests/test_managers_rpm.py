"""dnf and zypper as they answered on the lab's machines: what is read from that, and what is made of it."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmqsetup.errors import ManagerError, NetworkError, TrustError
from rmqsetup.host import Command, Result
from rmqsetup.managers import Operation, Package, Present, State, Transaction, Wish, dnf, manager, rpm, zypper
from rmqsetup.steps.packages import Packages

RECORDS = Path(__file__).parent / "data/transcripts/rpm"
DNF4, DNF5, ZYPPER = ("el9", "el10"), ("fedora43",), ("leap16",)
FLAVOURS = (*DNF4, *DNF5, *ZYPPER)
SERVER = "rabbitmq-server"
NOW = (Package(SERVER, "4.2.9-1.el8"), Package("erlang", "27.3.4.6-1.el9"))
OLDER = (Package(SERVER, "4.2.8-1.el8"), Package("erlang", "27.3.4.5-1.el9"))
WISH = Wish(install=NOW, lock_timeout=7)


@lru_cache
def recorded(flavour):
    return json.loads((RECORDS / f"{flavour}.json").read_text())["answers"]


def its(flavour):
    return manager("zypper" if flavour in ZYPPER else "dnf")


def answer(flavour, case, what, wish=WISH) -> Result:
    """Return what a machine of a flavour answered to the command that `wish` would make."""
    found = next(each for each in recorded(flavour) if (each["case"], each["what"]) == (case, what))
    command = {"simulate": its(flavour).simulate, "install": lambda wish: its(flavour).carry_out(wish)[0]}.get(
        what, lambda _: its(flavour).refresh(7)
    )(wish)
    return Result(command, found["exit_code"], found["stdout"], found["stderr"])


def simulated(flavour, case, wish=WISH) -> Transaction:
    return its(flavour).parse_simulation(answer(flavour, case, "simulate", wish))


def present(flavour, case) -> dict[str, Present]:
    return {found.name: found for found in its(flavour).parse_list(answer(flavour, case, "list").stdout)}


def changes(transaction):
    return {(op.name, op.old, op.new, *op.origins) for op in transaction.operations}


# ---- what is there


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_list_says_version_maker_signer_and_hold(flavour):
    found = present(flavour, "install")
    assert (found[SERVER].version, found["erlang"].version) == ("4.2.8-1.el8", "27.3.4.5-1.el9")
    assert {each.state for each in found.values()} == {State.INSTALLED}
    assert found[SERVER].vendor == "Team RabbitMQ"
    assert re.fullmatch("[0-9A-F]{16}", found[SERVER].signer)
    assert found[SERVER].signer == found["erlang"].signer != found["logrotate"].signer
    assert [name for name, each in found.items() if each.held] == []
    assert {name for name, each in present(flavour, "hold").items() if each.held} == {SERVER, "erlang"}
    assert [name for name, each in present(flavour, "release").items() if each.held] == []
    assert {SERVER, "erlang"} & present(flavour, "removed").keys() == set()


@pytest.mark.parametrize("flavour", DNF4)
def test_dnf_4_holds_by_its_plugin_where_that_is_installed(flavour):
    assert {name for name, each in present(flavour, "versionlock").items() if each.held} == {SERVER, "erlang"}
    assert [name for name, each in present(flavour, "unlocked").items() if each.held] == []


def test_a_package_in_two_versions_is_broken_unless_it_is_meant_to_be_there_twice():
    rows = (
        f"package\t{name}\t{version}\t{architecture}\t(none)\t"
        for name, version, architecture in (
            *(("erlang", "27.3.4.5-1.el9", "x86_64"), ("erlang", "27.3.4.6-1.el9", "x86_64")),
            *(("kernel-core", "6.1-1", "x86_64"), ("kernel-core", "6.2-1", "x86_64")),
            *(("gpg-pubkey", "b033418f-6b09f30f", "(none)"), ("gpg-pubkey", "66b8ba1a-6b09f30e", "(none)")),
            *(("glibc", "2.41-1", "i686"), ("glibc", "2.41-1", "x86_64")),
        )
    )
    found = rpm.parse_list("\n".join(rows))
    assert {each.name for each in found if each.state is State.BROKEN} == {"erlang"}
    assert {each.vendor for each in found} == {""}


@pytest.mark.parametrize(
    "line",
    [
        "erlang-0:27.3.4.6-1.el9.*",
        "erlang-27.3.4.6-1.el9.*",
        "erlang",
        "erl*",
        'name = "erlang"',
        "excludepkgs=kernel*, erlang",
        "exclude = erlang",
        "solvable_name: erlang",
    ],
)
def test_a_hold_is_seen_however_it_is_written(line):
    noise = '[main]\ngpgcheck=1\n# erlang\ntype: package\nmatch_type: glob\nkey = "evr"\nversion = "1.0"\nbest=True'
    text = "\n".join(f"lock\t{each}" for each in (*noise.splitlines(), line))
    packages = "".join(f"\npackage\t{name}\t1-1\tnoarch\tx\t" for name in ("erlang", "rabbitmq-server"))
    assert [(each.name, each.held) for each in rpm.parse_list(text + packages)] == [("erlang", True), (SERVER, False)]
    assert not any(each.held for each in rpm.parse_list("\n".join(text.splitlines()[:-1]) + packages))


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_how_far_it_is_is_read_from_what_it_prints(flavour):
    told = answer(flavour, "install", "install", Wish(install=OLDER))
    lines = (*told.stdout.splitlines(), *told.stderr.splitlines())
    percents = [found[0] for line in lines if (found := rpm.parse_progress(line))]
    assert percents[:3] == sorted(percents[:3])
    assert percents[2] == 99
    assert percents[-1] == 200
    assert len(percents) == 6


# ---- what would happen


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_simulation_says_versions_repositories_and_removals(flavour):
    fresh = {
        (SERVER, "", "4.2.8-1.el8", "rabbitmq-el9-noarch"),
        ("erlang", "", "27.3.4.5-1.el9", "modern-erlang"),
        ("logrotate", "", "3.22.0-1.lab", "lab-system"),
    }
    upgrade = {
        (SERVER, "4.2.8-1.el8", "4.2.9-1.el8", "rabbitmq-el9-noarch"),
        ("erlang", "27.3.4.5-1.el9", "27.3.4.6-1.el9", "modern-erlang"),
    }
    back = {(name, new, old, where) for name, old, new, where in upgrade}
    gone = {(name, new, "") for name, _, new, _ in fresh}
    assert changes(simulated(flavour, "install")) == fresh
    assert simulated(flavour, "idle") == Transaction()
    for case in ("hold", "upgrade"):  # a hold is for the step to see, which knows whose it is
        assert changes(simulated(flavour, case)) == upgrade
    assert changes(simulated(flavour, "downgrade")) == back
    assert changes(simulated(flavour, "remove", Wish(purge=(SERVER,)))) == gone
    assert changes(simulated(flavour, "dependent", Wish(purge=("erlang",)))) == gone - {
        ("logrotate", "3.22.0-1.lab", "")
    }
    mixed = simulated(flavour, "mixed", Wish(install=NOW, purge=(SERVER,)))
    assert changes(mixed) == {
        (SERVER, "4.2.8-1.el8", ""),
        ("erlang", "27.3.4.5-1.el9", "27.3.4.6-1.el9", "modern-erlang"),
    }
    assert mixed.removed == (SERVER,)
    assert {op.new for op in simulated(flavour, "any").operations} >= {"4.2.9-1.el8", "27.3.4.6-1.el9"}
    first = changes(simulated(flavour, "own-first"))
    assert (SERVER, "3.8.2-1.lab", "4.2.9-1.el8", "rabbitmq-el9-noarch") in first
    assert all(simulated(flavour, case).problem == "" for case in ("install", "upgrade", "remove", "any", "own-first"))


def test_dnf_4_breaks_long_lines():
    text = """Dependencies resolved.
================================================================================
 Package             Arch   Version               Repository               Size
================================================================================
Installing:
 python3-dnf-plugin-versionlock
                     noarch 4.3.1-1.lab           a-repository-with-a-long-name
                                                                           11 k
Upgrading:
 erlang              x86_64 1:27.3.4.6-1.el9      modern-erlang            22 M
     replacing  erlang-erts.x86_64 26.2-1
Removing dependent packages:
 nothing             noarch 1-1                   @lab-system             0.0

Transaction Summary
================================================================================
"""
    command = Command(("sh", "-c", "dnf -C --assumeno install x"))
    read = dnf.Dnf().parse_simulation(Result(command, 1, text, "Operation aborted.\n"))
    assert read == Transaction(
        (
            Operation("python3-dnf-plugin-versionlock", "", "4.3.1-1.lab", ("a-repository-with-a-long-name",)),
            Operation("erlang", "", "1:27.3.4.6-1.el9", ("modern-erlang",)),
            Operation("erlang-erts"),
            Operation("nothing", "1-1"),
        )
    )


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("unknown-version", "9.9.9"),
        ("unknown-package", "no-such-package"),
        ("both-named", "erlang < 29.0"),  # RabbitMQ's own guide names both
        ("no-erlang", "erlang"),
        ("old-erlang", "erlang"),
        ("new-erlang", "erlang"),
    ],
)
def test_what_cannot_be_is_refused_with_the_managers_words(flavour, case, words):
    problem = simulated(flavour, case).problem
    assert words in problem
    refusal = its(flavour).refuse(problem, "")
    assert type(refusal) is ManagerError
    assert "rmqsetup versions" in refusal.hint
    assert its(flavour).refuse(problem, "first").hint == "first"


# ---- what went wrong

FAULTS = {
    "stranger": TrustError,
    "unsigned": TrustError,
    "damaged-rpm": TrustError,
    "repomd-stranger": TrustError,
    "repomd-unsigned": TrustError,
    "repomd-changed": TrustError,
    "primary-damaged": TrustError,
    "page": TrustError,
    "status-404": NetworkError,
    "status-403": NetworkError,
    "status-500": NetworkError,
    "half": NetworkError,
    "refused": NetworkError,
    "hang": NetworkError,
    "own": NetworkError,
    "unknown-authority": NetworkError,
    "unknown-name": NetworkError,
    "pre-fails": ManagerError,
    "conflict": ManagerError,
    "hold": ManagerError,
    "rpm-locked": ManagerError,
    "not-root": ManagerError,
    "disk-full": ManagerError,
    "no-address": ManagerError,
}
HINTS = {
    "page": "login page",
    "unknown-authority": "date -u",
    "pre-fails": "script said",
    "conflict": "other package",
    "hold": "held",
    "rpm-locked": "lock",
    "not-root": "root",
    "disk-full": "df -h",
    "no-address": "mend the file",
    "refused": "network",
}


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("case", FAULTS)
def test_a_failure_is_of_the_right_family_and_its_hint_can_be_followed(flavour, case):
    failed = next(each for each in recorded(flavour) if each["case"] == case and each["exit_code"])
    error = its(flavour).explain(answer(flavour, case, failed["what"]))
    assert type(error) is FAULTS[case], error.cause
    assert error.cause
    assert HINTS.get(case, "") in error.hint
    assert "rpm says" not in error.cause or failed["what"] == "install"


@pytest.mark.parametrize("flavour", [*DNF4, *ZYPPER])
def test_somebody_else_at_work_is_worth_waiting_for(flavour):
    failed = answer(flavour, "other-at-work", "install")
    assert any(word in failed.stderr for word in failed.command.busy)
    assert "--lock-timeout" in its(flavour).explain(failed).hint


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_what_rpm_says_afterwards_counts_and_not_the_exit_code(flavour):
    assert answer(flavour, "post-fails", "install").ok
    assert present(flavour, "post-fails")[SERVER].version == "4.2.9-1.el8"
    half = present(flavour, "pre-fails")
    assert SERVER not in half
    assert "erlang" in half
    assert not answer(flavour, "own", "install").ok  # the distribution's older one is no answer to the wish
    assert present(flavour, "vendor-change")[SERVER].vendor == "Team RabbitMQ"
    assert answer(flavour, "again", "install").ok


def test_not_every_manager_minds_a_key_that_expired_so_keys_are_proven_before():
    for flavour in FLAVOURS:
        for case, what, careless in (("expired", "install", "el9"), ("repomd-expired", "refresh", "leap16")):
            found = answer(flavour, case, what)
            assert found.ok == (flavour == careless)
            assert found.ok or isinstance(its(flavour).explain(found), TrustError)


def test_doubts_about_another_source_are_no_trust_error():
    failed = answer("el10", "repomd-unsigned", "refresh")
    assert isinstance(dnf.Dnf().explain(failed, ("https://yum1.rabbitmq.com/erlang/el/9/x86_64",)), TrustError)
    assert type(dnf.Dnf().explain(failed, ("https://mirror.example/rabbitmq",))) is ManagerError


def test_nothing_known_leaves_the_managers_words_and_the_command_to_type():
    for flavour, program in (("el9", "dnf"), ("leap16", "zypper")):
        command = its(flavour).carry_out(WISH)[0]
        error = its(flavour).explain(Result(command, 1, "", "it is Tuesday"))
        assert (type(error), error.cause) == (ManagerError, "it is Tuesday")
        assert error.hint.partition(": ")[2].startswith(f"{program} ")


# ---- what is asked for


def words(command):
    argv = command.argv
    return argv[argv.index("--") + 1 :] if "--" in argv else argv


def test_only_what_is_wished_is_named_and_never_by_a_key_from_a_server():
    for each in (dnf.Dnf(), zypper.Zypper()):
        commands = (each.refresh(7), each.simulate(WISH), *each.carry_out(WISH), each.mend(WISH), each.complete(WISH))
        assert "--gpg-auto-import-keys" not in " ".join(word for command in commands for word in words(command))
    install = words(dnf.Dnf().carry_out(WISH)[0])
    assert install[-3:] == ("install", "rabbitmq-server-4.2.9-1.el8", "erlang-27.3.4.6-1.el9")
    assert words(zypper.Zypper().carry_out(WISH)[0])[-2:] == ("rabbitmq-server=4.2.9-1.el8", "erlang=27.3.4.6-1.el9")


def test_options_follow_the_wish():
    lean = Wish(install=NOW, recommends=False, downgrade=True, lock_timeout=7)
    assert "--setopt=install_weak_deps=False" in words(dnf.Dnf().carry_out(lean)[0])
    assert "--setopt=install_weak_deps=False" not in words(dnf.Dnf().carry_out(WISH)[0])
    run = zypper.Zypper().carry_out(lean)[0]
    assert {"--no-recommends", "--oldpackage"} <= set(words(run))
    assert "--oldpackage" not in words(zypper.Zypper().carry_out(WISH)[0])
    assert ("ZYPP_LOCK_TIMEOUT", "7") in run.env
    assert zypper.Zypper().refresh(7).timeout < 600


def test_installing_and_removing_are_two_transactions_of_dnf_and_one_of_zypper():
    both = Wish(install=NOW[1:], purge=("logrotate",))
    first, second = dnf.Dnf().carry_out(both)
    assert words(first)[-2:] == ("install", "erlang-27.3.4.6-1.el9")
    assert words(second)[-3:] == ("remove", "--setopt=clean_requirements_on_remove=False", "logrotate")
    (only,) = zypper.Zypper().carry_out(both)
    assert words(only)[-2:] == ("erlang=27.3.4.6-1.el9", "!logrotate")
    assert words(zypper.Zypper().carry_out(Wish(purge=("logrotate",)))[0])[-2:] == ("remove", "logrotate")


def test_yum_is_another_name_of_dnf():
    assert type(manager("yum")) is dnf.Dnf


# ---- the step above


def test_the_step_installs_what_was_foretold_and_knows_the_way_back():
    step = Packages("dnf", want=NOW, family=(SERVER, "erlang"), origins=("modern-*", "rabbitmq-*"), survey=False)
    looks = (answer("el9", "hold", "list"), None, answer("el9", "hold", "simulate"))
    ours = Packages("dnf", want=NOW, family=step.family, origins=step.origins, ours=("*",), survey=False)
    with pytest.raises(ManagerError, match="held at") as caught:
        step.diff(step.observe(looks))
    assert caught.value.hint == "if the hold may go: dnf versionlock delete erlang"
    change = ours.diff(ours.observe(looks))
    assert [words(action)[0] if "--" in action.argv else action.argv[4] for action in change.actions] == [
        "release",
        "dnf",
    ]
    assert change.inverse.want == (Package("erlang", "27.3.4.5-1.el9"), Package(SERVER, "4.2.8-1.el8"))
    assert set(change.inverse.hold) == {SERVER, "erlang"}
    foreign = Packages("dnf", want=NOW, family=step.family, origins=("elsewhere",), ours=("*",), survey=False)
    with pytest.raises(TrustError, match="modern-erlang") as caught:
        foreign.diff(foreign.observe(looks))
    assert "dnf list" in caught.value.hint


@pytest.mark.parametrize("flavour", [*DNF4, *DNF5])
def test_dnf_would_go_back_without_a_word_so_the_step_refuses(flavour):
    looks = (answer(flavour, "upgrade", "list"), None, answer(flavour, "unasked-downgrade", "simulate"))
    step = Packages("dnf", want=OLDER, survey=False)
    with pytest.raises(ManagerError, match="go back from 27"):
        step.diff(step.observe(looks))
    asked_for = Packages("dnf", want=OLDER, downgrade=True, survey=False)
    assert asked_for.diff(asked_for.observe(looks)).actions


def test_zypper_says_itself_that_it_would_go_back():
    assert "lower version" in simulated("leap16", "unasked-downgrade").problem
    assert "downgrade" in zypper.Zypper().refuse(simulated("leap16", "unasked-downgrade").problem, "").hint


# ---- any text at all

TEXT = st.text() | st.lists(
    st.sampled_from(
        [
            *(
                "package",
                "lock",
                "\t",
                "\n",
                " ",
                "erlang",
                "1-1",
                "Installing:",
                "Removing:",
                " replacing x",
                "=",
                "0:",
            ),
            *(
                "<to-install>",
                "</to-install>",
                '<solvable type="package" name="',
                '"',
                ">",
                "Operation aborted",
                "Key ID",
            ),
        ]
    )
).map("".join)


@given(TEXT, TEXT, st.integers(0, 255))
def test_parsers_never_raise(out, err, code):
    for each in (dnf.Dnf(), zypper.Zypper()):
        each.parse_list(out)
        for command in (each.simulate(WISH), each.carry_out(WISH)[0], each.refresh(1), each.list_command()):
            result = Result(command, code, out, err)
            transaction = each.parse_simulation(result)
            assert isinstance(
                each.explain(result, ("https://yum1.rabbitmq.com/x",)), ManagerError | TrustError | NetworkError
            )
            each.refuse(transaction.problem, "")


# ---- the script below


FAKE = """#!/bin/sh
for last; do :; done
last=${last%.noarch}
case "$*" in
    *'--last '*) tac "$HOME/installed" | sed -n "s/^$last \\(.*\\)/$last-\\1 today/p" ;;
    *--provides*) sed -n "s/^$last //p" "$HOME/provides" ;;
    '-qa --qf %{NAME}.'*) sed 's/ .*//; s/$/.noarch/' "$HOME/installed" ;;
    '-e '*) echo "$*" >>"$HOME/removed" ;;
    *--quiet*) grep -q "^$last " "$HOME/installed" ;;
    *--qf*)
        case $* in *"$last="*) start="$last=" ;; *"$last-"*) start="$last-" ;; *) start= ;; esac
        sed -n "s/^$last /$start/p" "$HOME/installed" | grep .
        ;;
    *) sed -n "s/^$last /$last-/p" "$HOME/installed" ;;
esac
"""


@pytest.fixture
def machine(tmp_path):
    """Return a function that runs a verb of rpm.sh where rpm is a list of names and versions."""
    (tmp_path / "bin").mkdir()
    for name, text in (("rpm", FAKE), ("dnf", '#!/bin/sh\necho "$*" >>"$HOME/asked"\n')):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)

    def run(*argv, installed=""):
        (tmp_path / "installed").write_text(installed)
        text = rpm.script("list").argv[2].replace("/var/lib/misc", str(tmp_path / "state"))
        text = text.replace("/etc/dnf/plugins/versionlock.conf", str(tmp_path / "versionlock.conf"))
        environment = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "HOME": str(tmp_path)}
        return subprocess.run(
            ("sh", "-c", text, "rpm", *argv), env=environment, capture_output=True, text=True, check=False
        )

    run.home = tmp_path
    return run


@pytest.mark.parametrize(
    ("wishes", "ended", "code"),
    [
        (("erlang=27-1", "logrotate", "old-"), 0, 0),
        (("erlang=27-1",), 107, 0),
        (("erlang=26-1",), 0, 1),
        (("erlang=26-1",), 200, 200),
        (("rabbitmq-server",), 0, 1),
        (("logrotate-",), 0, 1),
    ],
)
def test_a_transaction_is_judged_by_what_is_there(machine, wishes, ended, code):
    done = machine(
        "transact",
        *wishes,
        "--",
        "sh",
        "-c",
        f"ls {machine.home}/state; exit {ended}",
        installed="erlang 27-1\nlogrotate 3-1\n",
    )
    assert (done.returncode, done.stdout) == (code, "rmqsetup-transaction.begun\n")
    assert [path.name for path in (machine.home / "state").iterdir()] == ["rmqsetup-transaction"]
    assert ("did not come about" in done.stderr) == bool(code)


@pytest.mark.parametrize(("left", "stays"), [("", False), ("solvable_name: bash\n", True)])
def test_a_file_of_locks_goes_with_the_last_of_them(machine, left, stays):
    locks = machine.home / "locks"
    locks.write_text("solvable_name: erlang\n")
    done = machine("emptied", str(locks), "--", "sh", "-c", f"printf '{left}' >{locks}")
    assert (done.returncode, locks.exists()) == (0, stays)
    assert machine("emptied", str(locks), "--", "false").returncode == 1


def test_what_is_cut_leaves_its_note(machine):
    machine("transact", "erlang", "--", "sh", "-c", "kill -9 $PPID")
    assert [path.name for path in (machine.home / "state").iterdir()] == ["rmqsetup-transaction.begun"]
    machine("mend")
    assert list((machine.home / "state").iterdir()) == []


def test_older_versions_go_but_for_those_that_are_meant_to_be_there(machine):
    (machine.home / "provides").write_text("nvidia-kmp-default multiversion(kernel)\nerlang erlang(x86-64)\n")
    names = ("kernel-default 6-1", "kernel-default 7-1", "nvidia-kmp-default 5-1", "nvidia-kmp-default 6-1")
    machine("mend", installed="".join(f"{line}\n" for line in (*names, "erlang 27-1", "erlang 28-1", "socat 1-1")))
    assert (machine.home / "removed").read_text() == "-e --nodeps erlang-27-1\n"


def test_only_what_is_there_is_installed_again(machine):
    done = machine("again", "=", "erlang=28-1", "absent", "--", "echo", "install", installed="erlang 27-1\n")
    assert done.stdout == "install erlang=27-1\n"
    assert machine("again", "-", "absent", "--", "echo", "install").stdout == ""


def test_holds_without_a_plugin_go_into_the_configuration_and_leave_nothing(machine):
    configuration = machine.home / "dnf.conf"
    for before in ("[main]\ngpgcheck=1\n", "[main]\nexcludepkgs=kernel* erlang-doc\n", ""):
        configuration.write_text(before)
        assert machine("hold", str(configuration), SERVER, "erlang").returncode == 0
        held = "\n".join(f"lock\t{line}" for line in configuration.read_text().splitlines())
        rows = "".join(f"\npackage\t{name}\t1-1\tnoarch\tx\t" for name in (SERVER, "erlang", "erlang-doc"))
        assert {each.name for each in rpm.parse_list(held + rows) if each.held} >= {SERVER, "erlang"}
        assert machine("release", str(configuration), SERVER, "erlang").returncode == 0
        assert configuration.read_text() == (before or "[main]\n")
    assert not (machine.home / "asked").exists() or "versionlock" not in (machine.home / "asked").read_text()


def test_holds_go_into_the_plugin_where_it_is(machine):
    (machine.home / "versionlock.conf").touch()
    configuration = machine.home / "dnf.conf"
    machine("hold", str(configuration), SERVER, "erlang")
    machine("release", str(configuration), SERVER, "erlang")
    assert (machine.home / "asked").read_text().splitlines() == [
        "-q --disablerepo=* versionlock add rabbitmq-server erlang",
        "-q --disablerepo=* versionlock delete rabbitmq-server erlang",
    ]
    assert not configuration.exists()


def test_the_simulation_of_dnf_is_a_script_that_reads_well():
    script = dnf.Dnf().simulate(Wish(install=NOW, purge=("logrotate",))).argv[2]
    shell = shutil.which("sh")
    assert subprocess.run((shell, "-n"), input=script, text=True, check=False).returncode == 0
    first, second = (shlex.split(line) for line in script.splitlines()[:2])
    assert (first[0], first[-1], second[-1]) == ("dnf", "erlang-27.3.4.6-1.el9", "logrotate")


def test_the_list_reads_locks_and_no_passwords(machine):
    for name, text in (
        ("dnf.conf", "[main]\nproxy_password=x\nexcludepkgs=erlang\n"),
        ("locks", "\nsolvable_name: a\n"),
    ):
        (machine.home / name).write_text(text)
    done = machine("list", str(machine.home / "dnf.conf"), str(machine.home / "absent"), str(machine.home / "locks"))
    assert done.stdout.splitlines() == ["lock\texcludepkgs=erlang", "lock\tsolvable_name: a"]
