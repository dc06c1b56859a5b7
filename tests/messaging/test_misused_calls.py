"""Calls that are nearly right raise an error that names the correct call."""

from __future__ import annotations

import asyncio
import inspect
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Callable

import pytest

from zmqchat_rs import Chat, Publisher, Relay, Subscriber

if TYPE_CHECKING:
    from tests.conftest import Pair

_WITH_PUBLISHER: list[tuple[Callable[[Any], object], str]] = [
    (lambda pub: pub.send("x", "room1"), "send(payload, topic='room1')"),
    (lambda pub: pub.send("x", 5), "send(payload, timeout=5)"),
    (lambda pub: pub.send_json({}, "room1"), "send_json(obj, topic='room1')"),
    (lambda pub: pub.send_many(["x"], "room1"), "send_many(payloads, topic='room1')"),
    (lambda pub: pub.send_many(5), "payloads is a list of payloads, not int"),
    (lambda pub: pub.wait_for_subscribers(1, "room1"), "(count, topic='room1')"),
    (lambda pub: pub.wait_for_subscribers("room1"), 'topic="room1"'),
    (lambda pub: pub.wait_for_subscribers("2"), "a whole number, such as 1, not str"),
    (lambda pub: pub.wait_for_subscribers(1.5), "a whole number, such as 1, not float"),
    (lambda pub: pub.send("x", topic=b"room1"), 'without the b, as in "room1"'),
    (lambda pub: pub.send("x", topic=5), 'pass text, as in "room1"'),
    (lambda pub: pub.send_many(["x"], topic=b"room1"), "without the b"),
    (lambda pub: pub.send_many(["x"], topics=[b"room1"]), "without the b"),
    (lambda pub: pub.send("x", timeout="5"), "without quotes, as in timeout=5"),
    (lambda pub: pub.send("x", timeout=timedelta(seconds=5)), "delta.total_seconds()"),
    (lambda pub: pub.close("5"), "a number of seconds, not str"),
]
_WITH_SUBSCRIBER: list[tuple[Callable[[Any], object], str]] = [
    (lambda sub: sub.recv("5"), "without quotes, as in timeout=5"),
    (lambda sub: sub.recv(timeout=timedelta(seconds=5)), "delta.total_seconds()"),
    (lambda sub: sub.recv_text("5"), "without quotes"),
    (lambda sub: sub.recv_many("5"), "a whole number, such as 1, not str"),
    (lambda sub: sub.subscribe(b"room1"), 'without the b, as in "room1"'),
    (lambda sub: sub.subscribe(["room1"]), "one topic per call"),
    (lambda sub: sub.unsubscribe(b"room1"), "without the b"),
    (lambda sub: sub.connect(5555), '"192.168.1.12:5555"'),
    (lambda sub: sub.disconnect(("127.0.0.1", 5555)), '"192.168.1.12:5555"'),
]
_ANY: Any = {"Publisher": Publisher, "Subscriber": Subscriber, "Relay": Relay, "Chat": Chat}
_CONSTRUCTORS: list[tuple[Callable[[Any], object], str]] = [
    (lambda of: of["Publisher"](5556), 'not int: pass an address, as in "*:5556"'),
    (lambda of: of["Publisher"](port=5555), 'Publisher("*:5555")'),
    (lambda of: of["Publisher"]("127.0.0.1", 5555), "with its port"),
    (lambda of: of["Publisher"](("127.0.0.1", 5555)), 'as in "*:5555"'),
    (lambda of: of["Publisher"](connect=5555), 'as in "192.168.1.12:5555"'),
    (lambda of: of["Publisher"](topic="room1"), 'pub.send("Hello", topic="room1")'),
    (lambda of: of["Publisher"](hwm=10), "high_water_mark=10000"),
    (lambda of: of["Publisher"](on_ful="drop"), "did you mean on_full=?"),
    (lambda of: of["Publisher"](zzz=1), "it takes bind, connect, name"),
    (lambda of: of["Publisher"](b"127.0.0.1:0"), "not bytes: pass an address"),
    (lambda of: of["Subscriber"](5555), 'as in "192.168.1.12:5555"'),
    (lambda of: of["Subscriber"](topic="room1"), 'topics=["room1"]'),
    (lambda of: of["Subscriber"]("127.0.0.1", "room1"), 'topics=["room1"]'),
    (lambda of: of["Subscriber"](port=5555), 'Subscriber("192.168.1.12:5555")'),
    (lambda of: of["Subscriber"](timeout=5), "sub.recv(timeout=5)"),
    (lambda of: of["Subscriber"]("127.0.0.1:1", topics=[b"room1"]), 'topics=["room1"]'),
    (lambda of: of["Relay"](5556), 'as in "192.168.1.12:5556"'),
    (lambda of: of["Relay"](port=5556), 'frontend="*:5556"'),
    (lambda of: of["Chat"]("alice", "192.168.1.12"), "Chat('alice', peers='192.168.1.12')"),
    (lambda of: of["Chat"]("alice", ["192.168.1.12"]), "Chat('alice', peers=['192.168.1.12'])"),
    (lambda of: of["Chat"]("alice", "192.168.1.12", 5555), "only the name is positional"),
    (lambda of: of["Chat"](), 'pass a name, as in Chat("alice")'),
    (lambda of: of["Chat"]("alice", port=5556), 'bind="*:5556"'),
    (lambda of: of["Chat"]("alice", connect="192.168.1.12"), 'peers="192.168.1.12"'),
    (lambda of: of["Chat"]("alice", topics=["room1"]), 'room="room1"'),
    (lambda of: of["Chat"]("alice", relay="192.168.1.10"), 'via="192.168.1.10"'),
    (lambda of: of["Chat"]("alice", timeout=5), "chat.recv(timeout=5)"),
    (lambda of: of["Chat"]("alice", on_mesage=print), "did you mean on_message=?"),
    (lambda of: of["Chat"]("alice", zzz=1), "it takes name, room, bind, peers"),
]


