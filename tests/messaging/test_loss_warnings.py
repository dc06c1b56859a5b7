"""Lost messages are logged, at a limited rate."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.helpers.stamps import deliver, stamping_publisher
from tests.helpers.timeouts import TIMEOUT, Background, wait_until
from zmqchat_rs import ClosedError, Subscriber

if TYPE_CHECKING:
    import logging

    from tests.helpers.scripts import RunPython


def test_loss_is_logged_at_a_limited_rate(caplog: pytest.LogCaptureFixture) -> None:
    def warnings() -> list[logging.LogRecord]:
        # The losses of an earlier test may still be logged during this one.
        return [record for record in caplog.records if " from bert: " in record.getMessage()]

    bert = {"from": "bert"}
    with stamping_publisher() as alice, Subscriber(alice.address) as subscriber:
        alice.wait()
        deliver(alice, subscriber, 0, 10, **bert)
        wait_until(warnings)
        began = time.monotonic()
        alice.send(*range(20, 2000, 10), **bert)
        for _ in range(20, 2000, 10):
            subscriber.recv(timeout=TIMEOUT)
        waiting = Background(subscriber.recv)
        wait_until(lambda: len(warnings()) == 2)
        subscriber.close()
        with pytest.raises(ClosedError):
            waiting.result()
        assert time.monotonic() - began > 3
    assert [record.levelname for record in warnings()] == ["WARNING"] * 2
    first, second = (record.getMessage() for record in warnings())
    assert first.startswith("lost 9 messages from bert: ")
    assert second.startswith(f"lost {9 * len(range(20, 2000, 10))} messages from bert: ")


def test_a_script_without_logging_configuration_prints_its_losses(run_python: RunPython) -> None:
    script = """
import sys
from zmqchat_rs import Subscriber

seen = []
with Subscriber(sys.argv[1], on_event=seen.append) as sub:
    sub.recv(timeout=30), sub.recv(timeout=30)
    while not [event for event in seen if event.kind == "lost"]:
        pass
    print(*[(event.address, event.count) for event in seen if event.kind == "lost"])
"""
    with stamping_publisher() as alice:

        def send() -> None:
            alice.wait()
            alice.send(1, 3)

        thread = threading.Thread(target=send)
        thread.start()
        finished = run_python(script, alice.address)
        thread.join()
    assert finished.stdout.splitlines() == ["('alice', 1)"]
    assert finished.stderr.startswith("lost 1 message from alice: ")
    assert finished.code == 0


def test_the_losses_of_several_publishers_are_logged_for_each(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with stamping_publisher() as relay, Subscriber(relay.address) as subscriber:
        relay.wait()
        # The first loss is logged immediately, and later losses when the subscriber closes.
        for name, *seqs in (("anna", 0, 2), ("anna", 4), ("berta", 0, 3), ("anna", 7)):
            deliver(relay, subscriber, *seqs, id=name, **{"from": name})
    text = ": this subscriber reads too slowly, or a connection between publisher and relay"
    for loss in ("1 message from anna", "3 messages from anna", "2 messages from berta"):
        wait_until(lambda: f"{loss}{text}" in caplog.text, loss)  # noqa: B023
