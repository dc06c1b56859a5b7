"""Notices about the connections of a chat."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from zmqchat_rs._core import ZmqChatError
from zmqchat_rs._threads import start_thread
from zmqchat_rs.chat.relay import relay_addresses
from zmqchat_rs.cli.notices import SubscriberNotices, typed_address

if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Callable, Iterator

    from zmqchat_rs.chat import Chat
    from zmqchat_rs.events import Event

    from .frontend import Frontend


class ChatNotices(SubscriberNotices):
    """Reports connections to the typed addresses, and chats that this one should connect to."""

    def __init__(
        self, arguments: Namespace, frontend: Frontend, chat_once_ready: Callable[[], Chat]
    ) -> None:
        """Prepare notices.

        Args:
            arguments: The arguments of the command.
            frontend: Prints the notices.
            chat_once_ready: Waits until the chat is ready, and returns it.
        """
        hosts, self._frontend_address, self._backend_address = list(arguments.host), "", ""
        if arguments.via is not None:
            frontend_address, backend_address = relay_addresses(arguments.via)
            hosts.append(backend_address)
            self._frontend_address = typed_address(frontend_address)
            self._backend_address = typed_address(backend_address)
        super().__init__(hosts, verbose=frontend.interactive)
        self._frontend = frontend
        self._chat_once_ready = chat_once_ready
        # Without a relay, each chat should connect to each other chat.
        self._mutual = frontend.interactive and arguments.via is None
        self._delay = arguments.heartbeat
        self._subscribed_hosts: set[str] = set()

    def add(self, address: str) -> None:
        """Report the connection to one more address."""
        self._connects_to.add(typed_address(address))

    def _lines(self, event: Event) -> Iterator[str]:
        if event.address == self._frontend_address:
            # If no relay runs there, one notice covers both ports.
            if event.kind == "silent" and self._is_connected(self._backend_address):
                yield (
                    f"cannot send to {event.address}: {event.reason}. A relay has one port to "
                    "receive from and another to send to: check this one, and its firewall."
                )
        elif event.kind == "silent" and event.reason == "refused":
            self._missed.add(event.address)
            missing = "no chat is running there yet"
            if event.address == self._backend_address:
                missing = "no relay is running there yet (start it: zmqchat relay)"
            yield (
                f"{event.address} refused the connection: {missing}. Retrying; check address and "
                "port if it should be running."
            )
        elif event.kind == "subscribed":
            self._suggest_connection(event.address)
        elif event.kind == "unsubscribed":
            pass
        elif event.kind == "lost":
            lines = "line" if event.count == 1 else "lines"
            member = event.address or "several members"
            yield f"lost {event.count} {lines} from {member}: {event.reason}"
        elif (
            event.kind in ("no room", "handshake failed", "loopback", "cut off")
            or event.address in self._connects_to
        ):
            yield from super()._lines(event)

    def _is_connected(self, address: str) -> bool:
        peers = self._chat_once_ready().peers
        return any(peer.address == address and peer.state == "connected" for peer in peers)

    def _suggest_connection(self, address: str) -> None:
        """Suggest to connect to a subscriber of this chat, if no presence arrives from it."""
        host = self._place(address)
        if self._mutual and host not in self._subscribed_hosts and "://" not in address:
            self._subscribed_hosts.add(host)
            # All connected chats have sent presence by then.
            timer = threading.Timer(self._delay, self._suggest_if_unknown, [host])
            timer.daemon = True
            # If the thread cannot start, the suggestion is omitted.
            with suppress(ZmqChatError):
                start_thread(timer)

    def _suggest_if_unknown(self, host: str) -> None:
        members = self._chat_once_ready().members
        if self._open and host not in {one.address for one in members}:
            self._frontend.notice(
                f"{host} receives your lines, but you receive none from there: type /connect "
                f"{host} if a chat runs there"
            )

    def _write(self, line: str) -> None:
        self._chat_once_ready()
        self._frontend.notice(line)
