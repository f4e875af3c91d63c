from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from offers import ERLANGS, SERVERS, Asking, never

from rmqsetup.catalog import OsRelease, load
from rmqsetup.detect import detect
from rmqsetup.errors import NetworkError, TrustError, UnsupportedError
from rmqsetup.facts import Candidate, Facts, Init, InstalledPackage, Privilege
from rmqsetup.hosts.replay import ReplayHost
from rmqsetup.managers import Package, State
from rmqsetup.managers.sources import ConfiguredSource
from rmqsetup.recipe import Request
from rmqsetup.resolution import Resolution
from rmqsetup.resolve import SERVER, resolve, source_of
from rmqsetup.version import Wanted

MACHINES = Path(__file__).parent / "data" / "machines"
MIRROR = {"source": "mirror", "mirror": "https://deb.example.org/team", "key": "/k.asc", "fingerprint": "A" * 40}
TEAM_LIST = "https://deb1.rabbitmq.com/rabbitmq-server/debian/trixie"


def look(name: str) -> Facts:
    return detect(ReplayHost(MACHINES / name))


def wish(rabbitmq: str = "", erlang: str = "", **rest) -> Request:
    return Request(rabbitmq=Wanted.parse(rabbitmq), erlang=Wanted.parse(erlang), **rest)


def found(facts: Facts | str, request: Request | None = None, ask=None) -> Resolution:
    return resolve(look(facts) if isinstance(facts, str) else facts, request or wish(), load(), ask or Asking())


def installed(server: str, erlang: str, *, origin: str = "Debian", state=State.INSTALLED, sources=()) -> Facts:
    """Debian 13 with a RabbitMQ."""
    facts = look("debian-13")
    packages = (
        InstalledPackage("erlang-base", erlang, "amd64", State.INSTALLED, origin=origin),
        InstalledPackage(SERVER, server, "all", state, origin=origin),
    )
    lists = tuple(
        ConfiguredSource(f"/etc/apt/sources.list.d/{n}.list", 1, enabled=True, types=("deb",), uris=(uri,), suites=())
        for n, uri in enumerate(sources)
    )
    return replace(facts, packages=packages, sources=(*facts.sources, *lists))


OWN = installed("4.0.5-6+deb13u2", "1:27.3.4.1+dfsg-1+deb13u3")
TEAM = installed("4.2.8-1", "1:27.3.4.6-1", origin="RabbitMQ", sources=(TEAM_LIST,))


# --- which source ----------------------------------------------------------------------------------------------------


def test_auto_takes_the_team_where_it_serves_and_answers():
    asking = Asking()
    resolution = found("debian-13", ask=asking)
    assert (resolution.source, resolution.rabbitmq, resolution.erlang) == ("team", "4.4.1", "27.3.4.6")
    assert resolution.notice == ""
    (source,) = asking.asked
    assert source.mirrors == ("https://deb1.rabbitmq.com", "https://deb2.rabbitmq.com")
    assert [r.path for r in source.repositories] == ["rabbitmq-server/debian/trixie", "rabbitmq-erlang/debian/trixie"]
    assert source.fingerprints == ("0A9AF2115F4687BD29803A206B73A36E6026DFCA",)
    assert resolution.packages[:2] == (Package(SERVER, "4.4.1-1"), Package("erlang-base", "1:27.3.4.6-1"))
    assert len(resolution.packages) == 18
    assert resolution.origins == ("RabbitMQ",)


def test_both_mirrors_are_served_the_answering_one_first():
    class Second(Asking):
        def _survey(self, source, repository):
            return replace(super()._survey(source, repository), mirror=source.mirrors[1])

    served = found("debian-13", ask=Second()).served
    assert served[1].uris == (
        "https://deb2.rabbitmq.com/rabbitmq-erlang/debian/trixie",
        "https://deb1.rabbitmq.com/rabbitmq-erlang/debian/trixie",
    )