@pytest.mark.parametrize(("call", "advice"), _WITH_PUBLISHER)
def test_the_error_of_a_misused_publisher_names_the_correct_call(
    pair: Pair, call: Callable[[Any], object], advice: str
) -> None:
    with pytest.raises(TypeError, match=re.escape(advice)):
        call(pair.publisher)


@pytest.mark.parametrize(("call", "advice"), _WITH_SUBSCRIBER)
def test_the_error_of_a_misused_subscriber_names_the_correct_call(
    pair: Pair, call: Callable[[Any], object], advice: str
) -> None:
    with pytest.raises(TypeError, match=re.escape(advice)):
        call(pair.subscriber)


@pytest.mark.parametrize(("call", "advice"), _CONSTRUCTORS)
def test_the_error_of_a_misused_constructor_names_the_correct_call(
    call: Callable[[Any], object], advice: str
) -> None:
    with pytest.raises(TypeError, match=re.escape(advice)):
        call(_ANY)


def test_the_signature_of_a_chat_names_its_arguments() -> None:
    parameters = list(inspect.signature(Chat).parameters)
    assert parameters[:4] == ["name", "room", "bind", "peers"]
    assert "args" not in parameters


def test_the_calls_for_asyncio_raise_the_same_errors(pair: Pair) -> None:
    async def use() -> None:
        publisher: Any = pair.publisher
        subscriber: Any = pair.subscriber
        with pytest.raises(TypeError, match=r"asend\(payload, topic='room1'\)"):
            await publisher.asend("x", "room1")
        with pytest.raises(TypeError, match=r"asend_many\(payloads, topic='room1'\)"):
            await publisher.asend_many(["x"], "room1")
        with pytest.raises(TypeError, match="without the b"):
            await publisher.asend("x", topic=b"room1")
        with pytest.raises(TypeError, match="without quotes"):
            await subscriber.arecv("5")

    asyncio.run(use())


def test_the_timeout_of_a_subscriber_without_subscriptions_names_the_remedy(pair: Pair) -> None:
    with Subscriber(pair.publisher.addresses, topics=[]) as subscriber, pytest.raises(
        TimeoutError, match=r'has no subscriptions.*subscribe\("room1"\)'
    ):
        subscriber.recv(timeout=0.05)
