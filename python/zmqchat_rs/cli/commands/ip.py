"""``zmqchat ip``: print the addresses of this host."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from zmqchat_rs._core import local_addresses
from zmqchat_rs.cli import output
from zmqchat_rs.cli.options import add_command
from zmqchat_rs.diagnostics.port_forwarding import isolation

if TYPE_CHECKING:
    from argparse import Namespace

    from zmqchat_rs.cli.options import Commands

_PORT = 5555  # the default port

_DESCRIPTION = """\
Print the addresses of this laptop for 'zmqchat sub' on other hosts, best first.
The first one is usually on the local network; addresses of virtual machines,
containers and VPNs are last. The loopback address, which only this laptop can
reach, is printed with -v or --json, or if it is the only one. In WSL2 and in
containers, a notice describes the port forwarding that other hosts need."""

_EXAMPLES = """\
examples:
  zmqchat ip                              192.168.1.12
  zmqchat ip -v                           with the interface and the kind
  zmqchat ip | head -1                    the best address, for a script"""


def add_to(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "ip",
        run,
        summary="print the addresses of this laptop",
        description=_DESCRIPTION,
        examples=_EXAMPLES,
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "-v", "--verbose", action="store_true", help="Print all addresses, with interface and kind."
    )
    form.add_argument(
        "--json", action="store_true", help="Print all addresses, one JSON object per line."
    )


def run(arguments: Namespace) -> int:
    """Print the addresses."""
    addresses = local_addresses()
    if arguments.json:
        for each in addresses:
            output.print_line(json.dumps(each))
    elif arguments.verbose:
        width = max((len(each["address"]) for each in addresses), default=0)
        for each in addresses:
            output.print_line(f"{each['address']:{width}}  {each['kind']:8}  {each['interface']}")
    else:
        outward = [each for each in addresses if each["kind"] != "loopback"]
        if not outward:
            output.print_error("no network: only this laptop can reach these addresses")
        for each in outward or addresses:
            output.print_line(each["address"])
    if not arguments.json:
        found = isolation()
        if found is not None:
            output.notice(f"zmqchat: this is {found.where}. {found.advice(_PORT)}")
    return 0
