"""`watch` and `listen` in a real ipykernel: output stays in its cell, and cells can run again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Callable, Iterator

import pytest

pytest.importorskip("ipykernel", reason="needs ipykernel")

from tests.helpers.kernels import Kernel, kernel
from zmqchat_rs import Publisher

if TYPE_CHECKING:
    from pathlib import Path

PAIR = """
from zmqchat_rs import Publisher, Subscriber
pub = Publisher("127.0.0.1:0", linger=0)
sub = Subscriber(pub.endpoint, split_topics=True)
pub.wait_for_subscribers(1, timeout=60)
"""


RESET = """
import os, sys
watching = sys.modules.get("zmqchat_rs.display.watch")
for live in list(watching._running) if watching else ():
    live.stop()
os.environ.pop("NO_COLOR", None)
get_ipython().run_line_magic("reset", "-f")
__import__("gc").collect()
"""


@pytest.fixture(scope="module")
def shared_kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    with kernel(tmp_path_factory.mktemp("ipython")) as started:
        yield started


@pytest.fixture
def jupyter(shared_kernel: Kernel) -> Iterator[Kernel]:
    """A kernel without objects of an earlier test."""
    yield shared_kernel
    shared_kernel.run(RESET)


@pytest.fixture
def own_kernel(tmp_path: Path) -> Iterator[Kernel]:
    """A kernel of this test alone, which may restart it or shut it down."""
    with kernel(tmp_path) as started:
        yield started


@pytest.fixture
def open_pair(jupyter: Kernel) -> Kernel:
    """A kernel in which a publisher and a subscriber are connected."""
    jupyter.run(PAIR)
    return jupyter


def threads(jupyter: Kernel) -> int:
    """Return the number of watch threads in the kernel."""
    code = "import threading\n[one.name for one in threading.enumerate()].count('zmqchat-watch')"
    return int(jupyter.run(code).result)


def test_messages_are_shown_in_the_cell_that_started_the_watch(open_pair: Kernel) -> None:
    first = open_pair.run("live = sub.watch()")
    later = open_pair.run("pub.send('Hello', topic='room1'); print('printed later')")
    open_pair.until(lambda: "Hello" in first.html, "the message")
    assert later.printed == "printed later\n"
    assert not later.displays
    assert len(first.displays) == 1
    assert re.search(r'<bdi style="color:#005faf;[^"]*">room1</bdi>', first.html)
    assert re.search(r"\[\d\d:\d\d:\d\d\]</span>", first.html)
    assert "● live" in first.html
    assert "room1: Hello" in first.displays[0]["text/plain"]


def test_messages_stay_visible_after_stop(open_pair: Kernel) -> None:
    first = open_pair.run("live = sub.watch(max_rows=2, keep=3)")
    open_pair.run("pub.send_many(map(str, range(5)))\nlive.wait(5, timeout=60)")
    stopped = open_pair.run(
        "print(live.running); live.stop(); print(live.running)\n"
        "print([m.text for m in live.messages], live.received, live)"
    )
    assert stopped.printed.splitlines() == [
        "True",
        "False",
        "['2', '3', '4'] 5 <Watch stopped, 5 messages>",
    ]
    open_pair.until(lambda: "■ stopped at" in first.html, "the notice that the watch stopped")
    assert re.findall(r"<bdi>(\d)</bdi>", first.html) == ["3", "4"]
    assert threads(open_pair) == 0
    # The subscriber is still open.
    assert open_pair.run("pub.send('again'); sub.recv(timeout=60).text").result == "'again'"


def test_markup_and_control_characters_of_a_message_are_shown_as_text(open_pair: Kernel) -> None:
    first = open_pair.run("live = sub.watch()")
    open_pair.run(
        "pub.send('<img src=x onerror=alert(1)> & \"q\" \\x1b[2J\\u202eevil\\n[12:00:00] forged',"
        " topic='<b>')\n"
        "live.wait(1, timeout=60)"
    )
    open_pair.until(lambda: "forged" in first.html, "the message")
    assert "<img" not in first.html
    assert "<b>" not in first.html
    assert "&lt;img src=x onerror=alert(1)&gt; &amp; &quot;q&quot;" in first.html
    assert r"\x1b[2J\u202eevil\n[12:00:00] forged" in first.html
    # JupyterLab does not typeset formulas in a `<pre>` of this class.
    assert first.html.count("<pre") == first.html.count('<pre class="mathjax_ignore')


def test_the_display_is_updated_at_most_ten_times_a_second(open_pair: Kernel) -> None:
    first = open_pair.run("live = sub.watch(max_rows=5)")
    open_pair.updates.clear()
    open_pair.run(
        "import time\n"
        "end = time.monotonic() + 1.5\n"
        "while time.monotonic() < end:\n"
        "    pub.send('x')\n"
        "    time.sleep(0.001)\n"
        "pub.send('the last one')\n"
        "while 'the last one' not in [m.text for m in live.messages[-1:]]:\n"
        "    live.wait(live.received + 1, timeout=60)\n"
        "live.stop()"
    )
    open_pair.until(lambda: "■ stopped" in first.html, "the notice that the watch stopped")
    assert "the last one" in first.html
    # At most one update per tenth of a second, one for the heading and one for the end.
    # The kernel decides when it sends updates, so the test counts them.
    seconds = float(open_pair.run("time.monotonic() - end + 1.5").result)
    assert 2 <= len(open_pair.updates) <= seconds * 10 + 3


def test_running_the_cell_again_replaces_the_watch(open_pair: Kernel) -> None:
    code = "live = sub.watch()"
    first = open_pair.run(code, cell="watching")
    second = open_pair.run(code, cell="watching")
    open_pair.until(lambda: "■ replaced by a later one" in first.html, "the first watch to stop")
    open_pair.run("pub.send('Hello')")
    open_pair.until(lambda: "Hello" in second.html, "the second watch to continue")
    assert "Hello" not in first.html
    assert threads(open_pair) == 1


def test_a_cell_with_publisher_subscriber_and_watch_can_run_repeatedly(
    jupyter: Kernel, free_port: Callable[[], int]
) -> None:
    port = free_port()
    code = f"""
