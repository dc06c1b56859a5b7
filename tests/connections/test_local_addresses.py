"""The order of this host's addresses, and warnings for those that only this host reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.connections.test_names import ISOLATED, isolated
from tests.helpers.timeouts import TIMEOUT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.scripts import RunPython

#: The lines after `ISOLATED` of a script that changes the interfaces: /sys describes them.
NETWORK = """
from zmqchat_rs import local_addresses

subprocess.run(["mount", "-t", "sysfs", "sysfs", "/sys"], check=True)

def ip(*commands):
    for command in commands:
        subprocess.run(["ip", *command.split()], check=True)
"""


@isolated
def test_a_publisher_shows_the_lan_address_and_not_those_of_vpns_and_bridges(
    run_python: RunPython, tmp_path: Path
) -> None:
    script = """
ip(
    "link add wire type veth peer name other",
    "address add 192.168.7.2/24 dev wire",
    "link set wire up",
    "link set other up",
    # A VPN with the default route, whose interface has an unusual name.
    "tuntap add mode tun name office",
    "address add 10.8.0.2/24 dev office",
    "link set office up",
    "route add default dev office",
    # A bridge with a container, and one without.
    "link add pods type bridge",
    "address add 10.9.0.1/24 dev pods",
    "link set pods up",
    "link add inside type veth peer name port",
    "link set port master pods",
    "link set port up",
    "link add machines type bridge",
    "address add 10.9.1.1/24 dev machines",
    "link set machines up",
    "tuntap add mode tap name guest",
    "address add 10.9.2.1/24 dev guest",
    "link set guest up",
)
kinds = {each["interface"]: each["kind"] for each in local_addresses()}
print(*sorted(kinds.items()))
with Publisher("*:0") as publisher:
    print(*(address.rpartition(":")[0] for address in publisher.addresses))
"""
    finished = run_python(ISOLATED + NETWORK + script, str(tmp_path))
    assert finished.code == 0, finished.stderr
    kinds, addresses = finished.stdout.splitlines()
    assert kinds == (
        "('guest', 'virtual') ('lo', 'loopback') ('machines', 'virtual') ('office', 'virtual') "
        "('pods', 'virtual') ('wire', 'lan')"
    )
    assert addresses == "192.168.7.2"


@isolated
def test_a_publisher_warns_about_a_name_that_resolves_to_loopback(
    run_python: RunPython, tmp_path: Path
) -> None:
    script = """
import logging
logging.basicConfig(format="%(message)s", stream=sys.stdout)
put("hosts", "127.0.0.1 localhost\\n127.0.1.1 lab-pc.example.org lab-pc\\n")
from tests.helpers.events import RecordedEvents

events = RecordedEvents()
with Publisher("lab-pc:6000", on_event=events):
    wait_until(lambda: events.kinds() == ["loopback"])
# An interface, `localhost` and a loopback address cause no warning.
unwarned = RecordedEvents()
for address in "lo:6000", "localhost:6000", "127.0.0.1:6000":
    with Publisher(address, on_event=unwarned), Subscriber("127.0.0.1:6000"):
        wait_until(lambda: unwarned.kinds()[-2:] == ["connected", "subscribed"])
assert "loopback" not in unwarned.kinds(), unwarned.events
put("hosts", "127.0.1.1 lab-pc\\n10.7.0.1 lab-pc\\n")
subprocess.run(["ip", "address", "add", "10.7.0.1/24", "dev", "lo"], check=True)
with Publisher("lab-pc:6000") as publisher:
    print(*publisher.addresses)
"""
    finished = run_python(ISOLATED + script, str(tmp_path), deadline=2 * TIMEOUT)
    assert finished.code == 0, finished.stderr
    warning, addresses = finished.stdout.splitlines()
    assert warning == (
        "only this host can connect to 127.0.1.1:6000: the name 'lab-pc' resolves to a loopback "
        "address here; bind '*:6000' or an IP address of this host (zmqchat ip)"
    )
    assert addresses == "10.7.0.1:6000"
