"""Compare throwaway brokers with RabbitMQ's own script and with the peers on PyPI, as ratios in one run.

    python benchmarks/throwaway.py [--rounds 7] [--peers]

Each way is a process of its own that starts a broker, has a message carried, and takes the broker down again; in turn,
the order reversed every second round. CPU is that of all its processes, from rusage. With --peers pytest-rabbitmq,
rabbitfixture and testing.rabbitmq are installed into an environment of their own, below the cache. Absolute seconds
depend on this computer: compare ratios.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rmqsetup.broker import ports, start, supplier
from rmqsetup.broker.binaries import Binaries
from rmqsetup.broker.wish import Wish

OURS = """
from rmqsetup.testing import broker
with broker():
    print("carried", flush=True)
"""

SCRIPT = """
import os, signal, subprocess, tempfile, time
from rmqsetup.broker import ports
from rmqsetup.probes.amqp import Account, Endpoint
from rmqsetup.probes.carrier import carry
from rmqsetup.probes.wire import ProbeError
amqp, other, epmd = ports.reserve(3).numbers
with tempfile.TemporaryDirectory() as folder:
    env = dict(os.environ, HOME=folder, RABBITMQ_NODENAME=f"script{amqp}@localhost", RABBITMQ_NODE_PORT=str(amqp),
        RABBITMQ_DIST_PORT=str(other), ERL_EPMD_PORT=str(epmd), RABBITMQ_MNESIA_BASE=f"{folder}/data",
        RABBITMQ_LOG_BASE=f"{folder}/log", RABBITMQ_ENABLED_PLUGINS_FILE=f"{folder}/enabled",
        RABBITMQ_CONF_ENV_FILE="/dev/null", RABBITMQ_NODE_IP_ADDRESS="127.0.0.1", RABBITMQ_PID_FILE=f"{folder}/pid",
        RUNNING_UNDER_SYSTEMD="true")  # the script becomes the node, so that its CPU is counted
    node = subprocess.Popen(("rabbitmq-server",), env=env, start_new_session=True, stdout=-3, stderr=-3)
    while True:
        try:
            carry(Endpoint(("127.0.0.1",), amqp), Account("guest", "guest"), timeout=5)
            break
        except ProbeError:
            time.sleep(0.05)
    print("carried", flush=True)
    os.killpg(node.pid, signal.SIGKILL)
    node.wait()
    subprocess.run(("epmd", "-port", str(epmd), "-kill"), stdout=-3, stderr=-3)
"""

RABBITFIXTURE = """
import os
from rabbitfixture import server as module
from rabbitfixture.server import RabbitServer
module.RABBITBIN = os.environ["SBIN"]
with RabbitServer() as server:
    connection = server.runner.environment.get_connection()
    print("carried", flush=True)
    connection.close()
"""

TESTING_RABBITMQ = """
import os, pika, testing.rabbitmq
with testing.rabbitmq.RabbitMQServer(rabbitmq_script_dir=os.environ["SBIN"], boot_timeout=60) as server:
    pika.BlockingConnection(pika.URLParameters(server.url().replace("ampq:", "amqp:"))).close()
    print("carried", flush=True)
"""

TEST = """
def test_it({connection}):
    channel = {connection}.channel()
    channel.queue_declare("q")
    channel.confirm_delivery()
    channel.basic_publish("", "q", b"x")
    print("carried", flush=True)
"""

MANY = """
import pytest, time
@pytest.mark.parametrize("number", range(100))
def test_it({vhost}number): time.sleep(0.03)
"""
"""Tests as long as one that connects and carries a message."""

PEERS = ("pytest-rabbitmq", "rabbitfixture", "testing.rabbitmq", "pytest", "pika", "setuptools<80")


def measured(argv: tuple[str, ...], env: dict[str, str], folder: str) -> tuple[float, float, float]:
    """Return wall seconds until a message was carried, wall seconds after that, and CPU seconds of all of it."""
    before, begun, carried = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic(), 0.0
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env, cwd=folder
    ) as run:
        said = []
        for line in run.stdout or ():
            said.append(line)
            if "carried" in line:
                carried = time.monotonic()
    if run.returncode or not carried:
        raise RuntimeError(f"{argv[-1][:60]!r} ended with {run.returncode}: {''.join(said).strip()[-300:]}")
    after, ended = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return carried - begun, ended - carried, cpu


def tried(argv: tuple[str, ...], env: dict[str, str], folder: str) -> tuple[float, float, float] | None:
    """Return what was measured; None, with words, where it failed: a peer may give up on a busy machine."""
    try:
        return measured(argv, env, folder)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return None


def environment(programs: Binaries) -> dict[str, str]:
    """Return variables with which every way finds the same programs, and no epmd of the machine's."""
    path = f"{programs.home}/sbin:{programs.erlang}/bin:{os.environ['PATH']}"
    port = str(ports.reserve(1).numbers[0])
    root = str(Path(__file__).resolve().parents[1])
    return {**os.environ, "PATH": path, "ERL_EPMD_PORT": port, "PYTHONPATH": root, "SBIN": f"{programs.home}/sbin"}


