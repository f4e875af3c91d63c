"""Clients that others wrote against a throwaway broker, with nothing but its address."""

from __future__ import annotations

import asyncio
import shutil
import subprocess

import pytest


def test_pika(rmq_connection):
    channel = rmq_connection.channel()
    channel.queue_declare("q", durable=True, arguments={"x-queue-type": "quorum"})
    channel.confirm_delivery()
    channel.basic_publish("", "q", b"hello")
    assert channel.basic_get("q", auto_ack=True)[2] == b"hello"


def test_aio_pika(rmq_url):
    aio_pika = pytest.importorskip("aio_pika")

    async def there_and_back() -> bytes:
        async with await aio_pika.connect(rmq_url) as connection:
            channel = await connection.channel()
            queue = await channel.declare_queue("q")
            await channel.default_exchange.publish(aio_pika.Message(b"hello"), "q")
            message = await queue.get()
            await message.ack()
            return message.body

    assert asyncio.run(there_and_back()) == b"hello"


def test_kombu(rmq_url):
    kombu = pytest.importorskip("kombu")
    with kombu.Connection(rmq_url) as connection, connection.SimpleQueue("q") as queue:
        queue.put({"hello": 1})
        message = queue.get(timeout=10)
        message.ack()
        assert message.payload == {"hello": 1}


def test_celery(rmq_url):
    celery = pytest.importorskip("celery")
    app = celery.Celery(broker=rmq_url)
    app.send_task("nobody.does.it", args=(1,), queue="work")
    with app.connection() as connection, connection.SimpleQueue("work") as queue:
        assert queue.get(timeout=10).headers["task"] == "nobody.does.it"


def test_amqp_tools(rmq_url):
    if not shutil.which("amqp-publish"):
        pytest.skip("there are no amqp-tools")

    def tool(name: str, *words: str) -> str:
        return subprocess.check_output((name, f"--url={rmq_url}", *words), text=True)

    tool("amqp-declare-queue", "-q", "q")
    tool("amqp-publish", "-r", "q", "-b", "hello")
    assert tool("amqp-get", "-q", "q") == "hello"