from zmqchat_rs import Publisher, Subscriber
pub = Publisher("127.0.0.1:{port}")
sub = Subscriber("127.0.0.1:{port}")
pub.wait_for_subscribers(1, timeout=60)
live = sub.watch()
pub.send("Hello")
live.wait(1, timeout=60)
sub
"""
    shown = [jupyter.run(code, cell="all") for _ in range(4)]
    jupyter.until(lambda: "Hello" in shown[-1].html, "the message in the last run")
    jupyter.until(lambda: all("■" in one.html for one in shown[:-1]), "the earlier watches to stop")
    assert threads(jupyter) == 1


@pytest.mark.parametrize("cell", ["one", None], ids=["identified by id", "identified by source"])
def test_running_a_cell_again_replaces_its_publisher(
    jupyter: Kernel, free_port: Callable[[], int], cell: str | None
) -> None:
    # The last line also stores the publisher in `Out` and `_`.
    code = f"import zmqchat_rs\npub = zmqchat_rs.Publisher('127.0.0.1:{free_port()}')\npub"
    jupyter.run(code, cell=cell)
    jupyter.run("old = pub", cell="between")
    jupyter.run(code, cell=cell)
    assert jupyter.run("old.closed, pub.closed").result == "(True, False)"


def test_running_a_cell_again_binds_its_ipc_path_again(jupyter: Kernel, tmp_path: Path) -> None:
    jupyter.run(f"import os, zmqchat_rs\nos.chdir({str(tmp_path)!r})", cell="a")
    code = "radio = zmqchat_rs.Publisher('ipc://s')"
    jupyter.run(code, cell="b")
    jupyter.run("old = radio", cell="c")
    jupyter.run(code, cell="b")
    assert jupyter.run("old.closed, radio.closed").result == "(True, False)"
    # Another spelling of the path is refused as well.
    refused = jupyter.finish(jupyter.start("zmqchat_rs.Publisher('ipc://./s')", cell="d"))
    assert "in use by another Publisher of this program" in refused.error
    assert "Here that is radio: radio.close() frees it" in refused.error


def test_running_a_cell_again_replaces_its_chat(
    jupyter: Kernel, free_port: Callable[[], int]
) -> None:
    code = (
        "from zmqchat_rs import Chat\n"
        f"chat = Chat('ann', bind='127.0.0.1:{free_port()}', heartbeat=0.2)"
    )
    jupyter.run(code, cell="a")
    jupyter.run("old = chat", cell="b")
    jupyter.run(code, cell="a")
    # The old chat closes when it next checks its port and finds it taken.
    jupyter.run("while not old.closed:\n    pass\nold.close()")
    assert jupyter.run("chat.closed").result == "False"


def test_running_a_cell_again_replaces_its_relay(
    jupyter: Kernel, free_port: Callable[[], int]
) -> None:
    addresses = f"frontend='127.0.0.1:{free_port()}', backend='127.0.0.1:{free_port()}'"
    code = f"from zmqchat_rs import Publisher, Relay, Subscriber\nrelay = Relay({addresses})"
    jupyter.run(code, cell="a")
    jupyter.run("old = relay", cell="b")
    jupyter.run(code, cell="a")
    received = jupyter.run(
        "sub = Subscriber(relay.backend)\n"
        "pub = Publisher(connect=relay.frontend)\n"
        "pub.wait_for_subscribers(1, timeout=60)\n"
        "pub.send('Hello')\n"
        "old.closed, relay.closed, sub.recv(timeout=60).text"
    )
    assert received.result == "(True, False, 'Hello')"
    refused = jupyter.finish(jupyter.start(f"Relay({addresses})", cell="c"))
    assert "Here that is relay: relay.close() frees it" in refused.error


def test_an_edited_cell_replaces_its_publisher(
    jupyter: Kernel, free_port: Callable[[], int]
) -> None:
    port = free_port()
    jupyter.run(f"import zmqchat_rs\npub = zmqchat_rs.Publisher('127.0.0.1:{port}')", cell="c")
    jupyter.run(f"pub = zmqchat_rs.Publisher('*:{port}', name='alice')", cell="c")
    assert jupyter.run("pub.name").result == "'alice'"


def test_the_error_for_a_port_of_another_cell_names_the_variable(
    jupyter: Kernel, free_port: Callable[[], int]
) -> None:
    port = free_port()
    jupyter.run(f"import zmqchat_rs\nradio = zmqchat_rs.Publisher('127.0.0.1:{port}')", cell="a")
    refused = jupyter.finish(
        jupyter.start(f"pub = zmqchat_rs.Publisher('127.0.0.1:{port}')", cell="b")
    )
    assert "the port is already in use by another Publisher of this program" in refused.error
    assert "Here that is radio: radio.close() frees it" in refused.error
    assert jupyter.run("radio.closed").result == "False"


def test_the_error_names_the_out_entry_of_a_publisher_without_a_variable(
    jupyter: Kernel, free_port: Callable[[], int]
) -> None:
    port = free_port()
    jupyter.run(f"import zmqchat_rs; zmqchat_rs.Publisher('127.0.0.1:{port}')", cell="a")
    refused = jupyter.finish(
        jupyter.start(f"zmqchat_rs.Subscriber(bind='127.0.0.1:{port}')", cell="b")
    )
    assert re.search(r"Here that is Out\[\d+\]: Out\[\d+\]\.close\(\) frees it", refused.error)


def test_publishers_of_one_run_do_not_replace_each_other(
    jupyter: Kernel, free_port: Callable[[], int]
) -> None:
    port = free_port()
    refused = jupyter.finish(
        jupyter.start(
            f"import zmqchat_rs\n"
            f"one = zmqchat_rs.Publisher('127.0.0.1:{port}')\n"
            f"two = zmqchat_rs.Publisher('127.0.0.1:{port}')",
            cell="a",
        )
    )
    assert "already in use by another Publisher" in refused.error
    assert jupyter.run("one.closed").result == "False"


def test_the_stop_button_leaves_the_watch_running(open_pair: Kernel) -> None:
    first = open_pair.run("live = sub.watch()")
    waiting = open_pair.start("print('waiting')\nlive.wait(99)")
    open_pair.until(lambda: waiting.printed, "the cell to start")
    open_pair.interrupt()
    assert open_pair.finish(waiting).error.startswith("KeyboardInterrupt")
    open_pair.run("pub.send('still received')")
    open_pair.until(lambda: "still received" in first.html, "the watch to continue")


def test_closing_the_subscriber_stops_the_watch(open_pair: Kernel) -> None:
    first = open_pair.run("live = sub.watch()")
    open_pair.run("sub.close()")
    open_pair.until(
        lambda: "■ the subscriber was closed at" in first.html, "the notice that the watch stopped"
    )
    assert open_pair.run("live.running").result == "False"
    assert threads(open_pair) == 0


def test_an_exception_of_the_watch_thread_is_shown_in_the_cell(open_pair: Kernel) -> None:
    first = open_pair.run("live = sub.watch()")
    open_pair.run(
        "def fail(messages):\n"
        "    raise RuntimeError('no <b>good</b>')\n"
        "live._view.add = fail\n"
        "pub.send('Hello')"
    )
    open_pair.until(lambda: "■ stopped by an error" in first.html, "the error")
    assert "RuntimeError: no &lt;b&gt;good&lt;/b&gt;" in first.html
    assert "Traceback" in first.html
    assert open_pair.run("repr(live.error)").result == "\"RuntimeError('no <b>good</b>')\""


def test_a_full_disk_is_reported_and_the_watch_continues(open_pair: Kernel) -> None:
    first = open_pair.run("live = sub.watch(log='/dev/full')")
    open_pair.run("pub.send('Hello'); live.wait(1, timeout=60)")
    open_pair.until(lambda: "not logged: " in first.html, "the warning")
    open_pair.until(lambda: "Hello" in first.html, "the message")
    assert open_pair.run("live.running").result == "True"


def test_a_watch_can_be_shown_in_a_second_cell(open_pair: Kernel) -> None:
    first = open_pair.run("live = sub.watch()\nlive", cell="a")
    second = open_pair.run("live", cell="b")
    open_pair.run("pub.send('Hello')")
    open_pair.until(
        lambda: "Hello" in first.html and "Hello" in second.html, "the message in both cells"
    )
    assert len(first.displays) == 1
    assert not first.result
    assert not second.result


def test_the_end_of_the_with_block_stops_the_watch(open_pair: Kernel) -> None:
    first = open_pair.run(
        "with sub.watch() as live:\n    pub.send('Hello')\n    live.wait(1, timeout=60)"
    )
    open_pair.until(lambda: "■ stopped" in first.html, "the notice that the watch stopped")
    assert "Hello" in first.html


def test_a_kernel_restart_stops_the_watch_and_frees_the_port(
    own_kernel: Kernel, free_port: Callable[[], int]
) -> None:
    port = free_port()
    code = f"""
