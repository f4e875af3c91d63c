"""A broker of a user's own from packages: what is chosen, what is refused, and what follows on the machine."""

from __future__ import annotations

import functools
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from offers import Asking
from pretended_apt import Apt

from rmqsetup import catalog, rootless, versions
from rmqsetup.archived import Archived
from rmqsetup.detect import detect
from rmqsetup.errors import UnsupportedError, UsageError
from rmqsetup.export import FORMS, render
from rmqsetup.facts import Init, Privilege
from rmqsetup.host import Result
from rmqsetup.hosts.replay import ReplayHost
from rmqsetup.plan import Preview
from rmqsetup.prefix import Place, User, build
from rmqsetup.recipe import Overrides, Request, override
from rmqsetup.steps.archive import Archive
from rmqsetup.steps.file import File
from rmqsetup.steps.packages import Packages
from rmqsetup.steps.service import Service
from rmqsetup.version import Wanted
from rmqsetup.wishes import Ours

pytestmark = pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="there is no dpkg-deb here")

MACHINES = Path(__file__).parent / "data" / "machines"


class Machine(Apt):
    """The pretended apt, and an Erlang below the prefix that tells a version."""

    erlang = ""

    def run(self, command, listener=None):
        if command.argv[-2:-1] == ("-eval",):
            return Result(command, 0 if self.erlang else 127, self.erlang)
        return super().run(command, listener)


@functools.cache
def facts():
    return replace(detect(ReplayHost(MACHINES / "debian-13")), privilege=Privilege.NONE)


@pytest.fixture
def host(tmp_path):
    (tmp_path / "debs").mkdir()
    return Machine(tmp_path / "debs")


@pytest.fixture
def request_(tmp_path):
    return Request(source="user", archive=Archived(str(tmp_path / "broker")))


def resolved(host, request, found=None):
    cache = host.folder.parent / "cache"
    return rootless.resolve(found or facts(), request, catalog.load(), host=host, cache=cache)


def planned(resolution, request):
    place = Place(User("plain", "plain", "/home/plain"), ("/",))
    return build(resolution, facts(), request, ours=Ours(), place=place)


def test_what_apt_offers_becomes_two_trees_below_the_prefix(host, request_):
    found = resolved(host, request_)
    assert (found.source, found.rabbitmq, found.erlang) == ("user", "4.2.9", "27.3.4")
    assert "apt offers RabbitMQ 4.2.9-1 and Erlang 1:27.3.4-1, of Debian" in found.reasons
    plan = planned(found, request_)
    trees = {step.link: step.target for step in plan.steps if isinstance(step, Archive)}
    assert trees == {"current": "rabbitmq_server-4.2.9-1", "erlang": "erlang-27.3.4-1"}
    assert not [step for step in plan.steps if isinstance(step, Packages)], "nothing is installed"
    assert [step.manager for step in plan.steps if isinstance(step, Service)] == ["script"]


def test_what_is_there_and_as_wished_stays_and_nobody_is_asked(host, request_):
    prefix = Path(request_.archive.prefix)
    prefix.mkdir()
    (prefix / "current").symlink_to("rabbitmq_server-4.1.3-2+deb13u1")
    host.erlang = "27.3.4"
    found = resolved(host, request_)
    assert (found.rabbitmq, found.erlang, found.archives) == ("4.1.3", "27.3.4", ())
    assert host.asked == []
    newer = resolved(host, replace(request_, rabbitmq=Wanted.parse("4.2")))
    assert newer.rabbitmq == "4.2.9"
    assert len(newer.archives) == 2
    host.erlang = ""
    assert resolved(host, request_).rabbitmq == "4.2.9", "without an Erlang what is there does not run"


def test_a_way_that_rabbitmq_does_not_support_is_refused(host, request_):
    prefix = Path(request_.archive.prefix)
    prefix.mkdir()
    (prefix / "current").symlink_to("rabbitmq_server-3.12.14-1")
    with pytest.raises(UnsupportedError, match=r"cannot become 4\.2\.9"):
        resolved(host, replace(request_, rabbitmq=Wanted.parse("4.2")))


