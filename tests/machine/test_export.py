"""An export ends where `apply` ends: tried on fresh machines, one with each."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.machine

OURS = ("/var/lib/rmqsetup*", "/root/*")
CHANCE = ("/etc/.updated", "/etc/machine-id", "/etc/hosts", "/etc/hostname", "/etc/shadow*", "/etc/ld.so.cache")
"""What differs between two machines whatever is done on them: names, numbers, the day a password was locked."""
WISH = ("--source", "distro", "--plugins", "rabbitmq_management", "--set", "heartbeat=30", "--open-files", "70000")
DEFINITIONS = """{
  "users": [{"name": "shop", "password_hash": "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR",
             "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": []}],
  "vhosts": [{"name": "orders"}],
  "permissions": [{"user": "shop", "vhost": "orders", "configure": ".*", "write": ".*", "read": ".*"}]
}"""


def exported(machine, form, *wish):
    done = machine.run("rmqsetup", "plan", "--as", form, *wish, check=True)
    return done.stdout


def installed(boot, tool, base, *wish):
    machine = boot(base, layers=tool.layers())
    machine.write("/root/definitions.json", DEFINITIONS)
    text = exported(machine, "sh", *wish)
    machine.run("rmqsetup", "install", "--yes", *wish, check=True)
    return machine, text


@pytest.mark.parametrize("base", ["trixie", "bookworm", "forky"])
def test_the_script_ends_where_install_ends_and_again_changes_nothing(boot, tool, base):
    wish = (*WISH, "--definitions", "/root/definitions.json")
    ours, text = installed(boot, tool, base, *wish)
    again = exported(ours, "sh", *wish)
    assert again.partition("\nset -eu\n")[2] == text.partition("\nset -eu\n")[2], (
        "it says the same where all is installed"
    )
    theirs = boot(base)
    theirs.write("/root/broker.sh", text)
    lacking = theirs.run("sh", "/root/broker.sh")
    assert (lacking.exit_code, lacking.stderr) == (
        1,
        "stopped: put definitions.json beside this script, or name its folder as the first argument\n",
    )
    theirs.write("/root/definitions.json", DEFINITIONS)
    theirs.run("sh", "/root/broker.sh", check=True)
    assert ours.snapshot().differences(theirs.snapshot(), ignore=(*OURS, *CHANCE)) == ()
    assert theirs.run("rabbitmqctl", "-q", "list_vhosts", check=True).stdout.splitlines()[1:] == ["orders"]
    started = theirs.run("systemctl", "show", "-p", "ExecMainStartTimestampMonotonic", "rabbitmq-server").stdout
    before = theirs.snapshot()
    once_more = theirs.run("sh", "/root/broker.sh", check=True)
    assert once_more.stdout == ""
    assert before.differences(theirs.snapshot()) == ()
    assert theirs.run("systemctl", "show", "-p", "ExecMainStartTimestampMonotonic", "rabbitmq-server").stdout == started
    theirs.run("sh", "-c", "sleep 1.1; echo '# mine' >>/etc/rabbitmq/conf.d/10-rmqsetup.conf", check=True)
    mended = theirs.run("sh", "/root/broker.sh", check=True).stdout.splitlines()
    assert [line.split()[1] for line in mended] == ["write", "restart"]
    assert "# mine" in theirs.read("/etc/rabbitmq/conf.d/10-rmqsetup.conf.rmqsetup.save")


def test_the_script_takes_packages_from_where_they_were_resolved(boot, tool, trust, serve):
    ours = boot(layers=tool.layers(trust.good))
    serve(ours)
    text = exported(ours, "sh", "--source", "team")
    theirs = boot()
    serve(theirs)
    theirs.write("/root/broker.sh", text)
    theirs.run("sh", "/root/broker.sh", check=True)
    installed_there = dict(theirs.snapshot().packages)
    assert installed_there["rabbitmq-server"] == "4.2.9-1 installed"
    assert installed_there["erlang-base"] == "1:27.3.4.6-1 installed"
    assert {"rabbitmq-server", "erlang-base"} <= {name for name, _ in theirs.snapshot().held}


def test_the_script_stops_before_it_takes_packages_from_elsewhere(boot, tool, trust, serve):
    ours = boot(layers=tool.layers(trust.good))
    serve(ours)
    text = exported(ours, "sh", "--source", "team").replace("*RabbitMQ*", "Nobody").replace(" RabbitMQ;", " Nobody;")
    before = ours.snapshot()
    stopped = ours.run("sh", "-s", input=text)
    assert stopped.exit_code == 1, stopped
    assert "would come from elsewhere than resolved" in stopped.stderr
    assert dict(before.packages) == dict(ours.snapshot().packages)


def test_the_script_stops_on_another_release(boot, tool):
    text = exported(boot(layers=tool.layers()), "sh", *WISH)
    stopped = boot("bookworm").run("sh", "-s", input=text)
    assert (stopped.exit_code, stopped.stderr) == (1, "stopped: this was made for Debian 13 (trixie)\n")


def test_the_dockerfile_makes_a_machine_in_which_its_command_is_a_node(boot, tool):
    text = exported(boot(layers=tool.layers()), "dockerfile", *WISH)
    script = text.partition("<<'DOCKERFILE' /run/rmqsetup.sh\n")[2].partition("\nDOCKERFILE\n")[0]
    container = boot(systemd=False)
    container.run("sh", "-s", input=script, check=True)
    user = text.partition("\nUSER ")[2].split()[0]
    assert container.run("rabbitmq-diagnostics", "-q", "ping").exit_code != 0
    node = container.popen("sh", "-c", "cd /; exec rabbitmq-server", user=user, env=("HOME=/var/lib/rabbitmq",))
    ready = container.run(
        "sh", "-c", "for _ in $(seq 60); do ! ss -ltn | grep -q :15672 || exit 0; sleep 1; done; exit 1"
    )
    assert ready.exit_code == 0, node.output()
    node.kill_tree()
    node.finish(30)
