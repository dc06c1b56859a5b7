"""Notices of the command line: connections, subscriptions, losses and statistics."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING, Callable

import pytest

from tests.helpers.commands import printed_address, running_sub, start, subscriber_to
from tests.helpers.stamps import stamping_publisher
from tests.helpers.terminal import CTRL_D, in_terminal, with_libedit
from tests.helpers.timeouts import TIMEOUT
from zmqchat_rs import Publisher, Subscriber
from zmqchat_rs.probe import probe

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.commands import Running
    from tests.helpers.terminal import Terminal

    FreePort = Callable[[], int]


# ---- sub


def test_sub_reports_a_refused_connection_then_each_connect_and_disconnect(
    free_port: FreePort,
) -> None:
    address = f"127.0.0.1:{free_port()}"
    with start("sub", address, "--timestamps", "none") as sub:
        notice = sub.notice()
        assert notice.startswith(f"cannot connect to {address}: refused. ")
        assert "zmqchat pub" in notice
        for text in ("Hello", "again"):
            with Publisher(address) as publisher:
                assert sub.notice() == f"connected to {address}"
                publisher.wait_for_subscribers(timeout=TIMEOUT)
                publisher.send(text)
                assert sub.line() == text
            assert sub.notice().startswith(f"lost the connection to {address}")
        sub.process.send_signal(signal.SIGINT)
        # The log does not repeat the notices.
        assert sub.finish() == (130, "", "")


@pytest.mark.usefixtures("short_silence")
def test_sub_with_a_connected_publisher_prints_no_notice(publisher: Publisher) -> None:
    with running_sub(publisher, "-W", "1.2") as sub:
        assert sub.finish() == (0, "", "")


def test_a_verbose_sub_reports_the_first_connection(
    publisher: Publisher,
) -> None:
    with running_sub(publisher, "-v") as sub:
        assert sub.notice() == f"connected to {publisher.addresses[0]}"


def test_a_bound_sub_names_a_publisher_without_its_port() -> None:
    with start("sub", "--bind", "127.0.0.1:0", "-v") as sub:
        with Publisher(connect=printed_address(sub)) as publisher:
            publisher.wait_for_subscribers(timeout=TIMEOUT)
            assert sub.notice() == "connected to 127.0.0.1"
        assert sub.notice().startswith("lost the connection to 127.0.0.1; ")


def test_sub_reports_lost_messages_with_the_sender_escaped() -> None:
    with stamping_publisher() as alice, start("sub", alice.address) as sub:
        alice.wait()
        alice.send(1, 5, **{"from": "eve\n\x1b[2J"})
        assert sub.notice().startswith(r"lost 3 messages from eve\n\x1b[2J: ")


@pytest.mark.parametrize("words", [(), ("--json",), ("--raw",)])
def test_sub_prints_statistics_at_its_end_if_asked(
    publisher: Publisher, words: tuple[str, ...]
) -> None:
    expected = "received 1, bytes 5, lost 0, duplicates 0, undecodable 0, backlog 0"
    with running_sub(publisher, "-c", "1", "--stats", *words) as sub:
        publisher.send("Hello")
        code, out, errors = sub.finish()
    assert (code, errors) == (0, f"{expected}\n")
    assert "Hello" in out


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_sub_prints_statistics_when_a_signal_ends_it(
    publisher: Publisher, number: int, code: int
) -> None:
    with running_sub(publisher, "--stats", "--timestamps", "none") as sub:
        publisher.send("Hello")
        assert sub.line() == "Hello"
        sub.process.send_signal(number)
        ended, _, errors = sub.finish()
    assert (ended, errors.count("\n"), errors.startswith("received 1, ")) == (code, 1, True)


def test_statistics_are_on_a_separate_line_after_ctrl_c(publisher: Publisher) -> None:
    with in_terminal("sub", publisher.addresses[0], "--stats", NO_COLOR="1") as sub:
        sub.expect(r"Ctrl\+C ends\.")
        assert sub.interrupt() == 130
    assert sub.text.splitlines()[-1].startswith("received 0, bytes 0")


@pytest.mark.usefixtures("short_silence")
def test_notices_are_dim_if_output_is_coloured() -> None:
    with start("sub", "127.0.0.1:1", "--color", "always") as sub:
        notice = sub.notice()
        assert re.fullmatch(
            r"\x1b\[2mcannot connect to 127\.0\.0\.1:1: refused\. .*\x1b\[0m", notice
        )
        sub.process.send_signal(signal.SIGINT)
        assert sub.finish() == (130, "", "")


# ---- pub


def test_pub_on_a_terminal_reports_subscriptions_and_their_end() -> None:
    with in_terminal("pub", "--bind", "127.0.0.1:0", NO_COLOR="1") as pub:
        address = prompted(pub)
        with Subscriber(address, topics=["room1"]) as subscriber:
            pub.expect(r"127\.0\.0\.1 joined room1\r\n")
            subscriber.subscribe(prefix="sens")
            pub.expect(r"127\.0\.0\.1 joined prefix 'sens'\r\n")
            subscriber.unsubscribe("room1")
            pub.expect(r"127\.0\.0\.1 left room1\r\n")
        pub.expect(r"127\.0\.0\.1 left prefix 'sens'\r\n")
        with Subscriber(address):
            pub.expect(r"127\.0\.0\.1 joined all topics\r\n")
        pub.expect(r"127\.0\.0\.1 left all topics\r\n")


def test_a_notice_keeps_the_line_being_typed() -> None:
    with in_terminal("pub", "--bind", "127.0.0.1:0", NO_COLOR="1") as pub:
        address = prompted(pub)
        pub.type("room1:Hello ev")
        pub.expect("Hello ev")
        with Subscriber(address, topics=["room1"]) as subscriber:
            # The notice replaces the line; the prompt and the typed text are printed below it.
            pub.expect(r"\r\x1b\[K127\.0\.0\.1 joined room1\r\nMessage> room1:Hello ev")
            pub.type("eryone!\r")
            assert subscriber.recv(timeout=TIMEOUT).text == "Hello everyone!"
        pub.expect(r"127\.0\.0\.1 left room1\r\nMessage> ")
        pub.type(CTRL_D)
        assert pub.wait() == 0
    assert "Traceback" not in pub.text


@pytest.mark.parametrize("library", [False, True])
def test_with_libedit_a_notice_does_not_wait_for_enter(tmp_path: Path, library: bool) -> None:  # noqa: FBT001
    libedit = with_libedit(tmp_path, library=library)
    with in_terminal("pub", "--bind", "127.0.0.1:0", NO_COLOR="1", **libedit) as pub:
        address = prompted(pub)
        pub.type("room1:Hello ev")
        pub.expect("Hello ev")
        with Subscriber(address, topics=["room1"]) as subscriber:
            # The notice is on a separate line; the terminal keeps the typed text.
            pub.expect(r"\r\n127\.0\.0\.1 joined room1\r\n")
            pub.type("eryone!\r")
            assert subscriber.recv(timeout=TIMEOUT).text == "Hello everyone!"
        pub.expect(r"127\.0\.0\.1 left room1\r\n")
        pub.type(CTRL_D)
        assert pub.wait() == 0


def test_with_libedit_a_closed_window_ends_the_prompt(tmp_path: Path) -> None:
    libedit = with_libedit(tmp_path, library=True)
    with in_terminal("pub", "--bind", "127.0.0.1:0", **libedit) as pub:
        prompted(pub)
        assert pub.hang_up() == 129


def test_a_notice_before_the_prompt_is_a_single_line() -> None:
    words = ("pub", "--bind", "127.0.0.1:0", "--wait", "2")
    with in_terminal(*words, NO_COLOR="1") as pub:
        address = pub.expect(r"zmqchat sub ([^\s\x1b]+)").group(1)
        pub.expect("Waiting for 2 subscribers")
        with Subscriber(address, topics=["room1"]):
            pub.expect(r"127\.0\.0\.1 joined room1\r\n")
            with Subscriber(address, topics=["room2"]):
                pub.expect(r"127\.0\.0\.1 joined room2\r\n")
                pub.expect(r"Message> ")


def test_pub_in_a_pipe_reports_subscriptions_only_if_verbose() -> None:
    words = ("pub", "--bind", "127.0.0.1:0", "--wait", "1")
    with start(*words) as pub, subscriber_to(pub, topics=["room1"]) as subscriber:
        assert delivers(pub, subscriber)
        assert pub.finish() == (0, "", "")
    with start(*words, "-v") as pub:
        with subscriber_to(pub, topics=["room1"]) as subscriber:
            assert pub.notice() == "127.0.0.1 joined room1"
            assert delivers(pub, subscriber)
        assert pub.notice() == "127.0.0.1 left room1"


def delivers(pub: Running, subscriber: Subscriber) -> bool:
    pub.type(b"room1:Hello\n")
    return subscriber.recv(timeout=TIMEOUT).text == "Hello"


def test_a_probe_is_not_reported_as_a_subscriber() -> None:
    with start("pub", "--bind", "127.0.0.1:0", "--wait", "9", "-v") as pub:
        address = printed_address(pub)
        found = probe(address, timeout=TIMEOUT)
        assert (found.ok, found.subscribed) == (True, True)
        with Subscriber(address, topics=["room1"]):
            assert pub.notice() == "127.0.0.1 joined room1"


def test_only_the_first_of_thousands_of_subscriptions_are_reported() -> None:
    with start("pub", "--bind", "127.0.0.1:0", "--wait", "9", "-v") as pub:
        with subscriber_to(pub, topics=[f"room{number}" for number in range(2000)]):
            joined = [pub.notice() for _ in range(11)]
        assert joined[-1] == "127.0.0.1 joined more topics"
        assert len(set(joined)) == 11
        assert pub.notice().count(",") == 10


def test_control_characters_of_a_subscription_are_escaped() -> None:
    with start("pub", "--bind", "127.0.0.1:0", "--wait", "9", "-v") as pub:
        with subscriber_to(pub, prefixes=[b"\x1b[2J\n\xff" + b"x" * 5000]):
            notice = pub.notice()
        assert notice.startswith(r"127.0.0.1 joined prefix '\x1b[2J\n\xffxxx")
        assert len(notice) < 120


@pytest.mark.usefixtures("short_silence")
def test_a_connecting_pub_reports_its_connection(free_port: FreePort) -> None:
    address = f"127.0.0.1:{free_port()}"
    with start("pub", "--connect", address, "--wait", "9", "-v") as pub:
        assert pub.notice().startswith(f"cannot connect to {address}: refused. ")
        with Subscriber(bind=address, topics=["room1"]):
            assert pub.notice() == f"connected to {address}"
            assert pub.notice() == f"{address} joined room1"
        assert pub.notice().startswith(f"lost the connection to {address}; ")


@pytest.mark.usefixtures("short_silence")
def test_the_prompt_of_pub_shows_why_it_is_not_connected(free_port: FreePort) -> None:
    address = f"127.0.0.1:{free_port()}"
    with in_terminal("pub", "--connect", address, NO_COLOR="1") as pub:
        pub.expect(r"Message> ")
        pub.expect(rf"cannot connect to {address}: refused\.")


def prompted(pub: Terminal) -> str:
    """Wait for the prompt and return the printed address."""
    address = pub.expect(r"zmqchat sub ([^\s\x1b]+)").group(1)
    pub.expect(r"Message> ")
    return address
