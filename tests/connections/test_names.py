"""Several names of one address, names that move, and names within the program."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Callable

import pytest

from tests.helpers.timeouts import TIMEOUT, Background, wait_until
from zmqchat_rs import Event, Publisher, Subscriber, ZmqChatError

if TYPE_CHECKING:
    from tests.helpers.scripts import RunPython


def states(each: Publisher | Subscriber) -> list[str]:
    return [peer.state for peer in each.peers]


def names(port: str) -> tuple[str, str]:
    """Two names of one address, the one that must be looked up first."""
    return f"localhost:{port}", f"127.0.0.1:{port}"


def port_of(each: Publisher | Subscriber) -> str:
    return str(each.endpoint).rpartition(":")[2]


# ---- several names of one address


@pytest.mark.parametrize("order", [1, -1])
def test_a_publisher_that_connects_by_two_names_sends_once(order: int) -> None:
    subscriber = Subscriber(bind="127.0.0.1:0")
    with subscriber, Publisher(connect=names(port_of(subscriber))[::order]) as publisher:
        wait_until(lambda: states(publisher) == ["connected", "connected"])
        publisher.wait_for_subscribers(timeout=TIMEOUT)
        publisher.send("once")
        publisher.send("end")
        heard = [subscriber.recv_text(timeout=TIMEOUT) for _ in range(2)]
        assert heard == ["once", "end"]
        assert publisher.subscriber_count == 1
        assert len(subscriber.peers) == 1


@pytest.mark.parametrize("order", [1, -1])
def test_two_names_of_a_publisher_stand_and_fall_together(order: int) -> None:
    publisher = Publisher("127.0.0.1:0")
    address = publisher.addresses[0]
    with Subscriber(names(port_of(publisher))[::order]) as subscriber:
        wait_until(lambda: states(subscriber) == ["connected", "connected"])
        assert subscriber.wait_connected(timeout=0) == 1
        publisher.close()
        wait_until(lambda: states(subscriber) == ["reconnecting", "reconnecting"])
        with Publisher(address) as publisher:
            wait_until(lambda: states(subscriber) == ["connected", "connected"])
            assert publisher.wait_for_subscribers(timeout=TIMEOUT) == 1


@pytest.mark.parametrize("order", [1, -1])
def test_a_connection_ends_with_the_last_of_its_names(publisher: Publisher, order: int) -> None:
    first, second = names(port_of(publisher))[::order]
    with Subscriber([first, second]) as subscriber:
        wait_until(lambda: states(subscriber) == ["connected", "connected"])
        publisher.wait_for_subscribers(timeout=TIMEOUT)
        subscriber.disconnect(first)
        assert [peer.address for peer in subscriber.peers] == [second]
        publisher.send("still here")
        assert subscriber.recv_text(timeout=TIMEOUT) == "still here"
        subscriber.disconnect(second)
        assert subscriber.peers == []
        wait_until(lambda: publisher.subscriber_count == 0)
        subscriber.connect(first)
        publisher.wait_for_subscribers(timeout=TIMEOUT)
        publisher.send("back")
        assert subscriber.recv_text(timeout=TIMEOUT) == "back"


def test_each_name_of_a_connection_has_its_events(publisher: Publisher) -> None:
    one, two = names(port_of(publisher))
    seen: list[tuple[str, str | None]] = []

    def note(event: Event) -> None:
        seen.append((event.kind, event.address))

    with Subscriber([one, two], on_event=note) as subscriber:
        wait_until(lambda: {("connected", one), ("connected", two)} <= set(seen))
        publisher.close()
        wait_until(lambda: {("disconnected", one), ("disconnected", two)} <= set(seen))
        assert len(seen) == 4
        subscriber.close()


# ---- names that are looked up


@pytest.mark.skipif(sys.platform != "linux", reason="the threads are counted in /proc")
def test_names_that_are_taken_back_leave_no_threads() -> None:
    def threads() -> int:
        tasks = [str(task) for task in Path(f"/proc/{os.getpid()}/task").iterdir()]
        # One that ends meanwhile has no status any more.
        status = subprocess.run(
            ["cat", *(f"{task}/comm" for task in tasks)], capture_output=True, check=False
        )
        return status.stdout.count(b"zmqchat-resolve")

    with Subscriber() as subscriber:
        for _ in range(10):
            subscriber.connect("nobody.invalid")
            subscriber.disconnect("nobody.invalid")
        subscriber.connect("nobody.invalid")
        wait_until(lambda: threads() == 1)
        assert states(subscriber) == ["resolving"]
    wait_until(lambda: threads() == 0)


#: The first lines of a script that runs in a network of its own, with its own names.
ALONE = """
import os, pathlib, subprocess, sys

