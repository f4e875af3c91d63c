"""What settings say wherever they stand: in a unit, in advanced.config, in flags of Erlang, in definitions.

That each check is silent on a healthy machine and speaks of its fault is in `test_checks`.
"""

from __future__ import annotations

import json

import pytest
from scenes import CONF, MORE, Plain, Wires, scene

from rmqsetup.checks import advanced, catalogue, directories, flags, imported, settings
from rmqsetup.checks.access import gate
from rmqsetup.doctor import chosen, curable, cure, examine
from rmqsetup.probes import ports
from rmqsetup.probes.terms import Atom
from rmqsetup.steps.access import Access, Right

ADVANCED = "/etc/rabbitmq/advanced.config"
DROP_IN = "/etc/systemd/system/rabbitmq-server.service.d/x.conf"
KEYS = "/etc/rabbitmq/enabled_plugins"
HOME = "/var/lib/rabbitmq/mnesia/rabbit@broker"


def found(machine, only, wires=None):
    return [each.check for each in examine(scene(machine, wires), chosen(only)).findings]


def dropped(machine, text):
    machine.put(DROP_IN, text)
    machine.change(MORE, "DropInPaths=", f"DropInPaths={DROP_IN}")


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("SERVER_ADDITIONAL_ERL_ARGS", "+S 4:4 +hipe true", "no flag +hipe"),
        ("SERVER_ERL_ARGS", "+P 1048576 +A64 +stbt db +zdbbl 32000 -kernel x 1", ""),
        ("SERVER_ERL_ARGS", "+P 10", "+P takes a number from 1,024"),
        ("SERVER_ERL_ARGS", "+stbt foo", "+stbt takes one of"),
        ("ERL_FLAGS", "+A", "and not nothing"),
        ("ERL_FLAGS", "'open", ""),
        ("MAX_NUMBER_OF_PROCESSES", "10", "+P takes"),
        ("DISTRIBUTION_BUFFER_SIZE", "abc", "+zdbbl takes"),
        ("SCHEDULER_BIND_TYPE", "ts", ""),
    ],
)
def test_flags_and_their_values(variable, value, words):
    assert words in flags.fault(variable, value)
    assert bool(words) == bool(flags.fault(variable, value))


def test_what_flags_say_beside_that():
    assert flags.interface("-kernel inet_dist_use_interface {192,0,2,1}") == "192.0.2.1"
    assert flags.interface("-kernel inet_dist_use_interface '{10, 0, 0, 1}'") == "10.0.0.1"
    assert flags.interface("+S 4") == ""
    assert flags.cookie("+S 4 -setcookie SECRET")
    assert not flags.cookie("-kernel setcookie x")


def test_variables_that_a_unit_hands_over():
    text = '[Service]\nEnvironment=RABBITMQ_NODE_PORT=5673 HOME=/x "RABBITMQ_SERVER_ERL_ARGS=+P 10"\n'
    text += "EnvironmentFile=-/etc/default/broker\nEnvironment=RABBITMQ_NODENAME=a@b\nEnvironment='open\n"
    seen = [(each.key, each.value, each.line) for each in settings.handed("x.conf", text)]
    assert seen == [
        ("NODE_PORT", "5673", 2),
        ("SERVER_ERL_ARGS", "+P 10", 2),
        ("EnvironmentFile", "-/etc/default/broker", 3),
    ]


def test_a_variable_of_the_unit_is_judged_as_one_of_the_environment_and_taken_out_where_it_stands():
    machine, wires = Plain(), Wires()
    wires.down()
    machine.put("/etc/default/broker", "RABBITMQ_NODE_PORT=70000\nNODE_PORT=5672\n")
    dropped(machine, "[Service]\nEnvironmentFile=/etc/default/broker\n")
    result = examine(scene(machine, wires), chosen("RMQ-140"))
    (step, *_) = cure(curable(result, "all")).steps
    assert step.path == "/etc/default/broker"
    assert [number for number, _ in step.lines] == [1]