from zmqchat_rs import Publisher, Subscriber
sub = Subscriber(bind="127.0.0.1:{port}")
live = sub.watch()
"""
    first = own_kernel.run(code, cell="a")
    own_kernel.restart()
    assert "■ the program ended at" in first.html
    second = own_kernel.run(code, cell="a")
    with Publisher(connect=f"127.0.0.1:{port}") as publisher:
        publisher.wait_for_subscribers(1, timeout=60)
        publisher.send("Hello")
        own_kernel.until(lambda: "Hello" in second.html, "the message")


def test_the_kernel_shuts_down_while_a_watch_runs(own_kernel: Kernel) -> None:
    own_kernel.run(PAIR)
    first = own_kernel.run("live = sub.watch()")
    own_kernel.shut_down()
    assert "■ the program ended at" in first.html


def test_listen_prints_into_its_cell_and_ends_with_the_stop_button(open_pair: Kernel) -> None:
    listening = open_pair.start("pub.send('Hello', topic='room1'); sub.listen()")
    open_pair.until(lambda: "Hello" in listening.printed, "the message")
    assert re.search(r"\x1b\[38;5;\d+mroom1\x1b\[0m: Hello", listening.printed)
    open_pair.interrupt()
    open_pair.finish(listening)
    assert (listening.error, listening.result) == ("", "1")


@pytest.mark.parametrize(
    "wait", ["sub.recv()", "next(sub)", "for message in sub: pass", "pub.wait_for_subscribers(9)"]
)
def test_the_stop_button_interrupts_a_waiting_call(open_pair: Kernel, wait: str) -> None:
    waiting = open_pair.start(f"print('waiting')\n{wait}")
    open_pair.until(lambda: waiting.printed, "the cell to start")
    open_pair.interrupt()
    assert open_pair.finish(waiting).error.startswith("KeyboardInterrupt")
    assert open_pair.run("pub.send('Hello'); sub.recv(timeout=60).text").result == "'Hello'"


def test_a_message_is_displayed_as_html_and_text(open_pair: Kernel) -> None:
    shown = open_pair.run("pub.send('<i>Hello</i>', topic='room1'); sub.recv(timeout=60)")
    (data,) = [one["data"] for one in shown.outputs if one["kind"] == "result"]
    assert "&lt;i&gt;Hello&lt;/i&gt;" in data["text/html"]
    assert data["text/plain"] == "<Message topic='room1' text='<i>Hello</i>'>"


def test_no_color_disables_colour(open_pair: Kernel) -> None:
    first = open_pair.run(
        "import os; os.environ['NO_COLOR'] = '1'\n"
        "live = sub.watch()\n"
        "pub.send('Hello', topic='room1'); live.wait(1, timeout=60)"
    )
    open_pair.until(lambda: "Hello" in first.html, "the message")
    assert "color:#" not in first.html
