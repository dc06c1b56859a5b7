"""`zmqchat pub` sends lines of a prompt, lines of a pipe and messages given as options."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.helpers.commands import printed_address, start, subscriber_to, zmqchat
from tests.helpers.terminal import CTRL_D, CTRL_Z, in_shell, in_terminal
from tests.helpers.timeouts import TIMEOUT, wait_until
from zmqchat_rs import Subscriber

if TYPE_CHECKING:
    from typing import Callable


def test_pub_sends_each_line_of_a_pipe() -> None:
    with start("pub", "--bind", "127.0.0.1:0", "--wait", "1") as pub, subscriber_to(
        pub
    ) as subscriber:
        pub.type(b"room1:Hello\n\n  spaces stay  \n\xff\x00 bytes too\nno newline at the end")
        assert pub.finish() == (0, "", "")
        received = [subscriber.recv_bytes(timeout=TIMEOUT) for _ in range(5)]
    assert received == [
        b"room1:Hello",
        b"",
        b"  spaces stay  ",
        b"\xff\x00 bytes too",
        b"no newline at the end",
    ]


def test_pub_sends_a_line_as_soon_as_it_is_read() -> None:
    with start("pub", "--bind", "127.0.0.1:0", "--wait", "1") as pub, subscriber_to(
        pub
    ) as subscriber:
        for line in (b"first", b"second"):
            pub.type(line + b"\n")
            assert subscriber.recv_bytes(timeout=TIMEOUT) == line


def test_pub_with_a_topic_sends_every_line_to_it() -> None:
    words = ("--bind", "127.0.0.1:0", "--wait", "1", "-t", "room1")
    with start("pub", *words) as pub, subscriber_to(pub, topics=["room1"]) as subscriber:
        pub.type(b"Hello\nroom2:is text\n")
        pub.stdin.close()
        assert subscriber.recv_bytes(timeout=TIMEOUT) == b"room1:Hello"
        assert subscriber.recv_bytes(timeout=TIMEOUT) == b"room1:room2:is text"


def test_pub_sends_the_messages_given_and_ends() -> None:
    words = ("--bind", "127.0.0.1:0", "--wait", "1", "-m", "one", "-m", "zwei ü")
    with start("pub", *words) as pub, subscriber_to(pub) as subscriber:
        assert [subscriber.recv_text(timeout=TIMEOUT) for _ in range(2)] == ["one", "zwei ü"]
        assert pub.wait() == 0


def test_pub_waits_for_the_given_number_of_subscribers_of_its_topic() -> None:
    words = ("--bind", "127.0.0.1:0", "--wait", "2", "-t", "room1", "-m", "Hello")
    with start("pub", *words) as pub:
        address = printed_address(pub)
        subscribers = [Subscriber(address, topics=[topic]) for topic in ("room1", "other", "room1")]
        for subscriber in subscribers:
            if "room1" in subscriber.subscriptions:
                assert subscriber.recv(timeout=TIMEOUT).text == "Hello"
            subscriber.close()


def test_pub_exits_with_3_if_no_subscriber_connects_in_time() -> None:
    finished = zmqchat("pub", "--bind", "127.0.0.1:0", "--wait", "1", "-W", "0.1", "-m", "x")
    assert finished.returncode == 3
    error = finished.stderr.decode().splitlines()[-1]
    assert error.startswith(
        "zmqchat: 0 of 1 subscriber connected within 0.1 s; check that subscribers connect "
    )


def test_subscribers_that_started_earlier_receive_the_first_line_of_a_pipe(
    free_port: Callable[[], int],
) -> None:
    address = f"127.0.0.1:{free_port()}"
    with Subscriber(address) as one, Subscriber(address) as two:
        finished = zmqchat("pub", "--bind", address, stdin=b"first\nsecond\n")
        assert (finished.returncode, finished.stderr) == (0, b"")
        for subscriber in (one, two):
            assert [subscriber.recv_text(timeout=TIMEOUT) for _ in range(2)] == ["first", "second"]


NO_SUBSCRIBER = "(no subscriber: messages are lost until one connects"


def test_pub_in_a_pipe_reports_a_missing_subscriber_once_per_topic() -> None:
    finished = zmqchat("pub", "--bind", "127.0.0.1:0", stdin=b"Hello\nagain\nroom1:Hello\n")
    assert finished.returncode == 0
    notices = finished.stderr.decode().splitlines()[1:]
    # Once for messages without topic, once for room1.
    assert notices == [f"{NO_SUBSCRIBER}; --wait 1 would wait for one)"] * 2
    silent = zmqchat("pub", "--bind", "127.0.0.1:0", "--wait", "0", "-m", "Hello")
    assert "no subscriber" not in silent.stderr.decode()


def test_pub_reports_an_unsubscribed_topic_once_per_change() -> None:
    words = ("--bind", "127.0.0.1:0", "--wait", "1", "-v")
    with start("pub", *words) as pub, subscriber_to(pub, topics=["room1"]) as subscriber:
        assert pub.notice() == "127.0.0.1 joined room1"
        for line in (b"room2:lost", b"room2:lost too", b"room1:Hello", b"no topic", b"room2:lost"):
            pub.type(line + b"\n")
        assert subscriber.recv(timeout=TIMEOUT).text == "Hello"
        assert pub.notice() == "(no subscriber for room2; subscribed: room1)"
        assert pub.notice() == "(no subscriber for messages without topic; subscribed: room1)"
        subscriber.subscribe("room2")
        assert pub.notice() == "127.0.0.1 joined room2"
        pub.type(b"room2:Hello\n")
        assert subscriber.recv(timeout=TIMEOUT).topic == "room2"
        subscriber.unsubscribe("room2")
        assert pub.notice() == "127.0.0.1 left room2"
        pub.type(b"room2:lost again\nroom2:and again\n")
        assert pub.notice() == "(no subscriber for room2; subscribed: room1)"
        assert pub.finish() == (0, "", "")


def test_pub_with_an_unsubscribed_topic_names_the_subscriptions() -> None:
    with start("pub", "--bind", "127.0.0.1:0", "-t", "room2") as pub, subscriber_to(
        pub, topics=["room1"], prefixes=["log"]
    ):
        pub.type(b"Hello\n")
        assert pub.notice() == "(no subscriber for room2; subscribed: room1, prefix 'log')"
        assert pub.finish() == (0, "", "")


def test_control_characters_of_listed_subscriptions_are_escaped() -> None:
    with start("pub", "--bind", "127.0.0.1:0", "--wait", "1", "-v") as pub, subscriber_to(
        pub, prefixes=[b"\x1b[2J\n" + b"x" * 500, *(f"{number:03}" for number in range(10))]
    ):
        while pub.notice() != "127.0.0.1 joined more topics":
            pass  # until the eleventh subscription is reported
        pub.type(b"room2:Hello\n")
        listed = ", ".join(f"prefix '{number:03}'" for number in range(4))
        assert pub.notice() == (
            rf"(no subscriber for room2; subscribed: prefix '\x1b[2J\n{'x' * 35}…', {listed} and 6 "
            "more)"
        )


def test_pub_loses_nothing_for_a_subscriber_that_reads_slowly() -> None:
    count = 50_000
    words = ("pub", "--bind", "127.0.0.1:0", "--wait", "1")
    with start(*words) as pub, subscriber_to(pub, high_water_mark=10) as subscriber:
        lines = b"".join(b"%d\n" % number for number in range(count))
        feeder = threading.Thread(target=pub.type, args=(lines,))
        feeder.start()
        for number in range(count):
            assert subscriber.recv_bytes(timeout=TIMEOUT) == b"%d" % number
        feeder.join()


def test_pub_delivers_its_queue_after_the_end_of_input() -> None:
    count, filler = 5_000, b"." * 10_000  # far more than the system's buffers hold
    with start("pub", "--bind", "127.0.0.1:0", "--wait", "1") as pub:
        host, _, port = printed_address(pub).partition(":")
        with Subscriber(f"{host}:{port}", high_water_mark=10) as subscriber:
            pub.type(b"".join(b"%d%s\n" % (number, filler) for number in range(count)))
            pub.stdin.close()
            wait_until(lambda: not is_open(host, int(port)), "the port to be closed")
            for number in range(count):
                assert subscriber.recv_bytes(timeout=TIMEOUT) == b"%d%s" % (number, filler)
            assert pub.wait() == 0


def is_open(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=TIMEOUT).close()
    except ConnectionRefusedError:
        return False
    except ConnectionResetError:
        pass  # queued when the listener was closed: the next attempt is refused
    return True


@pytest.mark.parametrize(
    ("topics", "topic", "text"), [(None, None, "room1:Hello"), (["room1"], "room1", "Hello")]
)
def test_pub_with_a_name_does_not_split_a_line(
    topics: list[str] | None, topic: str | None, text: str
) -> None:
    words = ("--bind", "127.0.0.1:0", "--wait", "1", "--name", "alice")
    running = start("pub", *words, "-m", "room1:Hello")
    with running as pub, subscriber_to(pub, topics=topics) as subscriber:
        message = subscriber.recv(timeout=TIMEOUT)
    assert (message.sender, message.topic, message.text) == ("alice", topic, text)
    assert message.raw == b"room1:Hello"


@pytest.mark.parametrize("line", ["12:30 lunch", "Note: buy", "2026-01-31T12:30:05,21.5"])
@pytest.mark.parametrize(
    ("words", "frame"),
    [
        ((), "{}"),
        (("--name", "alice"), "{}"),
        (("--name", "alice", "-t", "room1"), "room1:{}"),
        (("-t", "room1"), "room1:{}"),
    ],
)
def test_pub_never_splits_a_line(line: str, words: tuple[str, ...], frame: str) -> None:
    words = ("--bind", "127.0.0.1:0", "--wait", "1", *words)
    with start("pub", *words, "-m", line) as pub, subscriber_to(pub) as subscriber:
        message = subscriber.recv(timeout=TIMEOUT)
    assert str(message) == frame.format(line)
    assert message.text == (line if "--name" in words else frame.format(line))


def test_pub_with_envelope_framing_does_not_split_a_line() -> None:
    words = ("--bind", "127.0.0.1:0", "--wait", "1", "--framing", "envelope")
    with start("pub", *words, "-m", "room1:Hello") as pub, subscriber_to(pub) as subscriber:
        assert subscriber.recv(timeout=TIMEOUT).frames == (b"", b"room1:Hello")


def test_pub_with_envelope_framing_sends_topic_and_text_as_frames() -> None:
    words = ("--bind", "127.0.0.1:0", "--wait", "1", "--framing", "envelope", "-t", "room1")
    with start("pub", *words, "-m", "Hello") as pub, subscriber_to(
        pub, prefixes="room1"
    ) as subscriber:
        assert subscriber.recv(timeout=TIMEOUT).frames == (b"room1", b"Hello")


def test_pub_connects_to_a_bound_subscriber() -> None:
    with Subscriber(bind="127.0.0.1:0") as subscriber:
        finished = zmqchat("pub", "--connect", subscriber.addresses[0], stdin=b"Hello\n")
        assert finished.returncode == 0
        assert subscriber.recv_text(timeout=TIMEOUT) == "Hello"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("words", [("pub", "--bind"), ("sub", "--bind"), ("relay", "--backend")])
def test_the_error_of_a_port_in_use_names_the_program_that_uses_it(words: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        address = f"127.0.0.1:{holder.getsockname()[1]}"
        finished = zmqchat(*words, address)
    assert finished.returncode == 1
    name = Path("/proc/self/comm").read_text().strip()
    assert f"in use by {name} (pid {os.getpid()}); close that" in finished.stderr.decode()


def test_ctrl_c_ends_pub_in_a_pipe_with_130() -> None:
    with start("pub", "--bind", "127.0.0.1:0", "--wait", "1") as pub, subscriber_to(
        pub
    ) as subscriber:
        pub.type(b"Hello\n")
        assert subscriber.recv_text(timeout=TIMEOUT) == "Hello"
        pub.process.send_signal(signal.SIGINT)
        assert pub.wait() == 130
        assert pub.finish() == (130, "", "")


# ---- at a prompt


def test_lines_typed_at_the_prompt_are_received_by_sub() -> None:
    with in_terminal("pub", "--bind", "127.0.0.1:0", "--wait", "1") as pub:
        address = pub.expect(r"zmqchat sub ([^\s\x1b]+)").group(1)
        words = ("-t", "room1", "-c", "2", "--timestamps", "none")
        with start("sub", address, *words) as sub:
            for text in ("room1:Hello everyone!", "", "room10:others", "room1:Grüße 👋"):
                pub.expect("Message> ")
                pub.type(f"{text}\r")
            assert sub.finish() == (0, "room1: Hello everyone!\nroom1: Grüße 👋\n", "")
        pub.expect("Message> ")
        pub.type(CTRL_D)
        assert pub.wait() == 0
    assert "Traceback" not in pub.text


def test_an_empty_line_at_the_prompt_sends_nothing() -> None:
    with in_terminal("pub", "--bind", "127.0.0.1:0", "--wait", "1", "-t", "room1") as pub:
        address = pub.expect(r"zmqchat sub ([^\s\x1b]+) -t room1").group(1)
        with Subscriber(address, topics=["room1"]) as subscriber:
            for text in ("", "Hello"):
                pub.expect("Message> ")
                pub.type(f"{text}\r")
            assert subscriber.recv_text(timeout=TIMEOUT) == "room1:Hello"


def test_the_prompt_reports_a_missing_subscriber_once() -> None:
    with in_terminal("pub", "--bind", "127.0.0.1:0") as pub:
        for text in ("first", "second"):
            pub.expect("Message> ")
            pub.type(f"{text}\r")
        pub.expect("Message> ")
    assert pub.text.count(f"{NO_SUBSCRIBER})") == 1


def test_the_prompt_names_the_subscriptions_for_an_unsubscribed_topic() -> None:
    with in_terminal("pub", "--bind", "127.0.0.1:0", "--wait", "1") as pub:
        address = pub.expect(r"zmqchat sub ([^\s\x1b]+)").group(1)
        with Subscriber(address, topics=["room1"]) as subscriber:
            pub.expect("Message> ")
            pub.type("room2:Hello\r")
            pub.expect(r"\(no subscriber for room2; subscribed: room1\)")
            pub.expect("Message> ")
            pub.type("Hello\r")
            pub.expect(r"without topic; subscribed: room1; type room1:Hello\)")
            pub.expect("Message> ")
            pub.type("room1:Hello\r")
            assert subscriber.recv(timeout=TIMEOUT).text == "Hello"


def test_ctrl_c_at_the_prompt_ends_pub_with_130() -> None:
    with in_terminal("pub", "--bind", "127.0.0.1:0") as pub:
        pub.expect("Message> ")
        assert pub.interrupt() == 130
    assert "Traceback" not in pub.text


def test_the_prompt_is_drawn_again_after_ctrl_z_and_fg() -> None:
    with in_shell("pub", "--bind", "127.0.0.1:0", NO_COLOR="1") as shell:
        address = shell.expect(r"Subscribe with:  zmqchat sub (\S+)").group(1)
        shell.expect("Message> ")
        with Subscriber(address, topics=["room1"]) as subscriber:
            shell.expect("joined room1\r\nMessage> ")
            shell.type("room1:Hel")
            shell.expect("Hel")
            shell.type(CTRL_Z)
            shell.expect("Stopped")
            shell.expect(r"\$ ")
            shell.type("fg\r")
            shell.expect("Message> room1:Hel")
            shell.type("lo\r")
            assert subscriber.recv_text(timeout=TIMEOUT) == "room1:Hello"
            shell.expect("Message> ")
            shell.type("room1:on")
            shell.expect("on")
            shell.type(CTRL_Z)
            shell.expect("Stopped")
            shell.expect(r"\$ ")
            # In the background, `pub` does not write to the terminal.
            shell.type("bg; echo between\r")
            shell.expect(r"\nbetween\r\n")
            shell.type("fg\r")
            shell.expect("Message> room1:on")
            shell.type("ce\r")
            assert subscriber.recv_text(timeout=TIMEOUT) == "room1:once"
        shell.expect("left room1\r\nMessage> ")
        shell.type(CTRL_D)
        shell.expect(r"\$ ")
        shell.type("echo code $?; exit\r")
        shell.expect(r"\ncode 0\r\n")
        shell.wait()
    assert "Traceback" not in shell.text


def test_ctrl_z_without_a_shell_leaves_the_prompt_usable() -> None:
    with in_terminal("pub", "--bind", "127.0.0.1:0", "--wait", "1", NO_COLOR="1") as pub:
        address = pub.expect(r"zmqchat sub (\S+)").group(1)
        with Subscriber(address) as subscriber:
            pub.expect("Message> ")
            pub.type("Hel")
            pub.expect("Hel")
            pub.type(CTRL_Z)
            pub.expect("Message> Hel")
            pub.type("lo\r")
            assert subscriber.recv_text(timeout=TIMEOUT) == "Hello"


def test_pasted_lines_are_sent_as_separate_messages() -> None:
    with in_terminal("pub", "--bind", "127.0.0.1:0", "--wait", "1") as pub:
        address = pub.expect(r"zmqchat sub ([^\s\x1b]+)").group(1)
        with Subscriber(address) as subscriber:
            pub.expect("Message> ")
            pub.type("\x1b[200~one\ntwo\nthree\x1b[201~\r")
            received = [subscriber.recv_text(timeout=TIMEOUT) for _ in range(3)]
    assert received == ["one", "two", "three"]


@pytest.mark.parametrize("options", [(), ("--raw",)], ids=["text", "raw"])
def test_pub_removes_cr_and_byte_order_mark_unless_raw(options: tuple[str, ...]) -> None:
    """A CR inside a line or before the end of input is text; so is a later byte order mark."""
    sent = [b"\xef\xbb\xbf21.5\r", b"a\rb", b"\xef\xbb\xbfc\r", b"end\r"]
    words = ("--bind", "127.0.0.1:0", "--wait", "1", *options)
    with start("pub", *words) as pub, subscriber_to(pub) as subscriber:
        pub.type(b"\n".join(sent))
        assert pub.finish() == (0, "", "")
        received = [subscriber.recv_bytes(timeout=TIMEOUT) for _ in sent]
    text = [b"21.5", b"a\rb", b"\xef\xbb\xbfc", b"end\r"]
    assert received == (sent if options else text)