def test_advanced_config_in_the_words_of_the_other_file():
    text = (
        '[{rabbit, [{tcp_listeners, [5672, {"192.0.2.1", 5673}]},\n {vm_memory_high_watermark, {absolute, "2GB"}},\n'
        " {disk_free_limit, {mem_relative, 1.5}}, {auth_backends, [rabbit_auth_backend_ldap]},\n"
        ' {ssl_options, [{certfile, "/c.pem"}, {verify, verify_peer}]}, {heartbeat, 30}]},\n'
        " {kernel, [{inet_dist_use_interface, {192,0,2,1}}, {inet_dist_listen_min, 25672}]}, {other, [{x, 1}]}].\n"
    )
    seen = {each.key: (each.value, each.line) for each in advanced.parse(ADVANCED, text)}
    assert seen == {
        "listeners.tcp.1": ("5672", 1),
        "listeners.tcp.2": ("192.0.2.1:5673", 1),
        "vm_memory_high_watermark.absolute": ("2GB", 2),
        "disk_free_limit.relative": ("1.5", 3),
        "auth_backends.1": ("rabbit_auth_backend_ldap", 3),
        "ssl_options.certfile": ("/c.pem", 4),
        "ssl_options.verify": ("verify_peer", 4),
        "heartbeat": ("30", 4),
        "distribution.listener.interface": ("192.0.2.1", 5),
        "distribution.listener.port_range.min": ("25672", 5),
    }
    assert advanced.parse(ADVANCED, "[{rabbit,") == ()


def test_what_advanced_config_says_wrong_moves_it_aside_as_a_whole():
    machine, wires = Plain(), Wires()
    wires.down()
    machine.put(ADVANCED, '[{rabbit, [{tcp_listeners, [{"192.0.2.1", 5672}]}]}].\n')
    result = examine(scene(machine, wires), chosen("RMQ-045,RMQ-072"))
    assert [each.check for each in result.findings] == ["RMQ-045"]
    (step, *_) = cure(curable(result, "all")).steps
    assert (step.key, step.to.startswith(f"{ADVANCED}.aside-")) == (f"aside:{ADVANCED}", True)


@pytest.mark.parametrize(
    ("paths", "findings"), [("/srv/other", ["RMQ-133"]), ("-/var/lib/rabbitmq /var/log", []), ("/", [])]
)
def test_a_read_only_system_in_which_the_data_may_be_written(paths, findings):
    machine = Plain()
    dropped(machine, f"[Service]\nProtectSystem=strict\nReadWritePaths={paths}\n")
    assert found(machine, "RMQ-133") == findings


LIMIT = {"definition": {"max-length": 1}}
NODE = imported.Importer(
    frozenset({"/"}), frozenset({"guest"}), "[rabbitmq_consistent_hash_exchange].", "4.0.5", lambda name: name == "old"
)


