"""What a node needs to be started by hand: its program, its limits, its ports, and nobody in its place."""

from __future__ import annotations

import socket
import subprocess
import threading
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmqsetup import launch
from rmqsetup.errors import BrokerNotReadyError, ConflictError, UnsupportedError, UsageError
from rmqsetup.host import Command, FileState, Result
from rmqsetup.hosts.local import LocalHost
from rmqsetup.managers.layout import SYSTEM, of_archive, of_brew
from rmqsetup.probes import ports
from rmqsetup.probes.address import NodeAddress
from rmqsetup.services import OPEN_FILES
from rmqsetup.services.none import Unmanaged

BILLION = 1_073_741_816
"""What containers are given where dockerd's own limit is infinity."""

TCP6 = """\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:1628 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000   101        0 94875 1 0000000011afa378 100 0 0 10 0
   1: 0000000000000000FFFF00000100007F:1628 0000000000000000FFFF00000100007F:9C4E 01 00000000:00000000 00:00000000 00000000   101        0 94876 1 0000000011afa379 100 0 0 10 0
   2: 00000000000000000000000001000000:3D38 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 71 1 0000000011afa37a 100 0 0 10 0
"""  # noqa: E501 - as the kernel prints it


class Files:
    """A host that has some files, and knows who holds which socket."""

    def __init__(self, holders: dict[int, str] | None = None, /, **files: str) -> None:
        self.files = {f"/etc/rabbitmq/{name.replace('__', '/')}": text for name, text in files.items()}
        self.holders = holders or {}

    def read(self, path):
        text = self.files.get(path)
        return None if text is None else FileState(text.encode(), 0o644, "root", "root")

    def names(self, directory):
        return tuple(sorted(path.rpartition("/")[2] for path in self.files if path.rpartition("/")[0] == directory))

    def run(self, command: Command, listener=None):  # noqa: ARG002
        found = next((fd for number, fd in self.holders.items() if f"socket:?{number}?" in command.argv), "")
        return Result(command, 0, found)


def rabbit(**more: str) -> Files:
    files = Files({94875: "/proc/123/fd/7\n"})
    files.files |= {f"/etc/rabbitmq/{name.replace('__', '/')}": text for name, text in more.items()}
    files.files |= {"/proc/net/tcp6": TCP6, "/proc/123/comm": "qpidd\n"}
    return files


# ---- limits


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "found"),
    [
        (1024, 524_288, None, (1024, 524_288)),
        (65_536, 65_536, None, (65_536, 65_536)),
        (BILLION, BILLION, None, (OPEN_FILES, OPEN_FILES)),
        (1024, BILLION, None, (1024, OPEN_FILES)),
        (-1, -1, None, (OPEN_FILES, OPEN_FILES)),
        (1024, 524_288, 65_536, (65_536, 65_536)),
        (BILLION, BILLION, 1_000_000, (1_000_000, 1_000_000)),
        (-1, -1, 4096, (4096, 4096)),
    ],
)
def test_limits_of_the_node(soft, hard, wanted, found):
    assert launch.limited(soft, hard, wanted) == found


numbers = st.integers(0, 2**40) | st.just(-1)


def order(number: int) -> float:
    return float("inf") if number == -1 else number


@given(numbers, numbers)
def test_no_limit_is_ever_raised_or_left_huge(soft, hard):
    for before, after in zip((soft, hard), launch.limited(soft, hard), strict=True):
        assert 0 <= after <= OPEN_FILES
        assert order(after) <= order(before)
        assert after == before or order(before) > OPEN_FILES


def test_more_than_is_allowed_is_refused_with_what_to_type():
    with pytest.raises(UnsupportedError) as refused:
        launch.limited(1024, 20_000, 65_536)
    assert "20000" in refused.value.cause
    assert "docker run --ulimit nofile=65536" in refused.value.hint


