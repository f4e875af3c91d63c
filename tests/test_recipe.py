import io
import json
import re
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmqsetup import plugins
from rmqsetup.archived import Archived
from rmqsetup.catalog import tables
from rmqsetup.errors import UsageError
from rmqsetup.recipe import (
    LATER,
    Overrides,
    Recipe,
    Request,
    enabled_plugins,
    load,
    override,
    rabbitmq_conf,
    shipped,
)
from rmqsetup.settings import Setting, flatten, judge, merge, typed
from rmqsetup.version import Precision, Wanted

FINGERPRINT = "0A9AF2115F4687BD29803A206B73A36E6026DFCA"
GOOD = {
    "users": [{"name": "app", "password_hash": "c2FsdA=="}],
    "vhosts": [{"name": "/"}],
    "permissions": [{"user": "app", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}],
}
DOCS = Path(__file__).parent.parent / "docs" / "recipes.md"


def read(text):
    return load("-", stdin=io.StringIO(text))


def refused(question):
    with pytest.raises(UsageError) as caught:
        question()
    return caught.value


def mistakes(text):
    return refused(lambda: read(text)).cause.splitlines()


def objections(overrides, request=None):
    return refused(lambda: override(request or Request(), overrides)).cause.splitlines()


def test_an_empty_recipe_is_the_request_of_nobody():
    assert read("") == Request()
    assert override(Request(), Overrides()) == Request()
    assert rabbitmq_conf(Request()) == enabled_plugins(Request()) == ""


def test_every_key_reaches_the_request(tmp_path):
    (tmp_path / "broker.toml").write_text(
        """
        source = "mirror"
        plugins = ["rabbitmq_management", "rabbitmq_shovel", "rabbitmq_management"]
        definitions = "definitions.json"
        hold = false
        recommends = false
        lock_timeout = 5
        rabbitmq.version = "4.2"
        erlang.version = "27.3.4.1"
        mirror = { url = "https://mirror.example/rabbitmq/", key = "team.asc", fingerprint = "SPACED" }
        limits.open_files = 65536
        service = { start = false, enable = false }
        [config]
        heartbeat = 30
        """.replace("SPACED", " ".join(re.findall("....", FINGERPRINT.lower())))
    )
    assert load(str(tmp_path / "broker.toml")) == Request(
        rabbitmq=Wanted(Precision.SERIES, "4.2"),
        erlang=Wanted(Precision.EXACT, "27.3.4.1"),
        source="mirror",
        mirror="https://mirror.example/rabbitmq",
        key=str(tmp_path / "team.asc"),
        fingerprint=FINGERPRINT,
        plugins=("rabbitmq_management", "rabbitmq_shovel"),
        config=(Setting("heartbeat", "30"),),
        definitions=str(tmp_path / "definitions.json"),
        open_files=65536,
        start=False,
        enable=False,
        hold=False,
        recommends=False,
        lock_timeout=5,
    )


def test_every_mistake_is_told_at_once_in_form_and_in_meaning():
    assert set(
        mistakes("""
        sorce = "team"
        plugins = "a, b"
        hold = "yes"
        [rabbitmq]
        version = 4.2
        [erlang]
        version = "new"
        [mirror]
        url = "ftp://x"
        fingerprint = "6026DFCA"
        [limits]
        open_files = 12
        [config]
        default_pass = "x"
        nodes = ["a", "b"]
        """)
    ) == {
        "sorce: is not known; did you mean source?",
        'plugins: "a, b" is not a list; write ["a", "b"]',
        'hold: "yes" is not true or false',
        'rabbitmq.version: 4.2 is not text; write "4.2"',
        (
            "erlang.version: 'new' is not a version: write a series such as 4.3, a release such as 4.2.9, "
            "27 or 27.3 for Erlang, or nothing"
        ),
        "mirror.url: 'ftp://x' is no base URL: https://, http:// or file:/// is",
        "mirror.fingerprint: is not 40 hex digits, as gpg --show-keys FILE shows them",
        "limits.open_files: 12 is not from 1024 to 1048576",
        (
            "config.default_pass: is a secret, and a recipe is no place for one: users come with hashed passwords "
            "in a definitions file, and rabbitmq.conf takes encrypted: values"
        ),
        "config.nodes: is a list, and rabbitmq.conf numbers its lists: name.1 = first, name.2 = second",
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            'source = "teem"',
            "source: 'teem' is none of auto, team, distro, brew, mirror, archive, user; did you mean team?",
        ),
        ('plugins = ["a,b"]', """plugins: 'a,b' is no name of a plugin; several are written a,b as an option"""),
        ('plugins = ["Management"]', "plugins: 'Management' is no name of a plugin; did you mean rabbitmq_management?"),
        ("lock_timeout = -1", "lock_timeout: -1 is not from 0 to 86400 seconds"),
        ("config = 3", "config: is not a table"),
        ("mirror.url = 'https://me:pw@host/'", "mirror.url: holds a password"),
        ("[config]\nx = nan", "config.x: nan is no number"),
        ("[config]\nx = 2026-11-22", "config.x: is a date"),
        ("[config]\nload_definitions = '/x'", "config.load_definitions: has a place of its own: write definitions ="),
        ('[config]\na.b = 1\n"a.b" = 2', "config.a.b: is there twice"),
        ("[config]\nl.absolute = '1GB'\nl.relative = 0.5", "config.l.relative: contradicts l.absolute"),
    ],
)
def test_a_mistake_is_explained(text, said):
    error = refused(lambda: read(text))
    assert said in error.cause
    assert error.hint