@pytest.mark.parametrize("down", ["the name was not found", "404"])
def test_a_team_that_cannot_be_reached_is_one_plain_line(down):
    resolution = found("debian-13", ask=Asking(down=down))
    assert (resolution.source, resolution.rabbitmq) == ("distro", "4.0.5")
    assert resolution.notice == (
        "Team RabbitMQ's repository did not answer, so the packages come from Debian 13 itself."
    )
    assert f"https://deb1.rabbitmq.com: {down}" in resolution.reasons[1]
    assert resolution.packages == (Package(SERVER),)


def test_a_wish_that_only_the_silent_team_could_grant_is_a_matter_of_the_network():
    with pytest.raises(NetworkError) as caught:
        found("debian-13", wish("4.2"), Asking(down="the name was not found"))
    assert caught.value.cause.endswith(
        "deb2.rabbitmq.com: the name was not found; Debian 13 has RabbitMQ 4.0.5, not 4.2"
    )
    assert caught.value.hint == "check network and proxy"


def test_one_silent_repository_of_the_two_is_silence():
    class Half(Asking):
        def _survey(self, source, repository):
            survey = super()._survey(source, repository)
            return Asking(down="reset")._survey(source, repository) if "erlang" in repository.path else survey

    assert found("debian-13", ask=Half()).source == "distro"


def test_a_team_that_was_asked_for_does_not_fall_back():
    with pytest.raises(NetworkError) as caught:
        found("debian-13", wish(source="team"), Asking(down="the name was not found"))
    assert caught.value.message == "Team RabbitMQ's repository did not answer"
    assert "--source distro" in caught.value.hint


@pytest.mark.parametrize("source", ["auto", "team"])
def test_distrust_never_falls_back(source):
    def liar(_source):
        raise TrustError("the signature is bad")

    with pytest.raises(TrustError):
        found("debian-13", wish(source=source), liar)


def test_auto_asks_nobody_where_the_catalog_lists_nobody():
    resolution = found("debian-testing", ask=never)
    assert resolution.source == "distro"
    assert resolution.notice == ""
    assert "Team RabbitMQ's repositories do not serve Debian testing or unstable" in resolution.reasons
    assert any("too new" in text and "the distribution ships the pair" in text for text in resolution.warnings)


def test_the_team_on_a_release_the_catalog_does_not_list():
    asking = Asking()
    resolution = found("debian-testing", wish(source="team"), asking)
    assert asking.asked[0].repositories[0].path == "rabbitmq-server/debian/forky"
    assert resolution.source == "team"
    with pytest.raises(NetworkError, match="did not answer"):
        found("kali-2025.4", wish(source="team"), Asking(down="404"))


def test_a_mirror_of_ones_own():
    asking = Asking(origin="Example, Inc.")
    resolution = found("debian-13", wish(**MIRROR), asking)
    (source,) = asking.asked
    assert (source.mirrors, source.key, source.key_id) == (("https://deb.example.org/team",), "/k.asc", "")
    assert source.fingerprints == ("A" * 40,)
    assert resolution.source == "mirror"
    assert resolution.served[0].uris == ("https://deb.example.org/team/rabbitmq-server/debian/trixie",)
    assert resolution.served[0].origin == "Example, Inc."
    with pytest.raises(NetworkError, match=r"https://deb\.example\.org/team did not answer"):
        found("debian-13", wish(**MIRROR), Asking(down="404"))


def test_a_mirror_serves_any_architecture_it_says():
    facts = replace(look("debian-13"), architecture="arm64")
    source = source_of(facts, wish(**MIRROR), load().distribution("debian-13"), load())
    assert not isinstance(source, str)
    assert [r.architecture for r in source.repositories] == ["arm64", "arm64"]


def test_distro_asks_nobody():
    resolution = found("debian-13", wish(source="distro"), never)
    assert (resolution.source, resolution.rabbitmq, resolution.erlang) == ("distro", "4.0.5", "27.3.4.1")
    assert resolution.origins == ("Debian*",)
    assert resolution.packages == (Package(SERVER),)


