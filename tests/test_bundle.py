"""No planted secret is left in any of the forms in which RabbitMQ, its logs and shells write them."""

from __future__ import annotations

import io
import tarfile

import pytest
from scenes import Plain, scene

from rmqsetup.bundle import write
from rmqsetup.doctor import Examination
from rmqsetup.errors import UsageError
from rmqsetup.redaction import redacted

SECRET = "s3cr3t-Pa55"

PLANTED = (
    f"default_pass = {SECRET}",
    f"  ssl_options.password = '{SECRET}'  # of the key",
    f"auth_ldap.dn_lookup_bind.password = encrypted:{SECRET}",
    f"auth_oauth2.oauth_providers.x.client_secret={SECRET}",
    f"export RABBITMQ_DEFAULT_PASS={SECRET}",
    f'RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-setcookie {SECRET}"',
    f'[{{rabbit, [{{default_pass, <<"{SECRET}">>}}, {{heartbeat, 30}}]}}].',
    f'{{ssl_options, [{{keyfile, "/k.pem"}}, {{password, "{SECRET}"}}]}}',
    f'{{"users": [{{"name": "a", "password_hash": "{SECRET}", "tags": ""}}]}}',
    f'{{"password" : "with \\" quote {SECRET}"}}',
    f'[{{shovel, [{{uri, "amqp://app:{SECRET}@other:5672/%2f"}}]}}]',
    f"src-uri = amqps://{SECRET}@host/vhost",
    f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}\n-----END RSA PRIVATE KEY-----",
    f"Authorization: Basic {SECRET}{SECRET}",
    f"[error] login failed, password={SECRET}, user=app",
    f"Erlang cookie: {SECRET}",
    f'[{{rabbitmq_auth_backend_ldap, [{{dn_lookup_bind, {{"CN=app,DC=x", "{SECRET}"}}}}, {{other_bind, as_user}}]}}].',
    f'{{other_bind, {{<<"CN=app">>, <<"{SECRET}">>}}}}',
    f"amqp://app:p@rt-{SECRET}@other/",
    f'{{password, {{plaintext, <<"{SECRET}">>}}}}',
    f'{{default_pass, <<"{SECRET}',
    f'#{{user => <<"app">>, password => <<"{SECRET}">>}}',
    f"Environment=RABBITMQ_DEFAULT_PASS=a,b;c){SECRET} X=1",
    f'Environment="RABBITMQ_DEFAULT_PASS=two words {SECRET}"',
    f"/etc/rabbitmq/rabbitmq-env.conf: line 1: `RABBITMQ_DEFAULT_PASS={SECRET})'",
    f"rejected: default_pass = {SECRET}",
)


@pytest.mark.parametrize("text", PLANTED)
def test_no_secret_is_left(text):
    assert SECRET not in redacted(text)


def test_what_is_no_secret_stays():
    text = "heartbeat = 30\nlisteners.tcp.default = 5672\n[info] Server startup complete; 3 plugins started.\n"
    assert redacted(text) == text
    assert "{heartbeat, 30}" in redacted(PLANTED[6])
    assert '"name": "a"' in redacted(PLANTED[8])
    assert "{other_bind, as_user}" in redacted(PLANTED[16])
    assert 'user => <<"app">>' in redacted(PLANTED[21])
    assert redacted(PLANTED[22]).endswith(" X=1")


def test_an_archive_for_its_owner_alone_without_secrets(tmp_path):
    machine = Plain()
    machine.put("/etc/rabbitmq/rabbitmq.conf", f"heartbeat = 30\ndefault_pass = {SECRET}\n")
    machine.put("/etc/rabbitmq/advanced.config", PLANTED[6])
    machine.answers[("tail", "-n", "400", "/var/log/rabbitmq/rabbit@broker.log")] = (0, PLANTED[14])
    target = tmp_path / "bundle.tar.gz"
    write(str(target), scene(machine), Examination((), ()))
    assert target.stat().st_mode & 0o777 == 0o600
    with tarfile.open(fileobj=io.BytesIO(target.read_bytes())) as archive:
        texts = {member.name: archive.extractfile(member).read().decode() for member in archive.getmembers()}
    assert "heartbeat = 30" in texts["rmqsetup-doctor/etc/etc/rabbitmq/rabbitmq.conf"]
    assert "login failed" in texts["rmqsetup-doctor/logs/rabbit@broker.log"]
    assert not any(SECRET in text for text in texts.values())
    assert not any("cookie" in name for name in texts)
    with pytest.raises(UsageError, match="there already"):
        write(str(target), scene(machine), Examination((), ()))