@pytest.mark.parametrize("name", LATER)
def test_what_comes_later_says_so(name):
    assert mistakes(f"[{name}]")[0].startswith(f"{name}: comes in a later version of rmqsetup; today use ")


def test_what_is_not_toml_says_where():
    error = refused(lambda: read("plugins = [\nsource = 'team'"))
    assert "is not TOML" in error.message
    assert "line 2" in error.cause


def test_a_missing_recipe_names_those_there_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    error = refused(lambda: load("prodution"))
    assert error.message == "there is no recipe 'prodution'; did you mean production?"
    assert str(tmp_path / "prodution") in error.looked_at
    assert all(name in error.hint for name in shipped())


def test_what_cannot_be_read_says_why(tmp_path):
    (tmp_path / "latin.toml").write_bytes(b"# gr\xfcn")
    assert "not UTF-8" in refused(lambda: load(str(tmp_path / "latin.toml"))).message
    assert "directory" in refused(lambda: load(str(tmp_path))).cause


def test_settings_keep_their_order_and_the_words_of_rabbitmq_conf():
    request = read("""
        [config]
        b.c = true
        a = 1
        "log.file" = "x y"
        "log.file.level" = "info"
        cluster_name = "a#b"
        secret.token = "$(TOKEN)"
        ldap.password = "encrypted:abc"
        [config.b.d]
        e = 0.6
        """)
    assert rabbitmq_conf(request).splitlines()[2:] == [
        "b.c = true",
        "b.d.e = 0.6",
        "a = 1",
        "log.file = x y",
        "log.file.level = info",
        "cluster_name = 'a#b'",
        "secret.token = $(TOKEN)",
        "ldap.password = encrypted:abc",
    ]
    assert all(line.startswith("# ") for line in rabbitmq_conf(request).splitlines()[:2])


@given(st.dictionaries(st.text(), st.one_of(st.text(), st.integers(), st.booleans(), st.floats())))
def test_no_value_writes_a_second_line(table):
    settings, _ = flatten(table)
    if not list(judge(settings)):
        text = rabbitmq_conf(Request(config=settings))
        assert len(text.splitlines()) == (len(settings) + 2 if settings else 0)


def test_definitions_and_plugins_are_written_for_the_node():
    request = Request(plugins=("rabbitmq_management", "rabbitmq_shovel"), definitions="/home/me/d.json")
    assert rabbitmq_conf(request).endswith("\nload_definitions = /etc/rabbitmq/definitions.json\n")
    assert enabled_plugins(request) == "[rabbitmq_management,rabbitmq_shovel].\n"
    assert enabled_plugins(Request(plugins=())) == "[].\n"


def test_options_win_over_the_recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d.json").write_text(json.dumps(GOOD))
    request = override(
        load("production"),
        Overrides(
            rabbitmq="4.2.9",
            erlang="27",
            source="distro",
            plugins="rabbitmq_stream, rabbitmq_shovel",
            settings=("vm_memory_high_watermark.absolute=4GB", "heartbeat = 30"),
            definitions="d.json",
            open_files=2048,
            start=False,
            enable=False,
            hold=False,
            recommends=False,
            lock_timeout=1,
        ),
    )
    assert request.rabbitmq == Wanted(Precision.EXACT, "4.2.9")
    assert request.erlang == Wanted(Precision.SERIES, "27")
    assert request.plugins == ("rabbitmq_stream", "rabbitmq_shovel")
    assert request.config[0] == Setting("vm_memory_high_watermark.absolute", "4GB")
    assert request.config[-1] == Setting("heartbeat", "30")
    assert not any(setting.key == "vm_memory_high_watermark.relative" for setting in request.config)
    assert request.definitions == str(tmp_path / "d.json")
    assert (request.source, request.open_files, request.lock_timeout) == ("distro", 2048, 1)
    assert not any((request.start, request.enable, request.hold, request.recommends))
    assert override(request, Overrides(rabbitmq="any", plugins="")) == replace(request, rabbitmq=Wanted(), plugins=())