# --- architectures ---------------------------------------------------------------------------------------------------


def test_arm64_takes_the_teams_server_and_the_distributions_erlang_where_they_fit():
    resolution = found(replace(look("debian-13"), architecture="arm64"))
    assert (resolution.source, resolution.rabbitmq, resolution.erlang) == ("team", "4.4.1", "27.3.4.1")
    assert resolution.packages == (Package(SERVER, "4.4.1-1"),)
    assert resolution.origins == ("RabbitMQ", "Debian*")
    assert [served.uris[0] for served in resolution.served] == [TEAM_LIST]
    assert "Team RabbitMQ's repository has no Erlang for Debian 13 on arm64" in resolution.reasons


def test_arm64_without_package_lists_goes_by_the_catalog():
    facts = replace(look("debian-13"), architecture="arm64", candidates=())
    assert (found(facts).source, found(facts).erlang) == ("team", "27")


@pytest.mark.parametrize(
    ("machine", "rabbitmq", "name"), [("debian-12", "3.10.8", "Debian 12"), ("ubuntu-24.04-arm64", "3.12.1", "Ubuntu")]
)
def test_arm64_with_an_old_erlang_takes_the_distribution_and_says_why(machine, rabbitmq, name):
    facts = replace(look(machine), architecture="arm64")
    resolution = found(facts)
    assert (resolution.source, resolution.rabbitmq) == ("distro", rabbitmq)
    assert resolution.notice.startswith("Team RabbitMQ's repository has nothing that fits, so the packages come from")
    assert f"no Erlang for {name}" in " ".join(resolution.reasons)
    with pytest.raises(UnsupportedError) as caught:
        found(facts, wish(source="team"))
    assert f"no Erlang fits RabbitMQ 4.4.1; Team RabbitMQ's repository has no Erlang for {name}" in caught.value.message
    assert "--source mirror=URL" in caught.value.hint
    assert "Erlang 25" not in caught.value.cause
    assert ("Launchpad has, but the full fingerprint" in caught.value.message) == machine.startswith("ubuntu")
    with pytest.raises(UnsupportedError):
        found(facts, wish("4.2"))


# --- impossible wishes -----------------------------------------------------------------------------------------------


def test_what_is_available_and_which_erlang_it_would_take():
    with pytest.raises(UnsupportedError) as caught:
        found("debian-13", wish("4.2.9", "26"))
    error = caught.value
    assert error.message == "no Erlang 26 fits RabbitMQ 4.2.9"
    assert error.cause == (
        "Team RabbitMQ's repository offers RabbitMQ 4.4.1, 4.3.6, 4.2.9, 4.2.8, 4.1.8 and Erlang 28.5.0.7, 27.3.4.6, "
        "26.2.5.15; Debian 13 has RabbitMQ 4.0.5, not 4.2.9"
    )
    assert error.hint == "RabbitMQ 4.2.9 needs Erlang 27.0 to 27: choose with --erlang, or leave it out"


@pytest.mark.parametrize("version", ["5.0", "3.9", "4.2.7"])
def test_a_version_nobody_has(version):
    with pytest.raises(UnsupportedError, match=f"there is no RabbitMQ {version} to be had") as caught:
        found("debian-13", wish(version))
    assert "4.4.1, 4.3.6" in caught.value.cause
    assert "--rabbitmq" in caught.value.hint


def test_a_wish_that_only_the_distribution_grants():
    resolution = found("debian-13", wish("4.0"))
    assert (resolution.source, resolution.rabbitmq) == ("distro", "4.0.5")
    assert "there is no RabbitMQ 4.0 to be had" in resolution.reasons
    with pytest.raises(UnsupportedError, match=r"there is no RabbitMQ 4\.0 to be had"):
        found("debian-13", wish("4.0", source="team"))