def policy(**definition):
    named = {key.replace("_", "-"): value for key, value in definition.items()}
    return {"policies": [{"name": "p", "vhost": "/", "pattern": "", "definition": named}]}


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"queues": [{"name": "q", "vhost": "nosuch"}]}, "the queue q is for the virtual host nosuch"),
        ({"vhosts": [{"name": "orders"}], "queues": [{"name": "q", "vhost": "orders"}]}, ""),
        ({"permissions": [{"user": "bob", "vhost": "/"}]}, "the user bob, who is not there"),
        ({"users": [{"name": "bob"}], "permissions": [{"user": "bob", "vhost": "/"}]}, ""),
        ({"queues": [{"name": "q", "vhost": "/", "arguments": {"x-queue-type": "mirrored"}}]}, "the type mirrored"),
        ({"queues": [{"name": "q", "vhost": "/", "arguments": {"x-queue-type": "quorum"}}]}, ""),
        (
            {"exchanges": [{"name": "x", "vhost": "/", "type": "x-delayed-message"}]},
            "rabbitmq_delayed_message_exchange",
        ),
        ({"exchanges": [{"name": "x", "vhost": "/", "type": "x-consistent-hash"}]}, ""),
        ({"exchanges": [{"name": "x", "vhost": "/", "type": "x-of-our-own"}]}, ""),
        ({"exchanges": [{"name": "x", "vhost": "/", "type": "tpoic"}]}, "which no enabled plugin brings"),
        ({"policies": [{"name": "p", "vhost": "/", "pattern": "[", **LIMIT}]}, "the pattern of the policy p"),
        ({"policies": [{"name": "p", "vhost": "/", "pattern": "*", **LIMIT}]}, "the pattern of the policy p"),
        *(
            ({"policies": [{"name": "p", "vhost": "/", "pattern": pattern, **LIMIT}]}, "")  # PCRE has them
            for pattern in (r"^\Qa(b\E", "a(?i)b", "^[[:alpha:]]+$", r"^\h+$", "(?|a|b)", "^.*$")
        ),
        (
            {"bindings": [{"vhost": "/", "source": "amq.topic", "destination": "q"}]},
            "the queue q, which is not defined",
        ),
        ({"queues": [{"name": "q", "vhost": "/"}], "bindings": [{"vhost": "/", "source": "", "destination": "q"}]}, ""),
        ({"bindings": [{"vhost": "/", "source": "amq.topic", "destination": "old"}]}, ""),
        ({"permissions": [{"user": "old", "vhost": "/"}]}, ""),
        ({"topic_permissions": [{"user": "bob", "vhost": "/"}]}, "the user bob, who is not there"),
        ({"parameters": [{"vhost": "/", "component": "shovel", "name": "s"}]}, "rabbitmq_shovel, which is not enabled"),
        (policy(max_lenght=1), "has max-lenght, which there is not; max-length may be meant"),
        (policy(max_length="1"), "max-length '1', which has to be a whole number"),
        (policy(max_length=True), "which has to be a whole number"),
        (policy(overflow="drop"), "drop-head"),
        (policy(ha_mode="all"), "of mirrored queues, which RabbitMQ 4.0.5 does not have"),
        (policy(federation_upstream="up"), "rabbitmq_federation brings"),
        (policy(message_ttl=1, expires=1, max_age="7D", overflow="reject-publish", delivery_limit=-1), ""),
        (policy(), "defines nothing"),
        ({"policies": [{"name": "p", "vhost": "/", "definition": {"expires": 1}}]}, "has no pattern"),
        ({"policies": [{"name": "p", "vhost": "/", "pattern": "", "apply-to": "queue", **LIMIT}]}, "to apply to queue"),
        ({"queues": "none", "users": [7]}, ""),
    ],
)
def test_what_definitions_refer_to(told, words):
    said = imported.fault(json.dumps(told), NODE)
    assert words in said
    assert bool(said) == bool(words)


def test_definitions_are_believed_where_the_node_runs_with_them_or_has_the_virtual_host():
    machine, wires = Plain(), Wires()
    machine.put(CONF, "load_definitions = /etc/rabbitmq/d.json\n")
    machine.put("/etc/rabbitmq/d.json", '{"queues": [{"name": "q", "vhost": "orders"}]}')
    assert found(machine, "RMQ-077", wires) == []
    wires.down()
    assert found(machine, "RMQ-077", wires) == ["RMQ-077"]
    machine.put("/var/lib/rabbitmq/mnesia/rabbit@broker/msg_stores/vhosts/X/.vhost", "orders")
    machine.folders["/var/lib/rabbitmq/mnesia/rabbit@broker/msg_stores/vhosts"] = ["X"]
    assert found(machine, "RMQ-077", wires) == []


def test_a_line_that_systemd_passes_over_is_told_without_its_password():
    machine = Plain()
    dropped(machine, "Environment=RABBITMQ_DEFAULT_PASS=S3CR3T\n")
    (finding,) = examine(scene(machine), chosen("RMQ-135")).findings
    assert "RABBITMQ_DEFAULT_PASS=" in finding.summary
    assert "S3CR3T" not in repr(finding)


def test_who_relies_on_a_plugin_is_told_without_the_password_in_its_line():
    machine = Plain()
    machine.folders["/etc"] = [*machine.folders.get("/etc", ()), "telegraf"]
    machine.folders["/etc/telegraf"] = ["telegraf.conf"]
    machine.put("/etc/telegraf/telegraf.conf", f'url = "http://app:{"S3CR3T" * 30}@localhost:15692"\n')
    (finding,) = examine(scene(machine), chosen("RMQ-120")).findings
    assert "telegraf.conf:1: url" in finding.evidence[0]
    assert "S3CR3T" not in repr(finding)