def test_a_mirror_needs_its_key_and_its_fingerprint(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "team.asc").touch()
    mirror = Overrides(source="mirror=https://m.example/", key="team.asc", fingerprint=FINGERPRINT.lower())
    request = override(Request(), mirror)
    assert (request.source, request.mirror) == ("mirror", "https://m.example")
    assert (request.key, request.fingerprint) == (str(tmp_path / "team.asc"), FINGERPRINT)
    for name in ("key", "fingerprint"):
        assert objections(replace(mirror, **{name: None}))[0].startswith(f"mirror.{name}: is missing (--{name})")
    assert objections(replace(mirror, key="none.asc")) == [f"mirror.key: there is no file {tmp_path / 'none.asc'}"]
    assert objections(Overrides(source="mirror"))[0].startswith("mirror.url: is missing (--source mirror=URL)")
    assert override(Request(), replace(mirror, key="https://m.example/key.asc")).key == "https://m.example/key.asc"


def test_another_source_drops_the_mirror_and_a_key_alone_is_refused():
    request = read(f"[mirror]\nurl='https://m'\nkey='https://m/k'\nfingerprint='{FINGERPRINT}'")
    assert request.source == "mirror"
    assert override(request, Overrides()) == request
    assert override(request, Overrides(source="mirror")) == request
    assert override(request, Overrides(source="team")) == Request(source="team")
    assert objections(Overrides(key="https://m/k")) == [
        "mirror.key: belongs to the source mirror only, and the source is auto"
    ]


def test_every_objection_is_told_at_once():
    assert objections(
        Overrides(rabbitmq="x", source="tem", plugins="a b", settings=("a", "b=", "default_user.pass=x"), open_files=1)
    ) == [
        (
            "rabbitmq: 'x' is not a version: write a series such as 4.3, a release such as 4.2.9, "
            "27 or 27.3 for Erlang, or nothing"
        ),
        "--set a: has no value: write --set key=value",
        "source: 'tem' is none of auto, team, distro, brew, mirror, archive, user; did you mean team?",
        """plugins: 'a b' is no name of a plugin; several are written a,b as an option and ["a", "b"] in a recipe""",
        "config.b: has no value; leave the line out for RabbitMQ's own default",
        (
            "config.default_user.pass: is a secret, and a recipe is no place for one: users come with hashed passwords "
            "in a definitions file, and rabbitmq.conf takes encrypted: values"
        ),
        "limits.open_files: 1 is not from 1024 to 1048576",
    ]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (b"{", "is not JSON: line 1, column 2"),
        (b"\xff", "is not UTF-8"),
        (b"[]", "is not a JSON object"),
        (b"{}", "has no vhosts"),
        ({**GOOD, "users": []}, "has no users"),
        ({**GOOD, "users": ["app"]}, "users is not a list of objects"),
        ({**GOOD, "permissions": []}, "gives no user of its own permissions"),
        ({**GOOD, "permissions": [{"user": "app", "vhost": "other"}]}, "gives no user of its own permissions"),
        ({**GOOD, "users": [{"name": "app", "password": "x"}]}, "has plain passwords (app): give password_hash"),
        (None, "cannot be read: No such file"),
    ],
)
def test_definitions_that_leave_nobody_or_hold_secrets_are_refused(written, said, tmp_path):
    path = tmp_path / "d.json"
    if written is not None:
        path.write_bytes(written if isinstance(written, bytes) else json.dumps(written).encode())
    said_all = "\n".join(objections(Overrides(definitions=str(path))))
    assert f"definitions: {path}" in said_all
    assert said in said_all


def test_merging_keeps_places():
    old = (Setting("a", "1"), Setting("b.relative", "2"), Setting("c", "3"))
    new = (Setting("b.absolute", "4"), Setting("d", "5"), Setting("a", "6"))
    assert [(s.key, s.value) for s in merge(old, new)] == [("a", "6"), ("b.absolute", "4"), ("c", "3"), ("d", "5")]
    assert typed("a = b=c") == (Setting("a", "b=c"), ())