@pytest.mark.parametrize(
    ("before", "after"), [("-Sn 300 -Hn 400", "300 400"), ("-Sn 300 -Hn 900", "300 500"), ("-n 900", "500 500")]
)
def test_a_node_in_the_background_gets_the_same_limits(tmp_path, monkeypatch, before, after):
    """The shell's own arithmetic, at a thousandth of the numbers."""
    node = tmp_path / "node"
    node.write_text("#!/bin/sh\necho $(ulimit -Sn) $(ulimit -Hn) $1\n")
    node.chmod(0o755)
    monkeypatch.setattr("rmqsetup.services.none._START", script().replace(str(OPEN_FILES), "500"))
    argv = Unmanaged().start(str(node)).argv
    words = before.replace(" -H", " && ulimit -H")
    done = subprocess.run(
        ("sh", "-c", f'ulimit {words} && exec "$@"', "sh", *argv), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"{after} -detached"


def script() -> str:
    from rmqsetup.services import none

    assert str(OPEN_FILES) in none._START
    return none._START


# ---- what stands in the way


def test_nothing_to_start():
    with pytest.raises(UsageError) as refused:
        launch.find(Files(), SYSTEM, home="/root")
    assert refused.value.hint == "rmqsetup install"
    assert refused.value.looked_at == launch.LAUNCHERS


def test_upstreams_own_script_comes_before_the_wrapper():
    files = Files()
    files.files = dict.fromkeys(reversed(launch.LAUNCHERS), "")
    assert launch.find(files, SYSTEM, home="/root").program == "/usr/lib/rabbitmq/bin/rabbitmq-server"
    del files.files[launch.LAUNCHERS[0]]
    found = launch.find(files, SYSTEM, home="/root")
    assert (found.program, found.user, found.manager) == ("/usr/sbin/rabbitmq-server", "rabbitmq", "")


@pytest.mark.parametrize(
    ("unit", "looked_after"),
    [
        ("", ("script", "/srv/broker")),
        ("ExecStart=/srv/other/bin/rabbitmq-server\n", ("script", "/srv/broker")),
        ("ExecStart=/srv/broker/bin/rabbitmq-server\n", ("systemd-user", "rabbitmq-server")),
    ],
)
def test_a_node_below_a_prefix_is_started_by_what_looks_after_it(unit, looked_after):
    files = Files()
    with pytest.raises(UsageError) as refused:
        launch.find(files, of_archive("/srv/broker"), home="/home/ann")
    assert refused.value.looked_at == ("/srv/broker/bin/rabbitmq-server",)
    files.files["/srv/broker/bin/rabbitmq-server"] = ""
    files.files["/home/ann/.config/systemd/user/rabbitmq-server.service"] = unit
    found = launch.find(files, of_archive("/srv/broker"), home="/home/ann")
    assert (found.manager, found.service) == looked_after
    assert (found.program, found.user) == ("/srv/broker/bin/rabbitmq-server", "")
    assert found.env == (launch.SUPERVISED,), "the program itself says where everything is"


def test_homebrews_node_reads_homebrews_settings():
    files = Files()
    files.files["/opt/homebrew/opt/rabbitmq/sbin/rabbitmq-server"] = ""
    found = launch.find(files, of_brew("/opt/homebrew", home="/Users/ann"), home="/Users/ann")
    assert (found.manager, found.service, found.user) == ("brew", "rabbitmq", "")
    assert ("CONF_ENV_FILE", "/opt/homebrew/etc/rabbitmq/rabbitmq-env.conf") in found.env


def test_the_ports_of_a_node_below_a_prefix_are_in_its_own_files():
    host = rabbit()
    host.files["/srv/broker/etc/rabbitmq/conf.d/10.conf"] = "listeners.tcp.default = 5673\n"
    launch.refuse_taken(host, of_archive("/srv/broker"))
    with pytest.raises(BrokerNotReadyError):
        launch.refuse_taken(host)


def test_tables_of_the_kernel_are_read():
    assert ports.parse_taken(TCP6) == (ports.Taken(5672, 94875), ports.Taken(15672, 71))
    assert ports.parse_taken("") == ()


def test_a_taken_port_names_its_holder():
    with pytest.raises(BrokerNotReadyError) as refused:
        launch.refuse_taken(rabbit())
    assert "port 5672 is taken" in refused.value.message
    assert refused.value.cause == "qpidd (process 123)"


def test_a_port_whose_holder_is_not_to_be_seen():
    with pytest.raises(BrokerNotReadyError) as refused:
        launch.refuse_taken(rabbit(**{"rabbitmq.conf": "listeners.tcp.default = 15672\n"}))
    assert refused.value.cause == "another process listens there"


@pytest.mark.parametrize(
    "files",
    [
        {"rabbitmq.conf": "listeners.tcp.default = 5673\n"},
        {"conf.d__10-rmqsetup.conf": "listeners.tcp.local = 127.0.0.1:5673\n"},
        {"rabbitmq.conf": "listeners.tcp = none\nlisteners.ssl.default = 5671 # not 5672\n"},
        {"rabbitmq.conf": "listeners.tcp.default = 5672\n", "conf.d__90.conf": "listeners.tcp.default = 5679\n"},
        {"rabbitmq.conf": "listeners.tcp.default = 5679\n", "conf.d__90.txt": "listeners.tcp.default = 5672\n"},
        {"rabbitmq-env.conf": "# of ours\nexport RABBITMQ_NODE_PORT=5673\n"},
        {"rabbitmq-env.conf": "CONFIG_FILE=/srv/rabbitmq\n"},
        {"advanced.config": "[].\n"},
    ],
    ids=str,
)
def test_a_port_that_the_node_does_not_want_may_be_taken(files):
    launch.refuse_taken(rabbit(**files))


def test_what_is_commented_out_moves_nothing():
    """Debian's own rabbitmq-env.conf is like that."""
    host = rabbit(
        **{"rabbitmq-env.conf": "# Defaults to 5672.\n#NODE_PORT=5672\n", "rabbitmq.conf": "# listeners.tcp = none"}
    )
    with pytest.raises(BrokerNotReadyError):
        launch.refuse_taken(host)


def test_variables_that_the_node_inherits_may_move_its_ports():
    launch.refuse_taken(rabbit(), inherited=("HOME", "RABBITMQ_NODE_PORT"))
    with pytest.raises(BrokerNotReadyError):
        launch.refuse_taken(rabbit(), inherited=("HOME", "RABBITMQ_NODENAME"))


@pytest.mark.parametrize(
    ("plugins", "conf", "refused"),
    [
        ("[rabbitmq_management].\n", "", True),
        ("[rabbitmq_management_agent].\n", "", False),
        ("[rabbitmq_management].\n", "management.tcp.port = 8080\n", False),
        ("[rabbitmq_management].\n", "management.ssl.port = 15671\n", False),
        ("[rabbitmq_management].\n", "management.ssl.port = 15671\nmanagement.tcp.port = 15672\n", True),
    ],
)
def test_the_management_ui_wants_a_port_where_it_is_enabled(plugins, conf, refused):
    host = rabbit(enabled_plugins=plugins, **{"rabbitmq.conf": f"listeners.tcp.default = 5673\n{conf}"})
    if not refused:
        launch.refuse_taken(host)
        return
    with pytest.raises(BrokerNotReadyError, match="the management UI"):
        launch.refuse_taken(host)


def test_a_port_of_this_very_machine_and_its_holder():
    """The kernel's table and /proc, for real: this process listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        host = LocalHost()
        (found,) = (each for each in ports.taken(host) if each.port == port)
        assert ports.holder(host, found).startswith(("python", "pytest"))
    assert not [each for each in ports.taken(LocalHost()) if each.port == port]
    assert ports.holder(host, ports.Taken(1, 0)) == ""


# ---- a node that is there already


@contextmanager
def answering(answer: bytes):
    """Answer one question on a port, as epmd or as something else would."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(64)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join(5)


def test_a_node_that_epmd_knows_runs_already():
    with answering(b"w\0" + (25672).to_bytes(2, "big")) as port, pytest.raises(ConflictError) as refused:
        launch.refuse_running(Files(), NodeAddress("rabbit@here", epmd_port=port))
    assert "rabbit@here is running already" in refused.value.message
    assert "25672" in refused.value.cause


def test_a_node_that_epmd_does_not_know_may_come():
    with answering(b"w\1") as port:
        launch.refuse_running(Files(), NodeAddress("rabbit@here", epmd_port=port))
    launch.refuse_running(Files(), NodeAddress("rabbit@here", epmd_port=1))
    with pytest.raises(ConflictError) as refused:
        launch.refuse_running(Files(), NodeAddress("rabbit@here", epmd_port=1), "process 7")
    assert refused.value.cause == "process 7"


def test_something_else_on_the_port_of_epmd():
    with answering(b"HTTP/1.1 400 Bad Request\r\n") as port, pytest.raises(BrokerNotReadyError) as refused:
        launch.refuse_running(Files(), NodeAddress("rabbit@here", epmd_port=port))
    assert f"port {port} is taken" in refused.value.message


def test_an_epmd_with_nodes_is_in_use():
    with answering(b"\0\0\x11\x11name rabbit at port 25672\n") as port:
        assert launch.is_epmd_in_use(NodeAddress("rabbit@here", epmd_port=port))
    with answering(b"\0\0\x11\x11") as port:
        assert not launch.is_epmd_in_use(NodeAddress("rabbit@here", epmd_port=port))
    assert not launch.is_epmd_in_use(NodeAddress("rabbit@here", epmd_port=1))