@pytest.mark.parametrize(
    ("rabbitmq", "erlang", "message"),
    [
        ("4.2", "", "Debian 13 has RabbitMQ 4.0.5, not 4.2"),
        ("4.0.9", "", "Debian 13 has RabbitMQ 4.0.5, not 4.0.9"),
        ("4.0.5-1", "", "Debian 13 has RabbitMQ 4.0.5, not 4.0.5-1"),
        ("", "26", "Debian 13 has Erlang 27.3.4.1, not 26"),
        ("5.0", "", "Debian 13 has RabbitMQ 4.0.5, not 5.0"),
    ],
)
def test_a_distribution_without_what_is_wished(rabbitmq, erlang, message):
    with pytest.raises(UnsupportedError) as caught:
        found("debian-13", wish(rabbitmq, erlang, source="distro"), never)
    assert caught.value.message == message
    assert "rmqsetup versions" in caught.value.hint


def test_exactly_the_distributions_version():
    for text in ("4.0.5", "4.0.5-6+deb13u2"):
        resolution = found("debian-13", wish(text, source="distro"), never)
        assert resolution.packages == (Package(SERVER, "4.0.5-6+deb13u2"),)
    assert found("debian-13", wish("4.0", "27.3", source="distro"), never).packages == (Package(SERVER),)


def test_without_package_lists_a_distribution_is_known_by_its_series_only():
    facts = replace(look("debian-13"), candidates=())
    resolution = found(facts, wish("4.0", "27", source="distro"), never)
    assert (resolution.rabbitmq, resolution.erlang, resolution.warnings) == ("4.0", "27", ())
    with pytest.raises(UnsupportedError, match=r"whether Debian 13 has RabbitMQ 4\.0\.5 is not known") as caught:
        found(facts, wish("4.0.5", source="distro"), never)
    assert "apt-get update" in caught.value.hint
    with pytest.raises(UnsupportedError, match=r"not 4\.2"):
        found(facts, wish("4.2", source="distro"), never)


def test_a_distribution_of_which_nothing_is_known():
    kali = look("kali-2025.4")
    with pytest.raises(UnsupportedError, match="offers no RabbitMQ of its own, as far as its package lists say"):
        found(replace(kali, candidates=(Candidate(SERVER, "", "", ""),)))


@pytest.mark.parametrize(
    ("machine", "fetching"), [("kali-2025.4", "apt-get update"), ("rocky-9", "dnf makecache"), ("amazon-2023", "dnf")]
)
def test_a_machine_without_lists_of_packages_is_not_said_to_have_none(machine, fetching):
    with pytest.raises(UnsupportedError, match="not known: it has no package lists") as caught:
        found(replace(look(machine), candidates=()))
    assert fetching in caught.value.hint


def test_somebody_elses_candidate_is_not_the_distributions():
    facts = replace(
        look("debian-13"), candidates=(Candidate(SERVER, "4.2.9-1", "RabbitMQ", "https://deb1.rabbitmq.com/x"),)
    )
    resolution = found(facts, wish(source="distro"), never)
    assert (resolution.rabbitmq, resolution.origins) == ("4.0", ("Debian*",))
    with pytest.raises(UnsupportedError):
        found(facts, wish("4.2.9", source="distro"), never)


def test_derivatives_offer_under_their_own_name():
    assert found("raspberry-pi-os-12-32bit", ask=never).source == "distro"
    resolution = found("devuan-5", ask=never)
    assert resolution.source == "distro"
    assert "Team RabbitMQ's repositories do not serve Devuan" in resolution.reasons


# --- machines without a place ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fedora-42", "alpine-3.23", "nothing-known", "debian-10", "debian-11"])
def test_refusals_carry_a_hint(name):
    with pytest.raises(UnsupportedError) as caught:
        found(name, ask=never)
    assert caught.value.hint


def test_a_debian_without_apt():
    with pytest.raises(UnsupportedError, match="Debian 13 has apt, and this machine has not"):
        found(replace(look("debian-13"), manager=""), ask=never)