def test_what_the_tables_of_a_node_name_is_not_missed_in_definitions():
    machine, wires = Plain(), Wires()
    wires.down()
    machine.put(CONF, "load_definitions = /etc/rabbitmq/d.json\n")
    machine.put("/etc/rabbitmq/d.json", '{"bindings": [{"source": "", "vhost": "/", "destination": "orders"}]}')
    assert found(machine, "RMQ-077", wires) == ["RMQ-077"]
    machine.folders[HOME] = ["rabbit_durable_queue.DCD", "coordination", "msg_stores"]
    machine.say(f"grep -rqaF -e orders -- {HOME}/rabbit_durable_queue.DCD {HOME}/coordination", "")
    assert found(machine, "RMQ-077", wires) == []


POLICY = "rabbitmq-server:\n  Candidate: 4.0.5\n  Version table:\n *** 4.0.5 500\n"
OURS = "        500 http://packages.example.org trixie/main amd64 Packages\n"
BELOW = "        -10 http://packages.example.org sid/main amd64 Packages\n"
TEAM = "        -1 https://deb1.rabbitmq.com/rabbitmq-server/debian trixie/main amd64 Packages\n"


@pytest.mark.parametrize(
    ("pin", "table", "findings"),
    [
        ("*", OURS + BELOW, []),
        ("*", BELOW, ["RMQ-017"]),
        ("*", OURS + TEAM, ["RMQ-017"]),
        ("linux-*", BELOW, []),
        ("erlang*", OURS, ["RMQ-017"]),
    ],
)
def test_a_pin_against_every_package_counts_where_it_leaves_no_source(pin, table, findings):
    machine = Plain()
    machine.put("/etc/apt/preferences.d/x", f"Package: {pin}\nPin: release a=sid\nPin-Priority: -10\n")
    machine.say("apt-cache", POLICY + table)
    assert found(machine, "RMQ-017") == findings


@pytest.mark.parametrize(
    ("complaint", "key"),
    [
        ("E: Syntax error /etc/apt/apt.conf.d/99x:1: Extra junk", "aside:/etc/apt/apt.conf.d/99x"),
        (
            "E: Invalid record in the preferences file /etc/apt/preferences.d/x, no Package header",
            "aside:/etc/apt/pref",
        ),
        ("E: The value 'stretch' is invalid for APT::Default-Release as such a release", "file:/etc/apt/apt.conf.d/80"),
    ],
)
def test_what_keeps_apt_from_everything_is_moved_aside_or_switched_off(complaint, key):
    machine = Plain()
    machine.put("/etc/apt/apt.conf.d/80", 'APT::Default-Release "stretch";\n')
    machine.say("apt-cache", complaint, 100)
    (step,) = cure(curable(examine(scene(machine), chosen("RMQ-152")), "all")).steps
    assert step.key.startswith(key)


def test_where_a_way_is_closed():
    machine = Plain()
    rows = (
        "755\troot\troot\tdirectory\t/usr",
        "700\troot\troot\tdirectory\t/usr/lib",
        "644\troot\troot\tfile\t/usr/lib/x",
    )
    machine.say("stat -L -c %a", "\n".join(rows))
    closed = gate(scene(machine), "/usr/lib/x")
    assert closed is not None
    assert (closed.path, closed.right) == ("/usr/lib", Right("/usr/lib", "root", "root", 0o755))
    machine.say("stat -L -c %a", rows[0])
    assert gate(scene(machine), "/usr/lib/x") is None


def test_a_port_is_taken_by_a_connection_as_well():
    row = "   {n}: 0100007F:6448 0100007F:1111 {state} 00000000:00000000 00:00000000 00000000  0 0 {inode} 1 x\n"
    table = (
        row.format(n=1, state="01", inode=77)
        + row.format(n=2, state="06", inode=0)
        + row.format(n=3, state="0A", inode=78)
    )
    machine = Plain()
    machine.put("/proc/net/tcp", table)
    machine.put("/proc/net/tcp6", "")
    assert [(each.port, each.socket) for each in ports.connected(machine)] == [(25672, 77)]


