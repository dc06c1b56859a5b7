"""Several names of one address, names whose address changes, and inproc names."""

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
    """Two addresses of one port: a name that must be resolved, and its IP address."""
    return f"localhost:{port}", f"127.0.0.1:{port}"


def port_of(each: Publisher | Subscriber) -> str:
    return str(each.endpoint).rpartition(":")[2]


# ---- several names of one address


@pytest.mark.parametrize("order", [1, -1])
def test_a_publisher_that_connects_by_two_names_sends_each_message_once(order: int) -> None:
    subscriber = Subscriber(bind="127.0.0.1:0")
    with subscriber, Publisher(connect=names(port_of(subscriber))[::order]) as publisher:
        wait_until(lambda: states(publisher) == ["connected", "connected"])
        publisher.wait_for_subscribers(timeout=TIMEOUT)
        publisher.send("once")
        publisher.send("end")
        received = [subscriber.recv_text(timeout=TIMEOUT) for _ in range(2)]
        assert received == ["once", "end"]
        assert publisher.subscriber_count == 1
        assert len(subscriber.peers) == 1


@pytest.mark.parametrize("order", [1, -1])
def test_two_names_of_a_publisher_connect_and_disconnect_together(order: int) -> None:
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
def test_a_connection_closes_when_its_last_name_is_disconnected(
    publisher: Publisher, order: int
) -> None:
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


def test_each_name_of_a_connection_has_its_own_events(publisher: Publisher) -> None:
    one, two = names(port_of(publisher))
    seen: list[tuple[str, str | None]] = []

    def record(event: Event) -> None:
        seen.append((event.kind, event.address))

    with Subscriber([one, two], on_event=record) as subscriber:
        wait_until(lambda: {("connected", one), ("connected", two)} <= set(seen))
        publisher.close()
        wait_until(lambda: {("disconnected", one), ("disconnected", two)} <= set(seen))
        assert len(seen) == 4
        subscriber.close()


# ---- names that are resolved


@pytest.mark.skipif(sys.platform != "linux", reason="the threads are counted in /proc")
def test_disconnecting_unresolved_names_leaves_no_resolver_threads() -> None:
    def threads() -> int:
        tasks = [str(task) for task in Path(f"/proc/{os.getpid()}/task").iterdir()]
        # The file of a thread that has ended meanwhile is missing.
        status = subprocess.run(
            ["cat", *(f"{task}/comm" for task in tasks)], capture_output=True, check=False
        )
        return status.stdout.count(b"zmqchat-resolve")

    with Subscriber() as subscriber:
        for _ in range(10):
            subscriber.connect("missing.invalid")
            subscriber.disconnect("missing.invalid")
        subscriber.connect("missing.invalid")
        wait_until(lambda: threads() == 1)
        assert states(subscriber) == ["resolving"]
    wait_until(lambda: threads() == 0)


#: The first lines of a script that runs in its own network namespace, with its own host names.
ISOLATED = """
import os, pathlib, subprocess, sys

if "ISOLATED" not in os.environ:
    os.environ["ISOLATED"] = "1"
    unshare = ["unshare", "--map-root-user", "--mount", "--net"]
    os.execvp(unshare[0], [*unshare, sys.executable, *sys.argv])

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


def can_be_isolated() -> bool:
    unshare = ["unshare", "--map-root-user", "--mount", "--net", "ip", "link"]
    return (
        sys.platform == "linux"
        and all(map(shutil.which, ("unshare", "ip", "mount")))
        and all(map(os.path.exists, ("/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf")))
        and subprocess.run(unshare, capture_output=True, check=False).returncode == 0
    )


isolated = pytest.mark.skipif(
    not can_be_isolated(), reason="this user cannot create a network namespace"
)


@isolated
def test_a_name_is_resolved_again_after_its_address_changes(
    run_python: RunPython, tmp_path: Path
) -> None:
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
    finished = run_python(ISOLATED + script, str(tmp_path), deadline=2 * TIMEOUT)
    assert finished.code == 0, finished.stderr
    assert finished.stdout.splitlines() == [
        "Hello Hello",
        "Hello",
        "('lab-pc:6000', 'connected')",
        "('late-pc:6000', 'connected')",
        "('lab-pc:6001', 'connected')",
    ]


@isolated
def test_each_address_of_a_name_is_tried_until_one_works(
    run_python: RunPython, tmp_path: Path
) -> None:
    script = """