@pytest.mark.parametrize(
    ("changed", "asked", "said", "hint"),
    [
        ({"privilege": Privilege.ROOT}, {}, "root has no need", "rmqsetup install"),
        ({"manager": "dnf"}, {}, "only packages of apt", "--source archive"),
        ({}, {"erlang": Wanted.parse("26")}, "offers Erlang 27.3.4 here, not 26", "--erlang"),
        ({"init": Init.NONE}, {"archive": Archived("/srv/broker", service="systemd")}, "no systemd", "--service"),
    ],
)
def test_what_cannot_be_had_is_refused_with_what_would_do(host, request_, changed, asked, said, hint):
    with pytest.raises(UnsupportedError, match=said) as raised:
        resolved(host, replace(request_, **asked), replace(facts(), **changed))
    assert hint in raised.value.hint


def test_the_prefix_is_in_the_users_data_unless_another_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", "/home/plain")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    asked = override(Request(), Overrides(source="user"))
    assert asked.archive.prefix == "/home/plain/.local/share/rabbitmq"
    monkeypatch.setenv("XDG_DATA_HOME", "/data/plain")
    assert override(Request(), Overrides(source="user")).archive.prefix == "/data/plain/rabbitmq"
    said = Overrides(source="user", archive=Archived(str(tmp_path / "broker")))
    assert override(Request(), said).archive.prefix == str(tmp_path / "broker")


def test_archives_are_not_of_this_source(tmp_path):
    (tmp_path / "a.tar.xz").write_text("")
    with pytest.raises(UsageError) as raised:
        override(Request(), Overrides(source="user", archive=Archived("", str(tmp_path / "a.tar.xz"))))
    assert "its packages come from apt" in raised.value.cause


@pytest.mark.parametrize(("service", "limited"), [("", True), ("none", True), ("systemd", False)])
def test_a_limit_of_open_files_is_set_by_whatever_starts_the_node(host, request_, service, limited):
    request = replace(request_, open_files=4096, archive=replace(request_.archive, service=service))
    steps = planned(resolved(host, request), request).steps
    files = {Path(step.path).name: step.content.decode() for step in steps if isinstance(step, File)}
    assert ("ulimit -n 4096 || exit 1\n" in files["rabbitmq-server"]) is limited
    assert "ulimit" not in files["rabbitmqctl"]
    assert ("LimitNOFILE=4096" in files.get("rabbitmq-server.service", "")) is not limited
    (started,) = (step for step in steps if isinstance(step, Service))
    assert f"{request.archive.prefix}/bin/rabbitmq-server" in started.newer_than, "a new limit restarts the node"


@pytest.mark.parametrize("form", FORMS)
def test_a_plan_below_a_prefix_is_not_written_down_and_the_refusal_says_what_would_be(host, request_, form):
    plan = planned(resolved(host, request_), request_)
    with pytest.raises(UnsupportedError, match=f"a broker below {request_.archive.prefix}") as raised:
        render(Preview(plan, ()), form)
    assert f"rmqsetup plan --source distro --as {form}" in raised.value.hint


def test_versions_tells_what_apt_would_take(host, monkeypatch):
    monkeypatch.setattr(versions, "detect", lambda *_a, **_k: facts())
    monkeypatch.setattr(versions, "ask", lambda _host: Asking())
    found = versions.offered(host, Request(source="user"))
    assert (found.source, found.rabbitmq, found.erlang) == ("user", "4.2.9", "27.3.4")
    assert [offer.source for offer in found.offers] == ["team", "distro", "user"]
    host.lists = ()
    host.failing["-s"] = (100, "E: Unable to locate package rabbitmq-server")
    assert "no lists of packages" in versions.offered(host, Request(source="user")).problem