if "ALONE" not in os.environ:
    os.environ["ALONE"] = "1"
    alone = ["unshare", "--map-root-user", "--mount", "--net"]
    os.execvp(alone[0], [*alone, sys.executable, *sys.argv])

from tests.helpers.timeouts import TIMEOUT, interrupt_when_blocked, wait_until
from zmqchat_rs import Publisher, Subscriber

def put(name, text):
    file = pathlib.Path(sys.argv[1], name)
    file.write_text(text)
    subprocess.run(["mount", "--bind", str(file), "/etc/" + name], check=True)
    return file

subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
put("nsswitch.conf", "hosts: files dns\\n")
"""


def can_be_alone() -> bool:
    alone = ["unshare", "--map-root-user", "--mount", "--net", "ip", "link"]
    return (
        sys.platform == "linux"
        and all(map(shutil.which, ("unshare", "ip", "mount")))
        and all(map(os.path.exists, ("/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf")))
        and subprocess.run(alone, capture_output=True, check=False).returncode == 0
    )


alone = pytest.mark.skipif(not can_be_alone(), reason="this user may make no network of its own")


@alone
def test_a_name_that_has_moved_is_found_again(run_python: RunPython, tmp_path: Path) -> None:
    script = """
hosts = put("hosts", "127.0.0.2 lab-pc\\n127.0.0.9 late-pc\\n")

moving, late = Subscriber("lab-pc:6000"), Subscriber("late-pc:6000")
sending = Publisher(connect="lab-pc:6001")
with Publisher("127.0.0.2:6000") as pub, Subscriber(bind="127.0.0.2:6001") as sub:
    pub.wait_for_subscribers(timeout=TIMEOUT)
    sending.wait_for_subscribers(timeout=TIMEOUT)
    wait_until(lambda: late.peers[0].state == "connecting")
hosts.write_text("127.0.0.3 lab-pc late-pc\\n")
with Publisher("127.0.0.3:6000") as pub, Subscriber(bind="127.0.0.3:6001") as sub:
    pub.wait_for_subscribers(2, timeout=TIMEOUT)
    pub.send("Hello")
    print(moving.recv_text(timeout=TIMEOUT), late.recv_text(timeout=TIMEOUT))
    sending.wait_for_subscribers(timeout=TIMEOUT)
    sending.send("Hello")
    print(sub.recv_text(timeout=TIMEOUT))
    for each in moving, late, sending:
        print(*((peer.address, peer.state) for peer in each.peers))
"""
    finished = run_python(ALONE + script, str(tmp_path), deadline=2 * TIMEOUT)
    assert finished.code == 0, finished.stderr
    assert finished.stdout.splitlines() == [
        "Hello Hello",
        "Hello",
        "('lab-pc:6000', 'connected')",
        "('late-pc:6000', 'connected')",
        "('lab-pc:6001', 'connected')",
    ]


@alone
def test_each_address_of_a_name_is_tried_until_one_works(
    run_python: RunPython, tmp_path: Path
) -> None:
    script = """
# Of the first nothing comes back, the second refuses.
for command in (
    "link add here type veth peer name there",
    "address add 10.9.0.1/24 dev here",
    "link set here up",
    "link set there up",
    "neighbour add 10.9.0.7 lladdr 02:00:00:00:00:07 dev here",
):
    subprocess.run(["ip", *command.split()], check=True)
names = "10.9.0.7 lab-pc\\n127.0.0.2 lab-pc\\n127.0.0.3 lab-pc\\n::1 lab-pc\\n"
put("hosts", names + "127.0.0.2 two-pc\\n127.0.0.3 two-pc\\n")

