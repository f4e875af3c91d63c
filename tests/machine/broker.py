"""What tests on machines ask of rmqsetup and of a broker, in one place.

What a machine is belongs to `lab`.
"""

from __future__ import annotations

import contextlib
import json

from lab.system import until

NODE_LOG = "/var/log/rabbitmq/rabbit@broker.log"

HOLDER = """
import fcntl, sys, time
file = open(sys.argv[1], "w")
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(float(sys.argv[2]))
"""

STAYS = (
    "/etc/passwd*",
    "/etc/shadow*",
    "/etc/group*",
    "/etc/gshadow*",
    "/etc/subuid*",
    "/etc/subgid*",
    "/etc/ld.so.cache",
)
"""What an uninstall leaves changed, and says so: the system users rabbitmq and epmd, and the linker's cache."""


def rmqsetup(machine, *words, code=0, **options):
    """Run rmqsetup in a machine, hold it to an exit code, and return what it printed."""
    done = machine.run("rmqsetup", *words, **options)
    assert done.exit_code == code, str(done)
    return done


def envelope(machine, *words, code=0, **options):
    """Run rmqsetup with JSON output, hold it to an exit code, and return the envelope."""
    done = rmqsetup(machine, *words, "--output", "json", code=code, **options)
    answer = json.loads(done.stdout)
    assert answer["exit_code"] == code
    return answer


def boots(machine):
    """Return how often the node has booted, by its own log."""
    return machine.read(NODE_LOG).count("Starting RabbitMQ")


def healthy(machine):
    """Hold the broker to RabbitMQ's own checks."""
    for check in ("check_running", "check_alarms", "check_port_connectivity", "check_virtual_hosts"):
        machine.run("rabbitmq-diagnostics", "-q", check, check=True)


def restored(before, machine, *ignore):
    """Hold a machine to what it was."""
    assert before.differences(machine.snapshot(), ignore=(*STAYS, *ignore)) == ()
    assert not machine.exists("/usr/sbin/policy-rc.d")


@contextlib.contextmanager
def running(machine, *argv):
    """Keep a command of a machine running that says when it is ready."""
    command = machine.popen(*argv)
    assert until(lambda: "held" in command.output()[0], 20), command.output()
    try:
        yield command
    finally:
        command.kill_tree()
        command.finish()


def take_back(machine):
    """Uninstall what a test that failed has left."""
    if machine.run("dpkg-query", "-W", "rabbitmq-server").exit_code == 0:
        machine.run("rmqsetup", "uninstall", "--yes")
