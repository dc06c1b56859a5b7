"""What to type instead of words that a command does not take."""

from __future__ import annotations

import shlex
from contextlib import suppress
from difflib import get_close_matches
from typing import TYPE_CHECKING

from zmqchat_rs._core import local_addresses, parse_address

if TYPE_CHECKING:
    from typing import Iterator, Sequence

# What other tools call an option, by what is meant.
_MEANINGS = {
    "port": ("--port", "-p", "-P"),
    "address": (
        "--host",
        "--address",
        "--addr",
        "--ip",
        "--server",
        "--broker",
        "--url",
        "--connect",
        "--to",
        "-H",
    ),
    "bind": ("--bind", "--listen"),
    "topic": ("-t", "--topic", "--topics", "--room", "--channel", "--subscribe"),
    "message": ("-m", "--message", "--text"),
    "name": ("--name", "--user", "--nick", "--nickname"),
    "count": ("-n", "--number", "--max", "-c", "--count"),
}
_MEANING_OF = {option: meaning for meaning, options in _MEANINGS.items() for option in options}

_COMMANDS_MEANT = {
    "pub": ("publish", "publisher", "send", "say"),
    "sub": ("subscribe", "subscriber", "listen", "receive", "recv", "read", "watch"),
    "chat": ("talk", "join", "connect"),
    "relay": ("broker", "server", "serve", "proxy", "hub"),
    "ip": ("ips", "address", "addresses", "ifconfig", "ipconfig"),
    "doctor": ("check", "diagnose", "ping", "probe", "test", "status"),
    "demo": ("example",),
    "log": ("logs", "history"),
    "replay": ("play",),
    "--help": ("help",),
    "--version": ("version",),
}


def hint(command: str, words: Sequence[str], strays: Sequence[str]) -> str:
    """Say what to type instead; empty where nothing is known.

    Args:
        command: Such as "pub".
        words: All that was typed after it.
        strays: Those of them that it does not take.
    """
    for meaning, value in _meant(words, strays):
        texts = _HINTS.get(command, {})
        if command == "pub" and meaning == "address" and _is_own(value):
            meaning = "bind"  # noqa: PLW2901
        if meaning in texts:
            shown = "6000" if meaning == "port" and not value.isdigit() else value
            place = shlex.quote(f"{_host(words)}:{shown}")
            return texts[meaning].format(value=shlex.quote(shown or "..."), place=place)
    return ""


def _host(words: Sequence[str]) -> str:
    """Give the host that was typed, for an example; this computer where there is none."""
    for word in filter(_is_address, words):
        with suppress(ValueError):
            return parse_address(word)[1]
    return "127.0.0.1"


def command_meant(word: str, commands: Sequence[str]) -> str:
    """Give the command, or the option, that was probably meant; empty where none is near."""
    for command, others in _COMMANDS_MEANT.items():
        if word.lower() in others:
            return command
    return next(iter(get_close_matches(word.lower(), commands, 1)), "")


def _meant(words: Sequence[str], strays: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Give what each stray word means, and its value."""
    used = set()
    for place, word in enumerate(words):
        if word not in strays or place in used:
            continue
        option, equals, value = word.partition("=")
        if not option.startswith("-"):
            if word.isdigit():
                yield "port", word
            elif _is_address(word):
                yield "address", _without_scheme(word)
            continue
        following = words[place + 1 : place + 2]
        if not equals and following and not following[0].startswith("-"):
            value = following[0]
            used.add(place + 1)
        meaning = _MEANING_OF.get(option, "")
        yield meaning, _without_scheme(value) if meaning in ("address", "bind") else value


def _without_scheme(address: str) -> str:
    """Give a web address as one that works here."""
    scheme, found, rest = address.partition("://")
    return rest.partition("/")[0] if found and scheme.lower() in ("http", "https") else address


def _is_address(word: str) -> bool:
    """Whether a word looks like an address rather than like text to send."""
    if "://" in word or word.startswith("["):
        return True
    host, colon, port = word.partition(":")
    if colon and port.isdigit():
        return True
    return host == "localhost" or (host.count(".") == 3 and host.replace(".", "").isdigit())  # noqa: PLR2004 - IPv4


def _is_own(address: str) -> bool:
    """Whether it is an address of this computer, which a publisher can bind."""
    try:
        transport, host, _ = parse_address(address, bind=True)
    except ValueError:
        return False
    own = {each["address"] for each in local_addresses()}
    return transport != "tcp" or host in own | {"localhost", "*", "0.0.0.0"}  # noqa: S104


_HINTS = {
    "pub": {
        "port": "to publish on another port: --bind '*:{value}'",
        "address": "subscribers connect to this publisher, so it needs no address; to connect to "
        "a relay or to a subscriber that is bound there: --connect {value}",
        "bind": "to publish at this address of this computer: --bind {value}",
        "topic": "a topic goes after -t: -t {value}",
        "name": "a name goes after --name: --name {value}",
        "message": "what to send goes after -m: -m {value}",
    },
    "sub": {
        "port": "the port follows the host: zmqchat sub {place}",
        "address": "the publisher's address needs no option: zmqchat sub {value}",
        "bind": "to wait for publishers that connect: --bind {value}",
        "topic": "a topic goes after -t: -t {value}",
        "message": "to send: zmqchat pub -m {value}",
        "name": "only publishers have a name: zmqchat pub --name {value}",
        "count": "to end after {value} messages: -c {value}",
    },
    "chat": {
        "port": "to wait at another port: --bind '*:{value}'; to reach another chat's port: "
        "zmqchat chat {place}",
        "address": "the address of another chat needs no option: zmqchat chat {value}; a relay's "
        "address goes after --via",
        "bind": "to wait at another address: --bind {value}",
        "topic": "the room to begin in: --room {value}",
        "name": "your name: --name {value}",
        "message": "in a pipe each line is sent: echo {value} | zmqchat chat ...",
    },
    "relay": {
        "port": "the port for subscribers: --backend '*:{value}'; for publishers: --frontend "
        "'*:{value}'",
        "address": "a relay is bound on this computer and needs no address; to take in what "
        "another relay or a publisher sends: --connect {value}",
        "bind": "where subscribers connect: --backend {value}; where publishers connect: "
        "--frontend {value}",
        "topic": "a relay passes on all topics; subscribers choose: zmqchat sub -t {value}",
    },
    "doctor": {
        "port": "the port follows the host: zmqchat doctor {place}",
        "address": "one address, without an option: zmqchat doctor {value}",
    },
    "ip": {
        "address": "ip prints the addresses of this computer; to check another one: zmqchat "
        "doctor {value}",
    },
    "demo": {
        "port": "the demo takes a free port; to publish on this one: zmqchat pub --bind "
        "'*:{value}'",
        "address": "the demo runs on this computer alone; to receive from another one: zmqchat "
        "sub {value}",
    },
    "replay": {
        "port": "to publish on this port: --to '*:{value}'",
        "address": "to publish to a subscriber that is bound there: --connect {value}",
        "bind": "to publish at this address: --to {value}",
        "message": "to send: zmqchat pub -m {value}",
    },
}