# The first address does not answer; the second refuses.
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

def check_delivery(address, name):
    with Publisher(address + ":6000") as pub, Subscriber(bind=address + ":6001") as sub:
        pub.wait_for_subscribers(len(subscribers), timeout=TIMEOUT)
        publisher.wait_for_subscribers(timeout=TIMEOUT)
        pub.send("Hello " + name)
        print(*(each.recv_text(timeout=TIMEOUT) for each in subscribers))
        # No subscriber is connected twice.
        assert pub.subscriber_count == len(subscribers), pub.peers
        publisher.send("Hi " + name)
        print(sub.recv_text(timeout=TIMEOUT))
        assert sub.stats().duplicates == 0
        wait_until(lambda: len(sub.peers) == 1)
    connecting = [*subscribers, publisher]
    wait_until(lambda: all(each.peers[0].state == "reconnecting" for each in connecting))

subscribers = [Subscriber("two-pc:6000"), Subscriber("lab-pc:6000", topics=[], prefixes=[b""])]
publisher = Publisher(connect="two-pc:6001")
check_delivery("127.0.0.3", "three")
# The connected address fails, and the other one becomes reachable.
check_delivery("127.0.0.2", "two")
subscribers.pop(0).close()
publisher.close()
publisher = Publisher(connect="lab-pc:6001")
check_delivery("[::1]", "six")
"""
    finished = run_python(ISOLATED + script, str(tmp_path), deadline=3 * TIMEOUT)
    assert finished.code == 0, finished.stderr
    assert finished.stdout.splitlines() == [
        "Hello three Hello three",
        "Hi three",
        "Hello two Hello two",
        "Hi two",
        "Hello six",
        "Hi six",
    ]


@isolated
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
    finished = run_python(ISOLATED + script, str(tmp_path), deadline=2 * TIMEOUT)
    assert finished.code == 0, finished.stderr
    assert finished.stdout == "True\n"


@isolated
@pytest.mark.parametrize("call", ["Publisher('slow-pc:0')", "Subscriber(bind='slow-pc:0')"])
def test_ctrl_c_interrupts_the_resolution_of_a_name_to_bind(
    run_python: RunPython, tmp_path: Path, call: str
) -> None:
    script = f"""
import socket

# A name server that never answers.
put("resolv.conf", "nameserver 127.0.0.1\\noptions timeout:30\\n")
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))

def wait_here():
    {call}

interrupt_when_blocked(progress=server.getsockname)
try:
    wait_here()
except KeyboardInterrupt:
    # The name server has received the query.
    print("interrupted", len(server.recv(512)) > 0)
    # The resolver's thread still waits for the answer.
    os._exit(0)
