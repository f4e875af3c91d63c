"""What a node's last words mean: lines as nodes wrote them when the fault was made on a machine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmqsetup.host import Command, Result
from rmqsetup.probes.causes import remedy

SS = 'LISTEN 0 128 [::]:5672 [::]:* users:(("python3",pid=4711,fd=3))\n'


class Host:
    """A machine on which `ss` knows who listens."""

    def __init__(self, told: str = SS) -> None:
        self.told = told
        self.asked: list[tuple[str, ...]] = []

    def run(self, command: Command, _listener=None) -> Result:
        self.asked.append(command.argv)
        return Result(command, 0, self.told)


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
    host = Host()
    told = remedy(host, (line,))
    assert f"port {port} is taken by python3 (process 4711)" in told
    assert host.asked == [("ss", "-Hltnp", f"sport = :{port}")]
    assert "by another process" in remedy(Host(""), (line,))


@given(st.lists(st.text()))
def test_arbitrary_words_have_no_remedy_or_one(words):
    assert isinstance(remedy(Host(), tuple(words)), str)