def test_another_cookie_that_a_flag_gives_is_switched_off_and_not_shown():
    from rmqsetup.probes.distribution import CookieError

    machine, wires = Plain(), Wires()
    wires.node = CookieError("not ours")
    machine.put("/etc/rabbitmq/rabbitmq-env.conf", 'SERVER_ADDITIONAL_ERL_ARGS="-setcookie S3CR3T"\n')
    result = examine(scene(machine, wires), chosen("RMQ-052"))
    assert "S3CR3T" not in repr([(each.evidence, each.cause, each.hint) for each in result.findings])
    keys = [step.key for step in cure(curable(result, "all")).steps]
    assert keys[0] == "file:/etc/rabbitmq/rabbitmq-env.conf"


@pytest.mark.parametrize(
    ("value", "findings"),
    [("0", []), ("60", []), ("1", ["RMQ-162"]), ("60000", ["RMQ-162"]), ("$(BEAT)", [])],
)
def test_amounts_that_nobody_means(value, findings):
    machine = Plain()
    machine.put(CONF, f"heartbeat = {value}\n")
    assert found(machine, "RMQ-162") == findings


def test_definitions_are_fetched_from_somebody_who_answers():
    machine, wires = Plain(), Wires()
    machine.put(CONF, "definitions.import_backend = https\ndefinitions.https.url = https://far.example.org:8443/x\n")
    wires.closed[8443] = "connection refused"
    assert found(machine, "RMQ-077", wires) == []
    wires.down()
    assert found(machine, "RMQ-077", wires) == ["RMQ-077"]
    del wires.closed[8443]
    assert found(machine, "RMQ-077", wires) == []


WHOLE = "cluster_partition_handling.pause_if_all_down"
PAUSE = "cluster_partition_handling = pause_if_all_down\n"


@pytest.mark.parametrize(
    ("text", "findings"),
    [
        (PAUSE, ["RMQ-168"]),
        (f"{PAUSE}{WHOLE}.nodes.1 = rabbit@a\n", ["RMQ-168"]),
        (f"{PAUSE}{WHOLE}.nodes.1 = rabbit@a\n{WHOLE}.recover = ignore\n", []),
        ("definitions.import_backend = https\n", ["RMQ-168"]),
        ("definitions.import_backend = local_filesystem\ndefinitions.local.path = /srv/d\n", []),
        ("log.syslog.host = logs\n", ["RMQ-168"]),
        ("log.syslog = true\nlog.syslog.host = logs\n", []),
        ("default_permissions.read = .*\n", ["RMQ-168"]),
        ("".join(f"default_permissions.{what} = .*\n" for what in ("configure", "write", "read")), []),
    ],
)
def test_settings_that_need_others(text, findings):
    machine = Plain()
    machine.put(CONF, text)
    assert found(machine, "RMQ-168") == findings


@pytest.mark.parametrize(
    ("text", "findings"),
    [
        ("default_pass =\n", ["RMQ-071"]),
        ("default_pass = ''\n", []),
        ("auth_backends.one = internal\n", ["RMQ-072"]),
        ("auth_backends.1.authn = internal\nauth_backends.2 = internal\n", []),
        ("default_queue_type = quorrum\n", ["RMQ-073"]),
        ("default_queue_type = quorum\npassword_hashing_module = my_hashing\n", []),
        ("password_hashing_module = sha512\n", ["RMQ-073"]),
        ("cluster_formation.peer_discovery_backend = nosuch\n", ["RMQ-142"]),
        ("cluster_formation.peer_discovery_backend = dns\n", []),
    ],
)
def test_settings_as_templates_leave_them(text, findings):
    machine = Plain()
    machine.put(CONF, text)
    assert found(machine, "RMQ-071,RMQ-072,RMQ-073,RMQ-142") == findings


@pytest.mark.parametrize(
    ("backend", "text", "findings"),
    [
        ("ldap", "", ["RMQ-174"]),
        ("ldap", "auth_ldap.servers.1 = far\nauth_ldap.servers.2 = dead\nauth_ldap.port = 3890\n", ["RMQ-174"]),
        ("ldap", "auth_ldap.servers.1 = far\n", []),
        ("http", "auth_http.user_path = http://127.0.0.1:3890/user\n", ["RMQ-174"]),
        ("http", "auth_http.user_path = https://far.example.org/user\n", []),
        ("oauth2", "auth_oauth2.issuer = https://far.example.org/\n", []),
        ("internal", "", []),
    ],
)
def test_who_is_asked_about_logins(backend, text, findings):
    machine, wires = Plain(), Wires()
    machine.put(CONF, text)
    wires.answers["application:get_env"] = (Atom("ok"), [Atom(f"rabbit_auth_backend_{backend}")])
    wires.closed[3890] = "connection refused"
    assert found(machine, "RMQ-174", wires) == findings


