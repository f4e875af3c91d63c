"""What the doctor asks over sockets: epmd, the node, a server's certificate, whether a port opens. Read-only.

What is remembered of the answers is in `scene`.
"""

from __future__ import annotations

import socket
from contextlib import closing
from dataclasses import dataclass

from rmqsetup.host import Host
from rmqsetup.probes import epmd
from rmqsetup.probes.address import NodeAddress, peer
from rmqsetup.probes.distribution import Connection
from rmqsetup.probes.node import NodeStatus, ask
from rmqsetup.probes.terms import Term
from rmqsetup.probes.wire import Deadline, ProbeError, Wire


@dataclass(frozen=True, slots=True)
class Question:
    """A function of the node, with its arguments."""

    module: str
    function: str
    arguments: tuple[Term, ...] = ()


class Sockets:
    """What is asked over sockets. Tests put recorded answers in its place."""

    def names(self, port: int) -> tuple[epmd.Registered, ...]:
        """Return the nodes that epmd knows. Raises `ProbeError`."""
        return epmd.names(port=port, timeout=2.0)

    def opens(self, host: str, port: int) -> str:
        """Return why no connection to a port can be made; empty where one can."""
        try:
            Wire.connect(host, port, Deadline.after(1.5)).close()
        except ProbeError as error:
            return error.cause or error.message
        return ""

    def certificate(self, host: str, port: int) -> tuple[str, bytes]:
        """Return why the certificate of a server is not to be trusted, and that certificate (DER).

        Nothing where it is to be trusted, or where no server answers.
        """
        import ssl

        known = ssl.create_default_context()
        try:
            with socket.create_connection((host, port), 2.0) as wire, known.wrap_socket(wire, server_hostname=host):
                return "", b""
        except ssl.SSLCertVerificationError as error:
            why = error.verify_message
        except (OSError, UnicodeError):
            return "", b""
        return why, ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((host, port), timeout=2.0))

    def handshake(self, host: str, port: int) -> str:
        """Return why a server breaks the handshake of TLS off, whoever it is; empty where it does not."""
        import ssl

        anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
        try:
            with socket.create_connection((host, port), 2.0) as wire, anybody.wrap_socket(wire):
                return ""
        except ssl.SSLError as error:
            return (error.reason or str(error)).replace("_", " ").lower()
        except ConnectionError as error:
            return str(error.strerror or error).lower()
        except OSError:
            return ""

    def status(self, host: Host, address: NodeAddress) -> NodeStatus:
        """Ask the node how it is, and nobody in its place. Raises `ProbeError`."""
        with closing(Connection.open(peer(host, address), timeout=3.0)) as node:
            return ask(node, address.name)

    def call(self, host: Host, address: NodeAddress, question: Question) -> Term:
        """Call a function on the node. Raises `ProbeError`."""
        with closing(Connection.open(peer(host, address), timeout=3.0)) as node:
            return node.call(question.module, question.function, *question.arguments)
