"""What a node's last words mean: lines as nodes wrote them when the fault was made on a machine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmqsetup.host import Command, FileState, Result
from rmqsetup.probes.causes import remedy


class Host:
    """A machine on which somebody listens on some ports."""

    def __init__(self, *taken: int) -> None:
        rows = [f"   0: 00000000:{port:04X} 00000000:0000 0A 00000000:00000000 00:0 0 0 0 {port} 1" for port in taken]
        self.files = {"/proc/net/tcp": "\n".join(rows), "/proc/4711/comm": "python3\n"}

    def run(self, command: Command, _listener=None) -> Result:
        return Result(command, 0, "/proc/4711/fd/3\n")

    def read(self, path: str) -> FileState | None:
        text = self.files.get(path)
        return None if text is None else FileState(text.encode(), 0o444, "root", "root")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "rabbit@broker.log: [error] <0.153.0> ERROR: epmd error for host broker: address (cannot connect)",
            "name broker",
        ),
        (
            "rabbitmq-server.log: Cookie file /var/lib/rabbitmq/.erlang.cookie must be accessible by owner only",
            "chmod 400",
        ),
        ("Error when reading /var/lib/rabbitmq/.erlang.cookie: eacces", "chown rabbitmq:"),
        ("[error] <0.9.0> Conf file attempted to set unknown variable: heartbaet", "take heartbaet out"),
        ("[error] <0.9.0>   - Error transforming datatype for: listeners.tcp.default", "give listeners.tcp.default"),
    ],
)
def test_a_cause_that_the_log_names_has_its_remedy(line, words):
    assert words in remedy(Host(), ("something else", line))


@pytest.mark.parametrize(
    ("line", "port"),
    [
        (
            "cannot start {acceptor,{0,0,0,0,0,0,0,0},5672} in listen([{backlog,128}]) for reason eaddrinuse",
            5672,
        ),
        ('{could_not_start_listener,"::",15672,eaddrinuse} {port,15672}', 15672),
        ("ERROR: distribution port 25672 in use by another node: address already in use", 25672),
    ],
)
def test_who_holds_a_port_is_named(line, port):
    assert f"port {port} is taken by python3 (process 4711)" in remedy(Host(port), (line,))
    assert f"port {port} is taken by another process" in remedy(Host(), (line,))


def test_a_line_that_is_cut_off_before_its_reason_counts_where_the_port_is_taken():
    line = 'Starting broker...{exit,{4675,{error,{could_not_start_listener,"::",5672,{{shutdown,{failed_to_start_child'
    assert "port 5672 is taken by python3 (process 4711)" in remedy(Host(5672), (line,))
    assert remedy(Host(), (line,)) == ""


@given(st.lists(st.text()))
def test_arbitrary_words_have_no_remedy_or_one(words):
    assert isinstance(remedy(Host(), tuple(words)), str)