def meet(address, name):
    with Publisher(address + ":6000") as pub, Subscriber(bind=address + ":6001") as sub:
        pub.wait_for_subscribers(len(hearing), timeout=TIMEOUT)
        sending.wait_for_subscribers(timeout=TIMEOUT)
        pub.send("Hello " + name)
        print(*(each.recv_text(timeout=TIMEOUT) for each in hearing))
        # Nothing is connected twice.
        assert pub.subscriber_count == len(hearing), pub.peers
        sending.send("Hi " + name)
        print(sub.recv_text(timeout=TIMEOUT))
        assert sub.stats().duplicates == 0
        wait_until(lambda: len(sub.peers) == 1)
    wait_until(lambda: all(each.peers[0].state == "reconnecting" for each in [*hearing, sending]))

hearing = [Subscriber("two-pc:6000"), Subscriber("lab-pc:6000", topics=[], prefixes=[b""])]
sending = Publisher(connect="two-pc:6001")
meet("127.0.0.3", "three")
# The address that worked dies, and the other one lives.
meet("127.0.0.2", "two")
hearing.pop(0).close()
sending.close()
sending = Publisher(connect="lab-pc:6001")
meet("[::1]", "six")
"""
    finished = run_python(ALONE + script, str(tmp_path), deadline=3 * TIMEOUT)
    assert finished.code == 0, finished.stderr
    assert finished.stdout.splitlines() == [
        "Hello three Hello three",
        "Hi three",
        "Hello two Hello two",
        "Hi two",
        "Hello six",
        "Hi six",
    ]


@alone
def test_messages_of_a_lost_connection_are_kept_when_the_next_address_is_tried(
    run_python: RunPython, tmp_path: Path
) -> None:
    script = """
put("hosts", "127.0.0.2 lab-pc\\n127.0.0.3 lab-pc\\n")
sub = Subscriber("lab-pc:6000")
with Publisher("127.0.0.2:6000", on_full="block") as pub:
    pub.wait_for_subscribers(timeout=TIMEOUT)
    pub.send_many([str(number) for number in range(5000)])
    pub.close(linger=TIMEOUT)
with Publisher("127.0.0.3:6000") as pub:
    pub.wait_for_subscribers(timeout=TIMEOUT)
    pub.send("last")
    received = [sub.recv_text(timeout=TIMEOUT) for _ in range(5001)]
    print(received == [*map(str, range(5000)), "last"])
"""
    finished = run_python(ALONE + script, str(tmp_path), deadline=2 * TIMEOUT)
    assert finished.code == 0, finished.stderr
    assert finished.stdout == "True\n"


@alone
@pytest.mark.parametrize("what", ["Publisher('slow-pc:0')", "Subscriber(bind='slow-pc:0')"])
def test_ctrl_c_ends_the_search_for_a_name_to_bind(
    run_python: RunPython, tmp_path: Path, what: str
) -> None:
    script = f"""
import socket

# A name server that never answers.
put("resolv.conf", "nameserver 127.0.0.1\\noptions timeout:30\\n")
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))

def wait_here():
    {what}

interrupt_when_blocked(progress=server.getsockname)
try:
    wait_here()
except KeyboardInterrupt:
    # The query that was sent is there to be read.
    print("interrupted", len(server.recv(512)) > 0)
    # The resolver's own thread would go on.
    os._exit(0)
