"""Suggestions for unknown commands and unrecognized arguments."""

from __future__ import annotations

import shlex
from contextlib import suppress
from difflib import get_close_matches
from typing import TYPE_CHECKING

from zmqchat_rs._core import local_addresses, parse_address

if TYPE_CHECKING:
    from typing import Iterator, Sequence

# The options of other tools, by their meaning.
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
    """Suggest what to type instead of an unrecognized argument; empty if nothing fits.

    Args:
        command: The command, such as "pub".
        words: All of its arguments.
        strays: The unrecognized ones.
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
    """Return a typed host for an example; this host if none was typed."""
    for word in filter(_is_address, words):
        with suppress(ValueError):
            return parse_address(word)[1]
    return "127.0.0.1"


def command_meant(word: str, commands: Sequence[str]) -> str:
    """Return the command or option that was probably meant; empty if none is similar."""
    for command, synonyms in _COMMANDS_MEANT.items():
        if word.lower() in synonyms:
            return command
    return next(iter(get_close_matches(word.lower(), commands, 1)), "")


def _meant(words: Sequence[str], strays: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the meaning and the value of each unrecognized argument."""
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
    """Remove the scheme and path of a web address."""
    scheme, found, rest = address.partition("://")
    return rest.partition("/")[0] if found and scheme.lower() in ("http", "https") else address


def _is_address(word: str) -> bool:
    """Whether a word looks like an address, and not like text to send."""
    if "://" in word or word.startswith("["):
        return True
    host, colon, port = word.partition(":")
    if colon and port.isdigit():
        return True
    return host == "localhost" or (host.count(".") == 3 and host.replace(".", "").isdigit())  # noqa: PLR2004 - IPv4


def _is_own(address: str) -> bool:
    """Whether it is an address of this host, which a publisher can bind."""
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
        "a relay or a bound subscriber: --connect {value}",
        "bind": "to publish at this address: --bind {value}",
        "topic": "a topic goes after -t: -t {value}",
        "name": "a name goes after --name: --name {value}",
        "message": "the text to send goes after -m: -m {value}",
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
        "port": "to bind another port: --bind '*:{value}'; to connect to another chat's port: "
        "zmqchat chat {place}",
        "address": "the address of another chat needs no option: zmqchat chat {value}; a relay's "
        "address goes after --via",
        "bind": "to bind another address: --bind {value}",
        "topic": "the first room goes after --room: --room {value}",
        "name": "your name goes after --name: --name {value}",
        "message": "in a pipe each line is sent: echo {value} | zmqchat chat ...",
    },
    "relay": {
        "port": "the port for subscribers: --backend '*:{value}'; for publishers: --frontend "
        "'*:{value}'",
        "address": "a relay binds addresses of this host and needs none; to also forward messages "
        "of another relay or publisher: --connect {value}",
        "bind": "the address for subscribers: --backend {value}; for publishers: "
        "--frontend {value}",
        "topic": "a relay forwards all topics; subscribers choose: zmqchat sub -t {value}",
    },
    "doctor": {
        "port": "the port follows the host: zmqchat doctor {place}",
        "address": "the address needs no option: zmqchat doctor {value}",
    },
    "ip": {
        "address": "ip prints the addresses of this host; to check another one: zmqchat "
        "doctor {value}",
    },
    "demo": {
        "port": "the demo uses a free port; to publish on this one: zmqchat pub --bind '*:{value}'",
        "address": "the demo uses this host only; to receive from another one: zmqchat sub {value}",
    },
    "replay": {
        "port": "to publish on this port: --to '*:{value}'",
        "address": "to publish to a bound subscriber: --connect {value}",
        "bind": "to publish at this address: --to {value}",
        "message": "to send: zmqchat pub -m {value}",
    },
}