def test_what_mqtt_is_to_use():
    machine, wires = Plain(), Wires()
    machine.put(CONF, "mqtt.vhost = /\nmqtt.exchange = nosuch\nanonymous_login_user = none\nstomp.default_vhost = x\n")
    machine.put(KEYS, "[rabbitmq_mqtt].\n")
    assert found(machine, "RMQ-175", wires) == []
    wires.answers["rabbit_exchange:exists"] = Atom("false")
    assert found(machine, "RMQ-175", wires) == ["RMQ-175"]


PASSPHRASE = "[{rabbit, [{config_entry_decoder, [{passphrase, %s}]}]}].\n"


@pytest.mark.parametrize(
    ("given", "findings"),
    [
        ('<<"opensesame">>', []),
        ('{file, "/etc/rabbitmq/pass"}', []),
        ('{file, <<"/srv/gone">>}', ["RMQ-169"]),
        ("prompt", ["RMQ-169"]),
    ],
)
def test_the_passphrase_of_encrypted_values(given, findings):
    machine = Plain()
    machine.put(CONF, "default_pass = encrypted:gN0lTqUDAGhYRcwFlCx1\n")
    machine.put("/etc/rabbitmq/pass", "opensesame\n")
    machine.put(ADVANCED, PASSPHRASE % given)
    assert found(machine, "RMQ-169") == findings


@pytest.mark.parametrize(
    ("text", "findings"),
    [
        ("log.file = false\n", ["RMQ-170"]),
        ("log.file = false\nlog.console = true\n", []),
        ("log.file = false\nlog.console = true\nlog.console.level = none\n", ["RMQ-170"]),
        ("log.file.level = critical\n", ["RMQ-170"]),
        ("log.default.level = none\nlog.console = true\n", ["RMQ-170"]),
        ("log.file.level = info\nlog.connection.level = none\n", []),
        ("log.file.level = debug\nlog.file.level = info\n", []),
        ("log.connection.level = debug\n", ["RMQ-171"]),
    ],
)
def test_what_is_logged(text, findings):
    machine = Plain()
    machine.put(CONF, text)
    assert found(machine, "RMQ-170,RMQ-171") == findings


@pytest.mark.parametrize(
    ("line", "findings"),
    [
        ("export HTTPS_PROXY='http://proxy.example.org:3129/'", ["RMQ-026"]),
        ("https_proxy=http://user:word@proxy.example.org:3129", ["RMQ-026"]),
        ("http_proxy=http://proxy.example.org:3128", []),
        ("# http_proxy=http://proxy.example.org:3129", []),
        ("no_proxy=proxy.example.org:3129", []),
    ],
)
def test_a_proxy_of_every_login(line, findings):
    machine, wires = Plain(), Wires()
    machine.put("/etc/environment", f"PATH=/bin\n{line}\n")
    wires.closed[3129] = "connection refused"
    assert found(machine, "RMQ-026", wires) == findings


def test_a_kernel_that_promises_no_more_memory_than_it_has():
    machine, wires = Plain(), Wires()
    wires.down()
    machine.put("/proc/sys/vm/overcommit_memory", "2\n")
    machine.put("/proc/meminfo", "MemAvailable: 9000000 kB\nCommitLimit: 9000000 kB\nCommitted_AS: 8900000 kB\n")
    assert found(machine, "RMQ-034", wires) == ["RMQ-034"]
    assert found(machine, "RMQ-034") == []
    machine.put("/proc/sys/vm/overcommit_memory", "0\n")
    assert found(machine, "RMQ-034", wires) == []


