"""What tests on machines ask of rmqsetup and of a broker, in one place.

What a machine is belongs to `lab`.
"""

from __future__ import annotations

import contextlib
import json
import time

from lab.system import until

NODE_LOG = "/var/log/rabbitmq/rabbit@broker.log"

HOLDER = """
import fcntl, sys, time
file = open(sys.argv[1], "w")
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(float(sys.argv[2]))
"""

UNIT = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"

SUICIDAL = "/root/suicidal.py"

SUICIDE = '''
"""Do as `rmqsetup` does, on a host that kills this process at its Nth action, before or after it."""
import os, signal, sys

sys.path[:0] = ["/usr/local/lib/rmqsetup-lab/app", "/usr/local/lib/rmqsetup-lab/deps"]
from rmqsetup.__main__ import main
from rmqsetup.hosts.local import LocalHost

moment, number, sys.argv = sys.argv[1], int(sys.argv[2]), ["rmqsetup", *sys.argv[3:]]
count = 0


def counted(act):
    def acting(self, what, *listener):
        global count
        if act.__name__ == "run" and not any(listener):  # a look, not an action
            return act(self, what)
        count += 1
        if (moment, number) == ("before", count):
            os.kill(os.getpid(), signal.SIGKILL)
        answer = act(self, what, *listener)
        if (moment, number) == ("after", count):
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    return acting


LocalHost.run, LocalHost.write, LocalHost.remove = map(counted, (LocalHost.run, LocalHost.write, LocalHost.remove))
try:
    sys.exit(main())
finally:
    print(count)
'''

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
    """Return how often the node has booted, by its own log, which Erlang writes up to two seconds late."""
    time.sleep(2.2)
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


def acted(machine, *words):
    """Run rmqsetup, and return how many actions it took."""
    return int(machine.run("python3", SUICIDAL, "never", "0", *words, check=True).stdout.split()[-1])


def killed(machine, moment, number, *words):
    """Run rmqsetup, which is killed before or after one of its actions."""
    done = machine.run("python3", SUICIDAL, moment, str(number), *words)
    assert done.exit_code in (-9, 137), f"{moment} action {number}: {done}"


def settled(machine, *names):
    """Wait for what a killed run left running: its package manager ends by itself."""
    look = " || ".join(f"pgrep -x {name}" for name in names)
    assert until(lambda: machine.run("sh", "-c", look).exit_code, 120), f"{names} of a killed run do not end"


def own_mirror(team):
    """Return the words that name a mirror of one's own, whose key is a file of the machine."""
    key = team.stock.trust.good
    team.machine.write("/root/key.asc", key.armored)
    return ("--source", "mirror=https://mirror.test", "--key", "/root/key.asc", "--fingerprint", key.fingerprint)


def with_unit(machine):
    """Give a machine the unit that the small packages have not."""
    machine.write("/usr/lib/systemd/system/rabbitmq-server.service", UNIT)
    machine.run("systemctl", "daemon-reload", check=True)


def take_back(machine):
    """Uninstall what a test that failed has left."""
    if machine.run("dpkg-query", "-W", "rabbitmq-server").exit_code == 0:
        machine.run("rmqsetup", "uninstall", "--yes")
