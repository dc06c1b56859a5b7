"""What a chat says of its connections: of those to whom it goes, once each."""

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
    """The notices of a chat."""

    def __init__(
        self, arguments: Namespace, frontend: Frontend, chat_once_ready: Callable[[], Chat]
    ) -> None:
        """Take the addresses that were typed, and what prints the notices.

        Args:
            arguments: What was typed.
            frontend: What prints the notices.
            chat_once_ready: Returns the chat, and waits until it is ready.
        """
        hosts, self._speak, self._hear = list(arguments.host), "", ""
        if arguments.via is not None:
            speak, hear = relay_addresses(arguments.via)
            hosts.append(hear)
            self._speak, self._hear = typed_address(speak), typed_address(hear)
        super().__init__(hosts, verbose=frontend.person)
        self._frontend = frontend
        self._chat_once_ready = chat_once_ready
        # Who hears us is worth a word where all should hear all.
        self._mutual = frontend.person and arguments.via is None
        self._patience = arguments.heartbeat
        self._hearers: set[str] = set()

    def also(self, address: str) -> None:
        """Tell of one more, whom we go to from now on."""
        self._connects_to.add(typed_address(address))

    def _lines(self, event: Event) -> Iterator[str]:
        if event.address == self._speak:
            # If the relay does not run at all, there is one notice for both ports.
            if event.kind == "silent" and self._is_connected(self._hear):
                yield (
                    f"cannot send to {event.address}: {event.reason}. A relay has one port to "
                    "receive from and another to send to: check this one, and its firewall."
                )
        elif event.kind == "silent" and event.reason == "refused":
            self._missed.add(event.address)
            todo = "Whoever starts to chat there is heard at once; or check address and port."
            if event.address == self._hear:
                todo = "Start the relay there: zmqchat relay; or check address and port."
            yield f"nobody at {event.address}: refused. {todo}"
        elif event.kind == "subscribed":
            self._hears_us(event.address)
        elif event.kind == "unsubscribed":
            pass
        elif event.kind == "lost":
            lines = "line" if event.count == 1 else "lines"
            member = event.address or "several members"
            yield f"{event.count} {lines} of {member} lost: {event.reason}"
        elif (
            event.kind in ("no room", "handshake failed", "loopback", "cut off")
            or event.address in self._connects_to
        ):
            yield from super()._lines(event)

    def _is_connected(self, address: str) -> bool:
        peers = self._chat_once_ready().peers
        return any(peer.address == address and peer.state == "connected" for peer in peers)

    def _hears_us(self, address: str) -> None:
        host = self._place(address)
        if self._mutual and host not in self._hearers and "://" not in address:
            self._hearers.add(host)
            # By then those whom we hear have said that they are here.
            timer = threading.Timer(self._patience, self._look_for, [host])
            timer.daemon = True
            # Where no thread starts, the hint is missing.
            with suppress(ZmqChatError):
                start_thread(timer)

    def _look_for(self, host: str) -> None:
        if self._open and host not in {one.address for one in self._chat_once_ready().members}:
            self._frontend.notice(
                f"{host} hears you, and you do not hear it: /connect {host} if it chats, too"
            )

    def _write(self, line: str) -> None:
        self._chat_once_ready()
        self._frontend.notice(line)