"""
    finished = run_python(ALONE + script, str(tmp_path))
    assert (finished.code, finished.stdout, finished.stderr) == (0, "interrupted True\n", "")


# ---- names within the program


def test_an_inproc_name_without_an_owner_is_connecting() -> None:
    with Subscriber("inproc://nobody") as subscriber:
        assert [(peer.state, peer.attempts) for peer in subscriber.peers] == [("connecting", 0)]
        with pytest.raises(TimeoutError):
            subscriber.wait_connected(timeout=0)
        waiting = Background(subscriber.wait_connected, timeout=TIMEOUT)
        waiting.wait_until_blocked()
        with Publisher("inproc://nobody"):
            assert waiting.result() == 1
            assert subscriber.wait_connected(timeout=0) == 1
            assert states(subscriber) == ["connected"]


def test_an_inproc_name_with_a_new_owner_is_followed() -> None:
    seen: list[tuple[str, str | None]] = []

    def note(event: Event) -> None:
        seen.append((event.kind, event.address))

    with Subscriber("inproc://again", on_event=note) as subscriber:
        for number in range(3):
            publisher = Publisher("inproc://again")
            assert subscriber.wait_connected(timeout=0) == 1
            # Subscribers of one program that wait already lose nothing, not even the first.
            publisher.send(str(number))
            assert subscriber.recv_text(timeout=TIMEOUT) == str(number)
            publisher.close()
            assert states(subscriber) == ["reconnecting"]
            with pytest.raises(TimeoutError):
                subscriber.wait_connected(timeout=0)
        wait_until(lambda: len(seen) == 6)
    assert seen == 3 * [("connected", "inproc://again"), ("disconnected", "inproc://again")]


def test_an_inproc_name_is_followed_while_somebody_waits_for_messages() -> None:
    with Subscriber("inproc://waiting") as subscriber:
        for text in ("one", "two"):
            waiting = Background(subscriber.recv_text, timeout=TIMEOUT)
            waiting.wait_until_blocked()
            with Publisher("inproc://waiting") as publisher:
                publisher.wait_for_subscribers(timeout=TIMEOUT)
                publisher.send(text)
                assert waiting.result() == text


def test_a_publisher_follows_an_inproc_name_too() -> None:
    with Publisher(connect="inproc://listener") as publisher:
        for text in ("one", "two"):
            with Subscriber(bind="inproc://listener") as subscriber:
                publisher.wait_for_subscribers(timeout=TIMEOUT)
                publisher.send(text)
                assert subscriber.recv_text(timeout=TIMEOUT) == text
            wait_until(lambda: publisher.subscriber_count == 0)
            assert states(publisher) == ["reconnecting"]


def test_an_inproc_name_is_taken_back_with_or_without_an_owner() -> None:
    with Subscriber("inproc://back") as subscriber:
        subscriber.disconnect("inproc://back")
        assert subscriber.peers == []
        with Publisher("inproc://back") as publisher:
            subscriber.connect("inproc://back")
            publisher.wait_for_subscribers(timeout=TIMEOUT)
            subscriber.disconnect("inproc://back")
            wait_until(lambda: publisher.subscriber_count == 0)
        assert subscriber.peers == []


def test_a_name_that_changes_hands_under_load_is_never_lost() -> None:
    with Subscriber("inproc://busy") as subscriber:
        reader = Background(lambda: [message.text for message in subscriber])
        for number in range(200):
            with Publisher("inproc://busy") as publisher:
                publisher.wait_for_subscribers(timeout=TIMEOUT)
                publisher.send(str(number))
                wait_until(lambda: subscriber.stats().received == number + 1)  # noqa: B023
        subscriber.close()
        assert reader.result() == [str(number) for number in range(200)]


# ---- names that are taken


@pytest.mark.parametrize("second", ["127.0.0.1", "*", "localhost"])
def test_binding_one_port_twice_is_refused_by_its_own_name(
    free_port: Callable[[], int], second: str
) -> None:
    port = free_port()
    addresses = [f"127.0.0.1:{port}", f"{second}:{port}"]
    with pytest.raises(ZmqChatError, match=rf"this Publisher is bound to .*127\.0\.0\.1:{port}"):
        Publisher(addresses)
    with pytest.raises(ZmqChatError, match=rf"this Subscriber is bound to .*127\.0\.0\.1:{port}"):
        Subscriber(bind=addresses)


@pytest.mark.skipif(sys.platform == "win32", reason="no ipc on Windows")
def test_binding_one_file_twice_is_refused(tmp_path: Path) -> None:
    address = f"ipc://{os.path.relpath(tmp_path / 's')}"
    if len(address) > 100:
        pytest.skip("the folder for temporary files has too long a name for a socket")
    with pytest.raises(ZmqChatError, match="this Publisher is bound to"):
        Publisher([address, address])


def test_the_object_that_holds_a_port_is_named_even_when_it_is_busy(publisher: Publisher) -> None:
    stop: list[bool] = []

    def send_on() -> None:
        while not stop:
            publisher.send("busy")
            _ = publisher.stats()

    sending = [Background(send_on) for _ in range(3)]
    for _ in range(100):
        with pytest.raises(ZmqChatError, match="another Publisher of this program"):
            Subscriber(bind=str(publisher.endpoint))
    stop.append(True)
    for each in sending:
        each.result()