"""
    finished = run_python(ISOLATED + script, str(tmp_path))
    assert (finished.code, finished.stdout, finished.stderr) == (0, "interrupted True\n", "")


# ---- inproc names


def test_an_inproc_name_that_is_not_bound_is_connecting() -> None:
    with Subscriber("inproc://unbound") as subscriber:
        assert [(peer.state, peer.attempts) for peer in subscriber.peers] == [("connecting", 0)]
        with pytest.raises(TimeoutError):
            subscriber.wait_connected(timeout=0)
        waiting = Background(subscriber.wait_connected, timeout=TIMEOUT)
        waiting.wait_until_blocked()
        with Publisher("inproc://unbound"):
            assert waiting.result() == 1
            assert subscriber.wait_connected(timeout=0) == 1
            assert states(subscriber) == ["connected"]


def test_a_subscriber_reconnects_when_an_inproc_name_is_bound_again() -> None:
    seen: list[tuple[str, str | None]] = []

    def record(event: Event) -> None:
        seen.append((event.kind, event.address))

    with Subscriber("inproc://again", on_event=record) as subscriber:
        for number in range(3):
            publisher = Publisher("inproc://again")
            assert subscriber.wait_connected(timeout=0) == 1
            # A subscriber in the same program receives even the first message.
            publisher.send(str(number))
            assert subscriber.recv_text(timeout=TIMEOUT) == str(number)
            publisher.close()
            assert states(subscriber) == ["reconnecting"]
            with pytest.raises(TimeoutError):
                subscriber.wait_connected(timeout=0)
        wait_until(lambda: len(seen) == 6)
    assert seen == 3 * [("connected", "inproc://again"), ("disconnected", "inproc://again")]


def test_an_inproc_name_is_reconnected_during_a_blocked_recv() -> None:
    with Subscriber("inproc://waiting") as subscriber:
        for text in ("one", "two"):
            waiting = Background(subscriber.recv_text, timeout=TIMEOUT)
            waiting.wait_until_blocked()
            with Publisher("inproc://waiting") as publisher:
                publisher.wait_for_subscribers(timeout=TIMEOUT)
                publisher.send(text)
                assert waiting.result() == text


def test_a_publisher_reconnects_when_an_inproc_name_is_bound_again() -> None:
    with Publisher(connect="inproc://listener") as publisher:
        for text in ("one", "two"):
            with Subscriber(bind="inproc://listener") as subscriber:
                publisher.wait_for_subscribers(timeout=TIMEOUT)
                publisher.send(text)
                assert subscriber.recv_text(timeout=TIMEOUT) == text
            wait_until(lambda: publisher.subscriber_count == 0)
            assert states(publisher) == ["reconnecting"]


def test_an_inproc_name_can_be_disconnected_whether_or_not_it_is_bound() -> None:
    with Subscriber("inproc://back") as subscriber:
        subscriber.disconnect("inproc://back")
        assert subscriber.peers == []
        with Publisher("inproc://back") as publisher:
            subscriber.connect("inproc://back")
            publisher.wait_for_subscribers(timeout=TIMEOUT)
            subscriber.disconnect("inproc://back")
            wait_until(lambda: publisher.subscriber_count == 0)
        assert subscriber.peers == []


def test_no_message_is_lost_while_publishers_bind_an_inproc_name_in_turn() -> None:
    with Subscriber("inproc://busy") as subscriber:
        reader = Background(lambda: [message.text for message in subscriber])
        for number in range(200):
            with Publisher("inproc://busy") as publisher:
                publisher.wait_for_subscribers(timeout=TIMEOUT)
                publisher.send(str(number))
                wait_until(lambda: subscriber.stats().received == number + 1)  # noqa: B023
        subscriber.close()
        assert reader.result() == [str(number) for number in range(200)]


# ---- addresses in use


@pytest.mark.parametrize("second", ["127.0.0.1", "*", "localhost"])
def test_the_error_for_binding_a_port_twice_names_the_object_and_its_address(
    free_port: Callable[[], int], second: str
) -> None:
    port = free_port()
    addresses = [f"127.0.0.1:{port}", f"{second}:{port}"]
    with pytest.raises(ZmqChatError, match=rf"this Publisher is bound to .*127\.0\.0\.1:{port}"):
        Publisher(addresses)
    with pytest.raises(ZmqChatError, match=rf"this Subscriber is bound to .*127\.0\.0\.1:{port}"):
        Subscriber(bind=addresses)


@pytest.mark.skipif(sys.platform == "win32", reason="no ipc on Windows")
def test_binding_one_ipc_path_twice_raises(tmp_path: Path) -> None:
    address = f"ipc://{os.path.relpath(tmp_path / 's')}"
    if len(address) > 100:
        pytest.skip("the path of the temporary folder is too long for a socket")
    with pytest.raises(ZmqChatError, match="this Publisher is bound to"):
        Publisher([address, address])


def test_the_error_for_a_port_in_use_names_a_publisher_that_is_sending(
    publisher: Publisher,
) -> None:
    stop: list[bool] = []

    def send_until_stopped() -> None:
        while not stop:
            publisher.send("busy")
            _ = publisher.stats()

    sending = [Background(send_until_stopped) for _ in range(3)]
    for _ in range(100):
        with pytest.raises(ZmqChatError, match="another Publisher of this program"):
            Subscriber(bind=str(publisher.endpoint))
    stop.append(True)
    for each in sending:
        each.result()