@pytest.mark.parametrize(
    ("fstab", "findings"),
    [
        ("UUID=1 / ext4 defaults 0 1\nUUID=2 none swap sw 0 0\n", []),
        ("UUID=1 /var/lib/rabbitmq ext4 noauto 0 2\n", []),
        ("# UUID=1 /var/lib/rabbitmq ext4 defaults 0 2\n", []),
        ("UUID=1 /srv/other ext4 defaults 0 2\n", []),
        ("UUID=1 /var/log/rabbitmq ext4 nofail 0 2\n", ["RMQ-153"]),
        ("UUID=1 /var ext4 nofail 0 2\n", ["RMQ-153"]),
    ],
)
def test_disks_that_are_to_be_mounted(fstab, findings):
    machine = Plain()
    machine.put("/etc/fstab", fstab)
    assert found(machine, "RMQ-153") == findings


@pytest.mark.parametrize("base", ["/srv", "/var/lib/rabbitmq/../../../srv"])
def test_of_a_folder_that_others_have_as_well_only_the_node_s_own_data_are_given_to_its_user(base):
    machine = Plain()
    machine.put("/etc/rabbitmq/rabbitmq-env.conf", f"MNESIA_BASE={base}\n")
    rows = [f"root\troot\t{row}\0" for row in (f"755\td\t{base}", f"644\tf\t{base}/www/index.html")]
    machine.say(f"find {base}", "".join(rows))
    machine.say("/usr/bin/setpriv", f"{base}\n{base}/www/index.html\n{base}/rabbit@broker/x\n")
    assert examine(scene(machine), chosen("RMQ-053")).findings == ()
    machine.say(f"find {base}", "".join((*rows, f"root\troot\t644\tf\t{base}/rabbit@broker/x\0")))
    (finding,) = examine(scene(machine), chosen("RMQ-053")).findings
    assert finding.hint == f"chown -R rabbitmq: {base}/rabbit@broker*"
    (step,) = (step for step in finding.fix if isinstance(step, Access))
    assert [right.path for right in step.rights] == [f"{base}/rabbit@broker/x"]


@pytest.mark.parametrize("many", [directories.MANY, directories.MANY + 1])
def test_more_data_than_are_mended_at_once_are_for_a_person(many):
    machine = Plain()
    paths = [f"/var/lib/rabbitmq/mnesia/rabbit@broker/{number}" for number in range(many)]
    machine.say("find /var/lib/rabbitmq/mnesia", "".join(f"root\troot\t644\tf\t{path}\0" for path in paths))
    machine.say("/usr/bin/setpriv", "\n".join(paths[: directories.MANY]))
    (finding,) = examine(scene(machine), chosen("RMQ-053")).findings
    assert finding.cause.startswith(f"{many} paths")
    assert bool(finding.fix) == (many == directories.MANY)


def test_a_shovel_says_why_it_does_not_run_without_its_password():
    machine, wires = Plain(), Wires()
    machine.put(KEYS, "[rabbitmq_shovel].\n")
    reason = (Atom("terminated"), ([*b"amqp://app:s3cr3t@far"], [(Atom("econnrefused"), 7)]))
    wires.answers["rabbit_shovel_status:status"] = [
        ((b"/", b"orders"), Atom("dynamic"), reason, b""),
        (b"bills", Atom("static"), (Atom("running"), []), b""),
    ]
    (finding,) = (each for check in catalogue() if check.id == "RMQ-161" for each in check.judge(scene(machine, wires)))
    assert "the shovel orders does not run" in finding.summary
    assert finding.evidence == ("the shovel orders: terminated amqp://(removed)@far econnrefused 7",)
    assert "s3cr3t" not in repr(finding)


DENIED = 'type=AVC msg=audit(1.2:3): avc:  denied  { name_bind } for  pid=7 comm="beam.smp" src=9999 scontext=x\n'


@pytest.mark.parametrize(("enforced", "findings"), [("1", ["RMQ-164"]), ("0", [])])
def test_a_refusal_of_selinux_counts_where_it_is_enforced_and_the_node_is_down(enforced, findings):
    machine, wires = Plain(), Wires()
    machine.put("/sys/fs/selinux/enforce", enforced)
    machine.say("tail -n 500", f"type=SYSCALL comm=other\n{DENIED}")
    (check,) = (check for check in catalogue() if check.id == "RMQ-164")
    assert list(check.judge(scene(machine, wires))) == []
    wires.down()
    assert [each.check for each in check.judge(scene(machine, wires))] == findings
