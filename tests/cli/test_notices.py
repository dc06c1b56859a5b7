"""What the command line says of connections: nobody there, joined, left, lost, back again."""

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


def test_sub_says_why_nobody_is_there_and_then_who_came_went_and_came_back(
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
        # Each thing once: nothing came by way of the log, too.
        assert sub.finish() == (130, "", "")


@pytest.mark.usefixtures("short_silence")
def test_sub_with_somebody_there_says_nothing(publisher: Publisher) -> None:
    with running_sub(publisher, "-W", "1.2") as sub:
        assert sub.finish() == (0, "", "")


def test_sub_tells_of_a_connection_that_comes_at_once_when_told_to_be_verbose(
    publisher: Publisher,
) -> None:
    with running_sub(publisher, "-v") as sub:
        assert sub.notice() == f"connected to {publisher.addresses[0]}"


def test_sub_names_a_publisher_that_comes_without_its_port() -> None:
    with start("sub", "--bind", "127.0.0.1:0", "-v") as sub:
        with Publisher(connect=printed_address(sub)) as publisher:
            publisher.wait_for_subscribers(timeout=TIMEOUT)
            assert sub.notice() == "connected to 127.0.0.1"
        assert sub.notice().startswith("lost the connection to 127.0.0.1; ")


def test_sub_says_what_was_lost_and_nobody_forges_a_line() -> None:
    with stamping_publisher() as alice, start("sub", alice.address) as sub:
        alice.wait()
        alice.send(1, 5, **{"from": "eve\n\x1b[2J"})
        assert sub.notice().startswith(r"lost 3 messages from eve\n\x1b[2J: ")


@pytest.mark.parametrize("words", [(), ("--json",), ("--raw",)])
def test_sub_ends_with_statistics_when_told_to(
    publisher: Publisher, words: tuple[str, ...]
) -> None:
    expected = "received 1, bytes 5, lost 0, duplicates 0, undecodable 0, backlog 0"
    with running_sub(publisher, "-c", "1", "--stats", *words) as sub:
        publisher.send("Hello")
        code, out, errors = sub.finish()
    assert (code, errors) == (0, f"{expected}\n")
    assert "Hello" in out


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_statistics_come_however_it_ends(publisher: Publisher, number: int, code: int) -> None:
    with running_sub(publisher, "--stats", "--timestamps", "none") as sub:
        publisher.send("Hello")
        assert sub.line() == "Hello"
        sub.process.send_signal(number)
        ended, _, errors = sub.finish()
    assert (ended, errors.count("\n"), errors.startswith("received 1, ")) == (code, 1, True)


def test_statistics_stand_on_a_line_of_their_own_after_ctrl_c(publisher: Publisher) -> None:
    with in_terminal("sub", publisher.addresses[0], "--stats", NO_COLOR="1") as sub:
        sub.expect(r"Ctrl\+C ends\.")
        assert sub.interrupt() == 130
    assert sub.text.splitlines()[-1].startswith("received 0, bytes 0")


@pytest.mark.usefixtures("short_silence")
def test_notices_are_dim_where_there_is_colour() -> None:
    with start("sub", "127.0.0.1:1", "--color", "always") as sub:
        notice = sub.notice()
        assert re.fullmatch(
            r"\x1b\[2mcannot connect to 127\.0\.0\.1:1: refused\. .*\x1b\[0m", notice
        )
        sub.process.send_signal(signal.SIGINT)
        assert sub.finish() == (130, "", "")


# ---- pub


def test_pub_announces_who_joined_and_left_on_a_terminal() -> None:
    with in_terminal("pub", "--bind", "127.0.0.1:0", NO_COLOR="1") as pub:
        address = prompted(pub)
        with Subscriber(address, topics=["room1"]) as hearer:
            pub.expect(r"127\.0\.0\.1 joined room1\r\n")
            hearer.subscribe(prefix="sens")
            pub.expect(r"127\.0\.0\.1 joined prefix 'sens'\r\n")
            hearer.unsubscribe("room1")
            pub.expect(r"127\.0\.0\.1 left room1\r\n")
        pub.expect(r"127\.0\.0\.1 left prefix 'sens'\r\n")
        with Subscriber(address):
            pub.expect(r"127\.0\.0\.1 joined all topics\r\n")
        pub.expect(r"127\.0\.0\.1 left all topics\r\n")


def test_a_notice_leaves_the_line_being_typed_as_it_was() -> None:
    with in_terminal("pub", "--bind", "127.0.0.1:0", NO_COLOR="1") as pub:
        address = prompted(pub)
        pub.type("room1:Hello ev")
        pub.expect("Hello ev")
        with Subscriber(address, topics=["room1"]) as hearer:
            # The notice takes the line, and the prompt with what was typed comes back below.
            pub.expect(r"\r\x1b\[K127\.0\.0\.1 joined room1\r\nMessage> room1:Hello ev")
            pub.type("eryone!\r")
            assert hearer.recv(timeout=TIMEOUT).text == "Hello everyone!"
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
            # The notice is a line of its own; the terminal keeps what was typed.
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


def test_a_notice_before_the_prompt_is_a_line_and_nothing_else() -> None:
    words = ("pub", "--bind", "127.0.0.1:0", "--wait", "2")
    with in_terminal(*words, NO_COLOR="1") as pub:
        address = pub.expect(r"zmqchat sub ([^\s\x1b]+)").group(1)
        pub.expect("Waiting for 2 subscribers")
        with Subscriber(address, topics=["room1"]):
            pub.expect(r"127\.0\.0\.1 joined room1\r\n")
            with Subscriber(address, topics=["room2"]):
                pub.expect(r"127\.0\.0\.1 joined room2\r\n")
                pub.expect(r"Message> ")


def test_pub_in_a_pipe_announces_nobody_unless_told_to_be_verbose() -> None:
    words = ("pub", "--bind", "127.0.0.1:0", "--wait", "1")
    with start(*words) as pub, subscriber_to(pub, topics=["room1"]) as hearer:
        assert is_heard(pub, hearer)
        assert pub.finish() == (0, "", "")
    with start(*words, "-v") as pub:
        with subscriber_to(pub, topics=["room1"]) as hearer:
            assert pub.notice() == "127.0.0.1 joined room1"
            assert is_heard(pub, hearer)
        assert pub.notice() == "127.0.0.1 left room1"


def is_heard(pub: Running, hearer: Subscriber) -> bool:
    pub.type(b"room1:Hello\n")
    return hearer.recv(timeout=TIMEOUT).text == "Hello"


def test_a_doctor_s_look_is_not_announced_as_a_subscriber() -> None:
    with start("pub", "--bind", "127.0.0.1:0", "--wait", "9", "-v") as pub:
        address = printed_address(pub)
        found = probe(address, timeout=TIMEOUT)
        assert (found.ok, found.subscribed) == (True, True)
        with Subscriber(address, topics=["room1"]):
            assert pub.notice() == "127.0.0.1 joined room1"


def test_of_thousands_of_subscriptions_the_first_are_announced() -> None:
    with start("pub", "--bind", "127.0.0.1:0", "--wait", "9", "-v") as pub:
        with subscriber_to(pub, topics=[f"room{number}" for number in range(2000)]):
            joined = [pub.notice() for _ in range(11)]
        assert joined[-1] == "127.0.0.1 joined more topics"
        assert len(set(joined)) == 11
        assert pub.notice().count(",") == 10


def test_no_subscription_can_drive_the_terminal() -> None:
    with start("pub", "--bind", "127.0.0.1:0", "--wait", "9", "-v") as pub:
        with subscriber_to(pub, prefixes=[b"\x1b[2J\n\xff" + b"x" * 5000]):
            notice = pub.notice()
        assert notice.startswith(r"127.0.0.1 joined prefix '\x1b[2J\n\xffxxx")
        assert len(notice) < 120


@pytest.mark.usefixtures("short_silence")
def test_pub_that_connects_says_whether_it_is(free_port: FreePort) -> None:
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
    """Give the address that others type, once the prompt stands there."""
    address = pub.expect(r"zmqchat sub ([^\s\x1b]+)").group(1)
    pub.expect(r"Message> ")
    return address
