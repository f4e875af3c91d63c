"""Which archives a request means, and what follows on the machine."""

from __future__ import annotations

import functools
import hashlib
import json
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from signer import key, signer
from tarballs import folder, member, release, tarball

from rmqsetup import archives, catalog, pipeline, receipt, releases, standing
from rmqsetup.archived import Archived
from rmqsetup.codec import from_data, to_data
from rmqsetup.detect import detect
from rmqsetup.errors import NetworkError, TrustError, UnsupportedError
from rmqsetup.facts import Init, Privilege
from rmqsetup.host import Command, Kind, Result, Standing
from rmqsetup.hosts.replay import ReplayHost
from rmqsetup.managers import Package
from rmqsetup.managers.layout import of_archive
from rmqsetup.plan import Plan
from rmqsetup.prefix import Place, User, build, candidates
from rmqsetup.recipe import Request
from rmqsetup.services import service_manager
from rmqsetup.steps.archive import Archive, Tree
from rmqsetup.steps.file import File
from rmqsetup.steps.packages import Packages
from rmqsetup.steps.service import Service
from rmqsetup.version import Wanted
from rmqsetup.wishes import Ours

MACHINES = Path(__file__).parent / "data" / "machines"
PREFIX = "/srv/broker"
USER = User("plain", "plain", "/home/plain")