def test_shipped_recipes_are_good_and_commented():
    assert shipped() == ("ci", "dev", "production")
    for name in shipped():
        request = override(load(name), Overrides())
        assert request != Request()
        assert request.source == "auto"
    assert load("ci").hold is False
    assert "rabbitmq_management" in (load("dev").plugins or ())
    assert load("production").open_files == 65536


def documented():
    rows = re.findall(r"^\| `([\w.]+)` \| `(.+?)` \|", DOCS.read_text(), re.MULTILINE)
    return {key: json.loads(default) for key, default in rows}


def test_the_reference_has_every_key_with_its_default():
    keys = {}
    for field in fields(Recipe):
        inner = fields(field.default) if is_dataclass(field.default) else ()
        keys.update({f"{field.name}.{each.name}": each.default for each in inner} or {field.name: field.default})
    assert documented() == keys


def test_the_example_of_the_reference_is_good():
    for text in re.findall(r"```toml\n(.*?)```", DOCS.read_text(), re.DOTALL):
        assert read(text).config


# --- archives


def archive_wish(tmp_path, **more):
    return Overrides(source="archive", archive=Archived(prefix=str(tmp_path / "broker"), **more))


def test_an_archive_is_wished_for_by_recipe_and_by_options(tmp_path):
    (tmp_path / "a.tar.xz").write_bytes(b"")
    (tmp_path / "broker.toml").write_text(
        "[archive]\nprefix = 'broker'\nfile = 'a.tar.xz'\nerlang = 'https://m/otp.tar.gz'\n"
        f"erlang_digest = '{'AB' * 32}'\n"
    )
    request = load(str(tmp_path / "broker.toml"))
    wish = Archived(str(tmp_path / "broker"), str(tmp_path / "a.tar.xz"), "https://m/otp.tar.gz", "ab" * 32)
    assert (request.source, request.archive) == ("archive", wish)
    assert override(request, Overrides()) == request
    assert override(request, Overrides(source="distro")).archive == Archived()
    other = override(request, archive_wish(tmp_path / "other", service="systemd")).archive
    assert other == replace(wish, prefix=str(tmp_path / "other" / "broker"), service="systemd")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (Overrides(source="archive"), "archive.prefix: is missing (--prefix DIR)"),
        (Overrides(archive=Archived(prefix="/srv/broker")), "belongs to the sources archive and user only"),
        (Overrides(source="archive", archive=Archived("/srv")), "is no folder to put a broker into"),
        (Overrides(source="archive", archive=Archived("/srv/a b")), "is no folder to put a broker into"),
        (Overrides(source="archive", archive=Archived("/srv/a%h")), "is no folder to put a broker into"),
        (Overrides(source="archive", archive=Archived("/srv/../etc")), "is no folder to put a broker into"),
        (Overrides(source="archive", archive=Archived("/srv/b", "/none")), "archive.file: there is no file /none"),
        (Overrides(source="archive", archive=Archived("/srv/b", erlang="https://m/o")), "archive.erlang_digest"),
        (
            Overrides(source="archive", archive=Archived("/srv/b", erlang_digest="ab" * 32)),
            "archive.erlang: is missing",
        ),
        (Overrides(source="archive", archive=Archived("/srv/b", service="sysv")), "is none of none, systemd"),
        (Overrides(source="archive", key="https://m/k", archive=Archived("/srv/b")), "needs both --key and"),
    ],
)
def test_a_mistake_about_an_archive_is_explained(overrides, said):
    assert any(said in line for line in objections(overrides))


def test_a_key_of_ones_own_may_sign_an_archive(tmp_path):
    own = replace(archive_wish(tmp_path), key="https://m/k", fingerprint=FINGERPRINT)
    assert override(Request(), own).fingerprint == FINGERPRINT


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("rabbitmq_managment", "rabbitmq_management"),
        ("management", "rabbitmq_management"),
        ("managment", "rabbitmq_management"),
        ("rabbitmq-web-mqtt", "rabbitmq_web_mqtt"),
        ("Rabbitmq_Top", "rabbitmq_top"),
        ("rabbitmq_shovels", "rabbitmq_shovel"),
        ("rabbitmq_delayed_message_exchang", "rabbitmq_delayed_message_exchange"),
    ],
)
def test_a_plugin_that_was_mistyped_is_told_before_anything_happens(typed, meant):
    (problem,) = plugins.judge((typed, "rabbitmq_stream"))
    assert f"did you mean {meant}?" in str(problem)


@pytest.mark.parametrize("name", ["rabbitmq_boot_steps_visualiser", "my_plugin", "rabbitmq_auth_backend_ip_range"])
def test_a_plugin_may_be_anybodys(name):
    assert list(plugins.judge((name, *tables.plugins()))) == []