def ways(folder: Path, programs: Binaries, *, peers: bool) -> dict[str, tuple[str, ...]]:
    """Return what is compared."""
    (folder / "test_ours.py").write_text(TEST.format(connection="rmq_connection"))
    (folder / "test_theirs.py").write_text(TEST.format(connection="rabbitmq"))
    pytest = ("-m", "pytest", "-q", "-s", "-p", "no:cacheprovider")
    found = {
        "ours": (sys.executable, "-c", OURS),
        "script": (sys.executable, "-c", SCRIPT),
        "ours, pytest": (sys.executable, *pytest, "test_ours.py"),
    }
    if peers:
        python = environment_of_peers()
        sbin = programs.home / "sbin"
        options = (f"--rabbitmq-server={sbin}/rabbitmq-server", f"--rabbitmq-ctl={sbin}/rabbitmqctl")
        found["pytest-rabbitmq"] = (python, *pytest, *options, "test_theirs.py")
        found["rabbitfixture"] = (python, "-c", RABBITFIXTURE)
        found["testing.rabbitmq"] = (python, "-c", TESTING_RABBITMQ)
    return found


def environment_of_peers() -> str:
    """Return a Python that has the peers."""
    place = supplier.cache() / "peers"
    if not (place / "bin/python").exists():
        subprocess.run((sys.executable, "-m", "venv", str(place)), check=True)
        subprocess.run((str(place / "bin/pip"), "install", "-q", *PEERS), check=True)
    return str(place / "bin/python")


def overhead(env: dict[str, str], folder: Path) -> float:
    """Return milliseconds that a virtual host of its own adds to a test, over a hundred of them."""
    times = {}
    for name, fixture in (("none", ""), ("vhost", "rmq_vhost, ")):
        (folder / "test_many.py").write_text(MANY.format(vhost=fixture))
        argv = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--durations=0", "-vv", "test_many.py")
        said = subprocess.run(argv, env=env, cwd=folder, capture_output=True, text=True, check=True).stdout
        spans = [float(line.split("s ")[0]) for line in said.splitlines() if "test_it[" in line and "s " in line[:9]]
        times[name] = sum(sorted(spans)[:-1])  # without the start of the broker
    return 10 * (times["vhost"] - times["none"])


def memory(programs: Binaries, count: int = 16) -> float:
    """Return the private megabytes of each of so many brokers that are up at once."""
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: start.start(Wish(), programs), range(count)))
    try:
        sizes = []
        for broker in made:
            lines = Path(f"/proc/{broker.nodes[0].pid}/smaps_rollup").read_text().splitlines()
            sizes.append(sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1000)
        return statistics.median(sizes)
    finally:
        for broker in made:
            broker.stop()


def main() -> None:
    """Run every way in turn, and print medians and ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--peers", action="store_true")
    given = parser.parse_args()
    programs = supplier.provide()
    env, rows = environment(programs), dict[str, list[tuple[float, float, float]]]()
    with tempfile.TemporaryDirectory() as folder:
        compared = ways(Path(folder), programs, peers=given.peers)
        measured(compared["ours"], env, folder)  # the first start of an installation learns its modules
        for number in range(given.rounds):
            for name in list(compared)[:: 1 if number % 2 == 0 else -1]:
                if found := tried(compared[name], env, folder):
                    rows.setdefault(name, []).append(found)
        report(rows, programs)
        print(f"a virtual host for each test: {overhead(env, Path(folder)):.1f} ms")
    subprocess.run(("epmd", "-port", env["ERL_EPMD_PORT"], "-kill"), env=env, check=False, capture_output=True)
    print(f"16 brokers at once: {memory(programs):.0f} MB private memory each")


def report(rows: dict[str, list[tuple[float, float, float]]], programs: Binaries) -> None:
    """Print medians with minima, and each way as a share of the script's."""
    print(f"RabbitMQ {programs.version} on Erlang {programs.otp}; load {os.getloadavg()[0]:.1f}, {os.cpu_count()} CPUs")
    print(f"{'':18}{'carried after s':>18}{'gone after s':>18}{'CPU s':>16}   (median, minimum)")
    for name, figures in rows.items():
        columns = zip(*figures, strict=True)
        print(f"{name:18}" + "".join(f"{statistics.median(each):10.2f} {min(each):6.2f} " for each in columns))
    for name, figures in rows.items():
        if name != "script":
            pairs = list(zip(figures, rows["script"], strict=False))
            wall, cpu = (statistics.median(a[k] / b[k] for a, b in pairs) for k in (0, 2))
            print(f"{name} / script: wall x{wall:.2f}, CPU x{cpu:.2f}")


if __name__ == "__main__":
    main()