# --- what is installed already ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("request_", [wish(), wish(source="distro"), wish("4.0"), wish("4.0.5", "27"), wish("4")])
def test_what_is_there_and_grants_the_wish_stays_and_nobody_is_asked(request_):
    resolution = found("debian-13-installed-by-hand", request_, never)
    assert (resolution.source, resolution.rabbitmq, resolution.erlang) == ("installed", "4.0.5", "27.3.4.1")
    assert resolution.packages == (Package(SERVER, "4.0.5-6+deb13u2"),)
    assert (resolution.served, resolution.keys, resolution.notice) == ((), (), "")


@pytest.mark.parametrize("request_", [wish(), wish(source="team"), wish("4.2", source="team"), wish("4.2.8")])
def test_the_teams_own_stays_too(request_):
    assert found(TEAM, request_, never).source == "installed"


def test_the_teams_own_stays_when_its_lists_have_moved_on():
    facts = installed("4.2.8-1", "1:27.3.4.6-1", origin="", sources=(TEAM_LIST,))
    assert found(facts, wish(source="team"), never).source == "installed"
    assert found(facts, wish(), never).source == "installed"


def test_another_source_than_the_configured_one_is_something_to_do():
    asking = Asking()
    resolution = found(TEAM, wish("4.2.8", **MIRROR), asking)
    assert (resolution.source, resolution.rabbitmq) == ("mirror", "4.2.8")
    by_mirror = installed(
        "4.2.8-1", "1:27.3.4.6-1", origin="RabbitMQ", sources=("https://deb.example.org/team/rabbitmq-server/x",)
    )
    assert found(by_mirror, wish(**MIRROR), never).source == "installed"
    assert found(by_mirror, wish(source="team"), asking).source == "team"


@pytest.mark.parametrize("source", ["auto", "distro"])
def test_half_configured_is_finished_as_it_is(source):
    resolution = found("debian-13-half-configured", wish(source=source), never)
    assert resolution.source == "installed"
    assert resolution.packages == (
        Package(SERVER, "4.0.5-6+deb13u2"),
        Package("erlang-base", "1:27.3.4.1+dfsg-1+deb13u3"),
    )
    assert "half installed" in resolution.reasons[0]


def test_removed_with_its_configuration_left_is_not_installed():
    resolution = found("debian-13-removed-with-strays")
    assert resolution.source == "team"
    assert resolution.warnings[0].endswith(
        "/erl (28.1.1) belongs to no package, and may be found before the one that does"
    )


def test_a_pair_that_does_not_boot_is_not_what_anybody_wished():
    facts = installed("4.2.9-1", "1:25.3-1", origin="RabbitMQ", sources=(TEAM_LIST,))
    resolution = found(facts)
    assert (resolution.source, resolution.erlang) == ("team", "27.3.4.6")


def test_retired_lists_are_told_of_where_nothing_is_replaced():
    facts = replace(look("debian-12-retired-sources"), packages=OWN.packages)
    warnings = found(facts, ask=never).warnings
    assert any(text.startswith("/etc/apt/sources.list.d/rabbitmq.list names Cloudsmith: ") for text in warnings)


# --- from one release to another -------------------------------------------------------------------------------------


def test_one_allowed_hop():
    resolution = found(OWN, wish("4.2"))
    assert (resolution.source, resolution.rabbitmq) == ("team", "4.2.9")
    assert resolution.reasons[-1] == "RabbitMQ 4.0.5 is installed now"
    assert found(TEAM, wish("4.3")).rabbitmq == "4.3.6"


def test_a_move_to_another_source_takes_the_newest_within_one_hop():
    assert found(OWN, wish(source="team")).rabbitmq == "4.2.9"
    assert found(installed("4.2.8-1", "1:27.1-1", origin="elsewhere"), wish(source="team")).rabbitmq == "4.3.6"


