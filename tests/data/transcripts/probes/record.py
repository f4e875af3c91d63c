"""Record what a real node says to the probes: run as root on a throwaway machine, it breaks the node on purpose.

    python3 record.py /path/to/the/checkout >rabbitmq-VERSION.json

What the tests make of it is in `tests/probing.py`.
"""

from __future__ import annotations

import itertools
import json
import socket
import subprocess
import sys
import time
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path

sys.path.insert(0, sys.argv[1])

from rmqsetup.probes import amqp, distribution, epmd, node, unit, wire

COOKIE = "RECORDEDONATHROWAWAYMACHINE"
CHANCES = (b"\x0b\xad\xca\xfe", b"\x12\x34\xab\xcd")
HERE = amqp.Endpoint(("127.0.0.1",), 5672)

FAULTS = {
    "healthy": (),
    "memory alarm": ("rabbitmqctl -q set_vm_memory_high_watermark absolute 20MB && sleep 2",),
    "disk alarm": (
        "rabbitmqctl -q set_vm_memory_high_watermark 0.6 && rabbitmqctl -q set_disk_free_limit 90000GB && sleep 2",
    ),
    "virtual host down": (
        "rabbitmqctl -q set_disk_free_limit 50MB && sleep 2 && rabbitmqctl -q add_vhost orders && sleep 1",
        "rabbitmqctl -q eval 'rabbit_vhost_sup_sup:delete_on_all_nodes(<<\"orders\">>).'",
    ),
    "application stopped": ("rabbitmqctl -q stop_app",),
}

said: list[tuple[str, str]] = []
last: list[bytes] = []


def shell(command: str) -> str:
    return subprocess.run(("sh", "-c", command), check=True, capture_output=True, text=True).stdout


def listen_in() -> None:
    send, receive, decode = wire.Wire.send, wire.Wire._receive_some, distribution.decode_first

    def sent(self: wire.Wire, data: bytes) -> None:
        said.append((">", data.hex()))
        send(self, data)

    def received(self: wire.Wire, limit: int) -> bytes:
        data = receive(self, limit)
        said.append(("<", data.hex()))
        return data

    def decoded(data: bytes) -> object:
        last[:] = [data]
        return decode(data)

    wire.Wire.send, wire.Wire._receive_some, distribution.decode_first = sent, received, decoded  # type: ignore[assignment]
    chances = itertools.cycle(CHANCES)
    distribution.os.urandom = lambda _: next(chances)
    distribution.os.getpid = lambda: 4711


def conversation(act: object) -> list[tuple[str, str]]:
    said.clear()
    try:
        act()  # type: ignore[operator]
    except wire.ProbeError as error:
        print(f"{type(error).__name__}: {error.message}: {error.cause}", file=sys.stderr)
    merged = [(side, "".join(data for _, data in group)) for side, group in itertools.groupby(said, lambda one: one[0])]
    return [one for one in merged if one[1]]


class Recorder:
    def __init__(self, real: distribution.Connection) -> None:
        self.real = real
        self.answers: dict[str, str] = {}

    def call(self, module: str, function: str, *arguments: object) -> object:
        words = [argument.decode() if isinstance(argument, bytes) else "wall_clock" for argument in arguments]
        key = f"{module}:{function}({', '.join(words)})"
        try:
            return self.real.call(module, function, *arguments)  # type: ignore[arg-type]
        finally:
            self.answers[key] = last[0].hex()


def talk(peer: distribution.Peer) -> dict[str, object]:
    short = peer.name.partition("@")[0]
    guest = amqp.Account("guest", "guest")

    def ask() -> None:
        with closing(distribution.Connection.open(peer)) as node:
            node.call("rabbit", "is_running")

    return {
        "epmd names": conversation(epmd.names),
        "epmd port": conversation(lambda: epmd.port_of(short)),
        "epmd unknown": conversation(lambda: epmd.port_of("nobody")),
        "distribution": conversation(ask),
        "wrong cookie": conversation(lambda: distribution.Connection.open(distribution.Peer(peer.name, "WRONG"))),
        "amqp greeting": conversation(lambda: amqp.greet(HERE)),
        "amqp login": conversation(lambda: amqp.log_in(HERE, guest)),
        "amqp refused": conversation(lambda: amqp.log_in(HERE, amqp.Account("guest", "wrong"))),
        "amqp no virtual host": conversation(lambda: amqp.log_in(HERE, amqp.Account("guest", "guest", "nowhere"))),
        "amqp no permission": conversation(lambda: amqp.log_in(HERE, amqp.Account("nemo", "secret"))),
    }


def main() -> None:
    file = Path("/var/lib/rabbitmq/.erlang.cookie")
    shell("systemctl stop rabbitmq-server; systemctl reset-failed rabbitmq-server")
    file.write_text(COOKIE)
    shell("systemctl start rabbitmq-server; rabbitmqctl -q add_user nemo secret")
    listen_in()
    peer = distribution.Peer(f"rabbit@{socket.gethostname()}", COOKIE)
    record: dict[str, object] = {
        "recorded": datetime.now(timezone.utc).date().isoformat(),
        "node": peer.name,
        "cookie": COOKIE,
    }
    record["debian"] = shell(". /etc/os-release; echo $VERSION_CODENAME").strip()
    record["conversations"] = talk(peer)
    answers = {}
    for fault, commands in FAULTS.items():
        for command in commands:
            shell(command)
        with closing(distribution.Connection.open(peer, timeout=30)) as connection:
            recorder = Recorder(connection)
            status = node.ask(recorder, peer.name)
            if fault == "healthy":
                record.update(rabbitmq=status.version, erlang=status.erlang)
                account = "rabbit_auth_backend_internal"
                recorder.call(account, "list_users")
                recorder.call(account, "list_user_permissions", b"guest")
                recorder.call("rabbit_access_control", "check_user_pass_login", b"guest", b"guest")
                recorder.call("rabbit_access_control", "check_user_pass_login", b"guest", b"wrong")
                recorder.call("rabbit", "status")
            answers[fault] = recorder.answers
        if fault in ("healthy", "memory alarm", "disk alarm"):
            record[f"rabbitmqctl status, {fault}"] = shell("rabbitmqctl -q status --formatter json")
    record["answers"] = answers
    record["systemctl show"] = shell(f"systemctl show -p {unit._PROPERTIES} rabbitmq-server")
    shell("rabbitmqctl -q start_app; rabbitmqctl -q delete_vhost orders; rabbitmqctl -q delete_user nemo")
    time.sleep(1)
    json.dump(record, sys.stdout, indent=1)


main()