class Machine(ReplayHost):
    """A recorded machine with an Erlang of its own, and a release in use; `fit` for the scripts of one.

    `offers` is what dnf answers, and `asked` how often it was.
    """

    fit = True

    def __init__(
        self,
        name: str,
        *,
        erlang: str = "",
        offers: str = "",
        current: str = "",
        owners: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(MACHINES / name)
        self.erlang = erlang
        self.offers = offers
        self.asked = 0
        self.current = current
        self.owners = dict(owners)

    def run(self, command: Command, listener=None) -> Result:
        if command.argv[:2] == ("sh", "-c"):
            return Result(command, 0, "/usr/local/bin/erl\n" if self.erlang else "")
        if "repoquery" in command.argv:
            self.asked += 1
            return Result(command, 0, self.offers)
        if command.argv == ("uname", "-s"):
            return Result(command, 0, "Linux\n")
        if command.argv[0] == "ls":
            return Result(command, 0, "".join(map(self._listed, command.argv[2:])))
        if command.argv[0] == "/bin/sh":
            return Result(command, 0 if self.fit else 1)
        if command.argv[-2:-1] == ("-eval",):
            here = bool(self.erlang) and command.argv[0] == "/usr/local/bin/erl"
            return Result(command, 0 if here else 127, self.erlang)
        return super().run(command, listener)

    def _listed(self, path: str) -> str:
        owner, mode = self.owners.get(path, "0 755").split()
        return f"{stat.filemode(stat.S_IFDIR | int(mode, 8))} 7 {owner} 0 4096 Nov 28 01:20 {path}\n"

    def peek(self, path: str) -> Standing | None:
        if path in self.owners:
            return Standing(Kind.FOLDER)
        if path == f"{PREFIX}/current" and self.current:
            return Standing(Kind.LINK, f"rabbitmq_server-{self.current}")
        return super().peek(path)


@functools.cache
def facts(name: str = "debian-13"):
    return detect(ReplayHost(MACHINES / name))


@pytest.fixture
def shelf(tmp_path):
    """A folder where a signed archive of 4.2.9 and an Erlang are, and the request that names them."""
    data = release()
    (tmp_path / "r.tar.xz").write_bytes(data)
    (tmp_path / "r.tar.xz.asc").write_bytes(signer().detach(data, key("team")))
    (tmp_path / "team.asc").write_bytes(signer().public(key("team")))
    otp = tarball((folder("OTP"), member("OTP/releases/27/OTP_VERSION", b"27.3.4\n"), member("OTP/Install", b"#!")))
    (tmp_path / "otp.tar.gz").write_bytes(otp)
    return tmp_path


def wish(shelf, **more):
    named = Archived(PREFIX, str(shelf / "r.tar.xz"))
    request = Request(source="archive", key=str(shelf / "team.asc"), fingerprint=key("team"), archive=named)
    return replace(request, **more)


def with_erlang(shelf, request):
    data = (shelf / "otp.tar.gz").read_bytes()
    named = replace(request.archive, erlang=str(shelf / "otp.tar.gz"), erlang_digest=hashlib.sha256(data).hexdigest())
    return replace(request, archive=named)


def resolved(shelf, request, host=None, found=None):
    host = host or Machine("debian-13", erlang="27.3.4")
    return archives.resolve(found or facts(), request, catalog.load(), host=host, cache=shelf / "cache")


def planned(resolution, request, *, there=("/srv", "/"), found=None):
    return build(resolution, found or facts(), request, ours=Ours(), place=Place(USER, there))


# --- which archives


def test_the_named_archive_with_the_erlang_that_is_here(shelf):
    found = resolved(shelf, wish(shelf))
    assert (found.source, found.rabbitmq, found.erlang, found.erl) == ("archive", "4.2.9", "27.3.4", "/usr/local/bin")
    assert [archive.path for archive in found.archives] == [str(shelf / "r.tar.xz")]
    assert found.packages == ()
    assert [each.fingerprint for each in found.keys] == [key("team")]
    assert "Erlang 27.3.4 is in /usr/local/bin already" in found.reasons


def test_an_erlang_that_complains_first_tells_its_version(shelf):
    complaint = "=ESOCK WARNING MSG==== 28-Nov-2026::01:48:33.529856 ===\n[UNKNOWN] Failed loading libsctp\n"
    assert resolved(shelf, wish(shelf), Machine("debian-13", erlang=f"{complaint}27.3.4**")).erlang == "27.3.4"


def test_a_named_erlang_wins(shelf):
    found = resolved(shelf, with_erlang(shelf, wish(shelf)), Machine("debian-13", erlang="26.2.5"))
    assert (found.erlang, found.erl) == ("27.3.4", "")
    assert [archive.installs for archive in found.archives] == [False, True]


def test_root_takes_the_distributions_erlang(shelf):
    root = replace(facts(), privilege=Privilege.ROOT)
    found = resolved(shelf, wish(shelf), Machine("debian-13"), root)
    assert "erlang-base" in {package.name for package in found.packages}
    assert found.origins == ("Debian*",)
    assert any("run as root" in warning for warning in found.warnings)


def test_a_plain_user_without_an_erlang_is_told_what_to_name(shelf):
    plain = replace(facts(), privilege=Privilege.NONE)
    with pytest.raises(UnsupportedError) as caught:
        resolved(shelf, wish(shelf), Machine("debian-13"), plain)
    assert "--erlang-archive" in caught.value.hint
    assert "apt-get install erlang" in caught.value.hint


def test_where_rpm_installs_an_erlang_of_its_packages_is_used_once_it_is_there(shelf):
    rocky = facts("rocky-9-bare")
    with pytest.raises(UnsupportedError) as caught:
        resolved(shelf, wish(shelf), Machine("rocky-9-bare"), rocky)
    assert "dnf install erlang" in caught.value.hint
    found = resolved(shelf, wish(shelf), Machine("rocky-9-bare", erlang="27.3.4"), rocky)
    assert (found.erl, found.packages) == ("/usr/local/bin", ())


def test_root_takes_the_erlang_of_rpm_packages_and_asks_for_it_only_then(shelf):
    rocky = replace(facts("rocky-9-bare"), privilege=Privilege.ROOT)
    rocky = replace(rocky, sources=tuple(replace(each, names=("appstream",), own=True) for each in rocky.sources[:1]))
    host = Machine("rocky-9-bare", offers="erlang\t27.3.4-1.el9\tappstream\nerlang-erts\t27.3.4-1.el9\tappstream\n")
    found = resolved(shelf, wish(shelf), host, rocky)
    assert (found.packages, found.origins, found.erl) == ((Package("erlang"),), ("appstream",), "/usr/bin")
    (step,) = (each for each in planned(found, wish(shelf), found=rocky).steps if isinstance(each, Packages))
    assert (step.manager, step.family) == ("dnf", ("erlang", "erlang-*"))
    assert host.asked == 1
    resolved(shelf, wish(shelf), Machine("rocky-9-bare", erlang="27.3.4", offers="nobody asks"), rocky)
    plain = Machine("rocky-9-bare", offers="nobody asks")
    with pytest.raises(UnsupportedError):
        resolved(shelf, wish(shelf), plain, replace(rocky, privilege=Privilege.NONE))
    assert plain.asked == 0


def test_an_erlang_that_does_not_fit_is_passed_over_and_refused_where_it_is_the_last(shelf):
    host = Machine("debian-13", erlang="25.3")
    assert resolved(shelf, wish(shelf), host).erl == "/usr/bin"
    plain = replace(facts(), privilege=Privilege.NONE)
    with pytest.raises(UnsupportedError, match=r"no Erlang fits RabbitMQ 4\.2\.9") as caught:
        resolved(shelf, wish(shelf), host, plain)
    assert "needs Erlang 27.0 to 27" in caught.value.hint


def test_the_archive_has_to_be_the_release_that_was_wished_for(shelf):
    with pytest.raises(UnsupportedError, match=r"is RabbitMQ 4\.2\.9, not 4\.3"):
        resolved(shelf, wish(shelf, rabbitmq=Wanted.parse("4.3")))


def test_another_key_is_refused(shelf):
    (shelf / "other.asc").write_bytes(signer().public(key("other")))
    request = wish(shelf, key=str(shelf / "other.asc"), fingerprint=key("other"))
    with pytest.raises(TrustError):
        resolved(shelf, request)
    with pytest.raises(TrustError, match=r"not signed by the key 0A9AF2115F4687BD29803A206B73A36E6026DFCA"):
        resolved(shelf, replace(request, key="", fingerprint=""))


def test_what_is_in_use_and_as_wished_stays_without_a_network(shelf, monkeypatch):
    monkeypatch.setattr(releases, "offers", lambda *_, **__: pytest.fail("the network was asked"))
    request = wish(shelf, archive=Archived(PREFIX))
    found = resolved(shelf, request, Machine("debian-13", erlang="27.3.4", current="4.2.9"))
    assert (found.rabbitmq, found.archives) == ("4.2.9", ())
    assert not [step for step in planned(found, request).steps if isinstance(step, Archive)]


@pytest.mark.parametrize("current", ["4.3.0", "3.12.0"])
def test_a_way_that_rabbitmq_does_not_support_is_refused(shelf, current):
    with pytest.raises(UnsupportedError, match=r"cannot become 4\.2\.9"):
        resolved(shelf, wish(shelf), Machine("debian-13", erlang="27.3.4", current=current))


def test_the_newest_that_is_published_and_fits_is_fetched(shelf, monkeypatch):
    offers = tuple(releases.Offer(v, f"https://x/{v}") for v in ("4.2.8", "4.2.9", "3.8.9"))
    asked = []

    def fetch(where, *_, **__):
        asked.append(where)
        return releases.Proven("/cache/a", where, "ab" * 32, "rabbitmq_server-4.2.9", "4.2.9", key("team"))

    monkeypatch.setattr(releases, "offers", lambda *_, **__: offers)
    monkeypatch.setattr(releases, "fetch_rabbitmq", fetch)
    request = wish(shelf, archive=Archived(PREFIX))
    assert resolved(shelf, request).rabbitmq == "4.2.9"
    assert asked[0].endswith("/v4.2.9/rabbitmq-server-generic-unix-4.2.9.tar.xz")
    with pytest.raises(TrustError, match=r"published as RabbitMQ 4\.2\.8 is RabbitMQ 4\.2\.9"):
        resolved(shelf, replace(request, rabbitmq=Wanted.parse("4.2.8")))


def test_without_the_list_one_can_still_name_an_archive(shelf, monkeypatch):
    def silent(*_, **__):
        raise NetworkError("cannot fetch it", cause="no connection")

    monkeypatch.setattr(releases, "offers", silent)
    with pytest.raises(NetworkError) as caught:
        resolved(shelf, wish(shelf, archive=Archived(PREFIX)))
    assert "--archive FILE|URL" in caught.value.hint


def test_a_users_systemd_needs_a_user_and_a_systemd(shelf):
    request = wish(shelf, archive=Archived(PREFIX, str(shelf / "r.tar.xz"), service="systemd"))
    plain = replace(facts(), privilege=Privilege.NONE)
    assert resolved(shelf, request, found=plain).rabbitmq == "4.2.9"
    with pytest.raises(UnsupportedError, match="user root"):
        resolved(shelf, request, found=replace(facts(), privilege=Privilege.ROOT))
    with pytest.raises(UnsupportedError, match="no systemd here"):
        resolved(shelf, request, found=replace(plain, init=Init.OPENRC))


def test_a_machine_that_the_catalog_does_not_know_will_do(shelf):
    strange = replace(facts(), os=replace(facts().os, id="strange", codename="", pretty="Strange 1"), manager="")
    strange = replace(strange, os=replace(strange.os, version_id="1", debian_codename="", id_like=(), version=""))
    with pytest.raises(UnsupportedError) as caught:  # and nobody is asked for builds for another system
        resolved(shelf, wish(shelf), Machine("debian-13"), replace(strange, architecture="x86_64"))
    assert "--erlang-archive" in caught.value.hint
    found = resolved(shelf, wish(shelf), found=strange)
    assert (found.distribution.name, found.rabbitmq) == ("Strange 1", "4.2.9")


@pytest.mark.parametrize(("owner", "said"), [("1000 755", "another user"), ("0 777", "can be written by others")])
def test_root_does_not_write_where_others_may(shelf, owner, said):
    root = replace(facts(), privilege=Privilege.ROOT)
    with pytest.raises(UnsupportedError) as caught:
        resolved(shelf, wish(shelf), Machine("debian-13", erlang="27.3.4", owners=(("/srv", owner),)), root)
    assert said in caught.value.cause
    host = Machine("debian-13", erlang="27.3.4", owners=(("/srv", "0 1777"),))
    assert resolved(shelf, wish(shelf), host, root).rabbitmq == "4.2.9"
    host = Machine("debian-13", erlang="27.3.4", owners=(("/srv", owner),))
    assert resolved(shelf, wish(shelf), host, replace(root, privilege=Privilege.NONE)).rabbitmq == "4.2.9"


def test_where_a_node_is_not_to_be_seen_it_is_installed_and_not_started(shelf):
    solaris = replace(facts("solaris-11.4"), privilege=Privilege.NONE)
    host = Machine("solaris-11.4", erlang="27.3.4")
    with pytest.raises(UnsupportedError, match="starts none") as raised:
        resolved(shelf, wish(shelf), host, solaris)
    assert "--no-start" in raised.value.hint
    request = wish(shelf, start=False)
    found = resolved(shelf, request, host, solaris)
    assert any(f"{PREFIX}/bin/rabbitmq-server" in warning for warning in found.warnings)
    assert [step.running for step in planned(found, request, found=solaris).steps if isinstance(step, Service)] == [
        None
    ]
    host.fit = False
    with pytest.raises(UnsupportedError, match="do not run here") as raised:
        resolved(shelf, request, host, solaris)
    assert "coreutils" in raised.value.hint


@pytest.mark.parametrize(("shell", "fits"), [("/bin/sh", True), ("/bin/false", False)])
def test_what_scripts_need_is_tried(shell, fits):
    done = subprocess.run((shell, "-c", archives._FIT), check=False)
    assert (done.returncode == 0) is fits


def test_root_stays_away_where_it_cannot_tell_whose_folders_those_are(shelf, monkeypatch):
    monkeypatch.setattr(Machine, "_listed", lambda *_: "")
    root = replace(facts(), privilege=Privilege.ROOT)
    with pytest.raises(UnsupportedError, match="root is not to put") as raised:
        resolved(shelf, wish(shelf), Machine("debian-13", erlang="27.3.4"), root)
    assert "not known" in raised.value.cause


# --- what follows


def test_everything_is_below_the_prefix_and_goes_with_it(shelf):
    request = with_erlang(shelf, wish(shelf, plugins=("rabbitmq_management",)))
    plan = planned(resolved(shelf, request), request)
    files = [step for step in plan.steps if isinstance(step, File)]
    assert all(step.path.startswith(f"{PREFIX}/") and step.owner == "plain" for step in files)
    assert all(step.directories[-1] == PREFIX for step in files)
    server, erlang = (step for step in plan.steps if isinstance(step, Archive))
    assert (server.key, server.target) == (f"archive:{PREFIX}/current", "rabbitmq_server-4.2.9")
    assert (erlang.key, erlang.target) == (f"archive:{PREFIX}/erlang", "erlang-27.3.4")
    assert erlang.trees[0].finish == ("./Install", "-cross", "-minimal", f"{PREFIX}/erlang-27.3.4")
    (service,) = (step for step in plan.steps if isinstance(step, Service))
    assert (service.manager, service.name, service.enabled) == ("script", PREFIX, None)
    assert {f"{PREFIX}/current", f"{PREFIX}/current/.rmqsetup"} <= {*service.newer_than}
    assert from_data(json.loads(json.dumps(to_data(plan))), Plan) == plan


def test_a_unit_of_the_users_own(shelf):
    request = wish(shelf, archive=Archived(PREFIX, str(shelf / "r.tar.xz"), service="systemd"), open_files=50000)
    plan = planned(resolved(shelf, request, found=replace(facts(), privilege=Privilege.NONE)), request)
    path = "/home/plain/.config/systemd/user/rabbitmq-server.service"
    (unit,) = (step for step in plan.steps if isinstance(step, File) and step.path == path)
    assert b"ExecStart=/srv/broker/bin/rabbitmq-server\n" in unit.content
    assert b"LimitNOFILE=50000\n" in unit.content
    (service,) = (step for step in plan.steps if isinstance(step, Service))
    assert (service.manager, service.name, service.enabled) == ("systemd-user", "rabbitmq-server", True)
    assert path in service.newer_than


def test_root_gets_packages_of_erlang_alone(shelf):
    root = replace(facts(), privilege=Privilege.ROOT)
    request = wish(shelf)
    plan = planned(resolved(shelf, request, Machine("debian-13"), root), request, found=root)
    (packages,) = (step for step in plan.steps if isinstance(step, Packages))
    assert packages.family == ("erlang-*",)
    assert not {"rabbitmq-server"} & {package.name for package in packages.want}


def test_folders_that_were_there_are_not_ours_to_remove(shelf):
    request = wish(shelf)
    assert {PREFIX, "/srv", f"{PREFIX}/etc/rabbitmq/conf.d", "/home/plain/.config"} <= {
        *candidates(of_archive(PREFIX), USER)
    }
    plan = planned(resolved(shelf, request), request, there=("/", "/srv", PREFIX))
    assert all(PREFIX not in step.directories for step in plan.steps if isinstance(step, File | Archive))


@pytest.mark.parametrize("name", ["script", "systemd-user"])
def test_a_failed_start_names_its_own_log(name):
    step = Service(name, PREFIX)
    words = {"script": f"{PREFIX}/var/log/rabbitmq", "systemd-user": "journalctl --user"}[name]
    assert words in step.explain(Result(Command(("x",)), 1)).hint


@pytest.mark.parametrize("name", ["script", "systemd-user", "launchd-agent"])
def test_every_service_manager_says_what_it_runs(name):
    its = service_manager(name)
    commands = (its.show("/p"), its.start("/p"), its.stop("/p"), *its.restart("/p"))
    assert all(command.argv for command in commands)
    assert {*its.enable("/p"), *its.disable("/p"), *its.reload()} == set() or name == "systemd-user"
    assert not its.parse("").running
    assert service_manager("script").parse("now=1700000100\nprocess 12 since 1700000000\n").since == 1.7e9
    assert service_manager("script").parse("now=1700000100\nprocess 12 for 01:40\n").words == "process 12"


def test_settings_that_are_not_spoken_of_stay(shelf):
    (shelf / "d.json").write_text("{}")
    request = wish(shelf, definitions=str(shelf / "d.json"))
    ours = Ours(settings="# ours\nheartbeat = 20\n")
    plan = build(resolved(shelf, request), facts(), request, ours=ours, place=Place(USER, ("/srv", "/")))
    (settings,) = (step for step in plan.steps if isinstance(step, File) and step.path.endswith("10-rmqsetup.conf"))
    assert b"heartbeat = 20\n" in settings.content
    assert f"load_definitions = {PREFIX}/etc/rabbitmq/definitions.json\n".encode() in settings.content


def test_folders_that_a_killed_unpacking_made_are_ours(tmp_path):
    step = Archive(PREFIX, (Tree("rabbitmq_server-4.2.9", "ab" * 32),), directories=(PREFIX,))
    receipt.Journal("install", state=tmp_path).before(step, Archive(PREFIX, (), directories=(PREFIX,)))
    assert pipeline.ours(receipt.read_all(tmp_path)).directories == (PREFIX,)
    assert standing.prefix(tmp_path) == PREFIX