@pytest.mark.parametrize(
    ("here", "there", "cause", "hint"),
    [
        ("3.10.8-1.1", "4.2", "3.10 → 3.11 → 3.12 → 3.13 → 4.2", "go to 3.11 first: --rabbitmq 3.11"),
        ("4.0.5-6", "4.3", "4.0 → 4.2 → 4.3", "go to 4.2 first: --rabbitmq 4.2"),
        ("4.0.5-6", "4.4", "4.0 → 4.2 → 4.3 → 4.4", "go to 4.2 first"),
        ("4.3.6-1", "4.2", "no supported upgrade leads there", "keep the installed series, or uninstall first"),
        ("4.2.9-1", "4.2.8", "no supported upgrade leads there", "keep the installed series"),
        ("3.11.5-1", "3.12.14", "3.11 → 3.12", "go to 3.11.18 first: --rabbitmq 3.11.18"),
        ("3.6.10-1", "4.2", "no supported upgrade", "keep the installed series"),
    ],
)
def test_hops_that_are_too_far_are_named(here, there, cause, hint):
    with pytest.raises(UnsupportedError, match="cannot become") as caught:
        found(installed(here, "1:27.3.4.1-1"), wish(there), Asking(("3.12.14-1", *SERVERS), ("1:26.1-1", *ERLANGS)))
    assert cause in caught.value.cause
    assert caught.value.hint.startswith(hint)


def test_a_move_out_of_reach_is_refused_even_when_any_version_would_do():
    with pytest.raises(UnsupportedError, match=r"3\.10\.8 cannot become 4\.4\.1"):
        found(installed("3.10.8-1.1", "1:25.2.3-1"), wish(source="team"))


def test_going_back_to_the_distributions_older_one_is_refused():
    with pytest.raises(UnsupportedError, match=r"4\.2\.8 cannot become 4\.0\.5"):
        found(TEAM, wish(source="distro"))


def test_broken_with_another_wish_is_guarded_as_well():
    facts = installed("3.10.8-1", "1:25.2-1", state=State.BROKEN)
    with pytest.raises(UnsupportedError, match="in one step"):
        found(facts, wish("4.2"))


# --- every row, architecture and wish ------------------------------------------------------------------------------

WISHES = (
    wish(),
    wish(source="distro"),
    wish(source="team"),
    wish(**MIRROR),
    wish("4.2"),
    wish("4.2.9"),
    wish("5.0"),
    wish("3.9"),
    wish("", "26"),
    wish("", "27"),
    wish("4.2.9", "26"),
    wish("4.4.0-rc.1", source="team"),
    wish(definitions="/d.json"),
)


def bare(row, architecture: str) -> Facts:
    return Facts(
        os=OsRelease(id=row.family, version_id=row.version, codename=row.codename, pretty=row.name),
        kernel="",
        architecture=architecture,
        manager=row.manager,
        init=Init.SYSTEMD,
        service_note="",
        privilege=Privilege.ROOT,
        container="",
        hostname="h",
        memory=0,
        python="3.13",
    )


@pytest.mark.parametrize("row", load().distributions, ids=lambda row: row.id)
@pytest.mark.parametrize(
    "ask",
    [Asking(), Asking(down="404"), Asking(erlangs=()), Asking(servers=())],
    ids=("offers", "is down", "has no Erlang", "has no RabbitMQ"),
)
def test_every_machine_and_wish_ends_in_a_resolution_or_a_hint(row, ask):
    ends = [_end(bare(row, arch), request, ask) for arch, request in itertools.product(row.architectures, WISHES)]
    assert len(ends) == len(row.architectures) * len(WISHES)
    assert all(ends)
    assert "distro" in ends or row.ended or not row.rabbitmq


def _end(facts, request, ask) -> str:
    """Return the source that was chosen, or the hint of a refusal; every other exception is a failure."""
    try:
        resolution = resolve(facts, request, load(), ask)
    except UnsupportedError as error:
        return error.hint
    except NetworkError as error:
        return error.hint if ask.down else ""
    assert resolution.packages[0].name == SERVER
    assert request.source in ("auto", resolution.source)
    assert request.rabbitmq.admits(resolution.rabbitmq) or resolution.source == "distro"
    assert resolution.reasons
    return resolution.source
