"""Messages are converted to tables of pandas, Polars and every library that reads Arrow."""

from __future__ import annotations

import json
import math
import threading
from typing import TYPE_CHECKING, Any, Callable

import pytest

from tests.helpers.sample_messages import AT
from tests.helpers.stamps import stamp
from tests.helpers.timeouts import TIMEOUT, Background
from zmqchat_rs import (
    Message,
    MessageTable,
    Transcript,
    ZmqChatError,
    read_transcript,
    to_pandas,
    to_polars,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Pair
    from tests.helpers.scripts import RunPython

SENT_NS = 1_769_857_391_000_041_999
COLUMNS = ["received_at", "sent_at", "topic", "sender", "sequence", "kind", "text", "data"]
MESSAGES = [
    Message([b"room1:Hello", stamp(42, "room1", sent_ns=SENT_NS)], received_at=AT),
    Message([b"12"], received_at=AT),
    Message(["é:".encode()], topic="é", received_at=AT),
    Message([b"room1:\xff\x00"], topic="room1", received_at=AT),
]


def readings(*objects: object) -> list[Message]:
    return [Message([json.dumps(one).encode()], received_at=AT) for one in objects]


@pytest.fixture
def pandas() -> Any:
    return pytest.importorskip("pandas", reason="pandas is not installed")


@pytest.fixture
def polars() -> Any:
    return pytest.importorskip("polars", reason="Polars is not installed")


@pytest.fixture
def pyarrow() -> Any:
    return pytest.importorskip("pyarrow", reason="pyarrow is not installed")


def test_pandas_gets_correct_dtypes_and_the_time_zone(pandas: Any) -> None:
    frame = to_pandas(MESSAGES)
    assert list(frame.columns) == COLUMNS
    assert [str(dtype) for dtype in frame.dtypes] == [
        "datetime64[ns, UTC]",
        "datetime64[ns, UTC]",
        "string",
        "string",
        "UInt64",
        "string",
        "string",
        "object",
    ]
    first, second = frame.iloc[0], frame.iloc[1]
    assert first.received_at == pandas.Timestamp(AT)
    assert first.sent_at.value == SENT_NS
    assert (first.topic, first.sender, first.sequence) == ("room1", "alice", 42)
    assert (second.text, second.data) == ("12", b"12")
    assert frame.iloc[1:][["sent_at", "sender", "sequence"]].isna().all(axis=None)
    assert frame.topic.isna().tolist() == [False, True, False, False]
    assert frame.topic[2] == "é"
    assert frame.text.tolist() == ["Hello", "12", "", "\ufffd\x00"]
    assert frame.data.tolist() == [b"Hello", b"12", b"", b"\xff\x00"]
    frame.loc[0, "sequence"] = 43  # the frame is a writable copy
    assert to_pandas(MESSAGES).loc[0, "sequence"] == 42


def test_polars_gets_correct_types_and_the_time_zone(polars: Any) -> None:
    frame = to_polars(MESSAGES)
    assert dict(frame.schema) == {
        "received_at": polars.Datetime("ns", "UTC"),
        "sent_at": polars.Datetime("ns", "UTC"),
        "topic": polars.String,
        "sender": polars.String,
        "sequence": polars.UInt64,
        "kind": polars.String,
        "text": polars.String,
        "data": polars.Binary,
    }
    assert frame["text"].to_list() == ["Hello", "12", "", "\ufffd\x00"]
    assert frame["data"].to_list() == [b"Hello", b"12", b"", b"\xff\x00"]
    assert frame["topic"].to_list() == ["room1", None, "é", "room1"]
    assert frame["sequence"].to_list() == [42, None, None, None]
    assert frame["sent_at"].cast(polars.Int64).to_list() == [SENT_NS, None, None, None]
    assert frame.filter(polars.col("received_at") == AT).height == len(MESSAGES)


def test_pyarrow_reads_the_table_with_its_schema(pyarrow: Any) -> None:
    table = MessageTable(MESSAGES)
    assert len(table) == len(MESSAGES)
    assert table.column_names == COLUMNS
    assert repr(table) == f"<MessageTable 4 rows: {', '.join(COLUMNS)}>"
    found = pyarrow.table(table)
    found.validate(full=True)
    assert found.schema.equals(
        pyarrow.schema(
            [
                pyarrow.field("received_at", pyarrow.timestamp("ns", "UTC"), nullable=False),
                ("sent_at", pyarrow.timestamp("ns", "UTC")),
                ("topic", pyarrow.large_string()),
                ("sender", pyarrow.large_string()),
                ("sequence", pyarrow.uint64()),
                ("kind", pyarrow.large_string()),
                pyarrow.field("text", pyarrow.large_string(), nullable=False),
                pyarrow.field("data", pyarrow.large_binary(), nullable=False),
            ]
        )
    )
    assert pyarrow.table(table).equals(found)  # a table can be read repeatedly
    assert pyarrow.schema(table).equals(found.schema)
    rows = found.drop_columns(["received_at", "sent_at"]).to_pylist()
    for row, message in zip(rows, MESSAGES):
        assert row == {name: getattr(message, name) for name in COLUMNS[2:]}
    assert found["sent_at"].cast(pyarrow.int64()).to_pylist() == [SENT_NS, None, None, None]
    assert found["received_at"].null_count == 0


def test_a_column_outlives_its_table(pyarrow: Any) -> None:
    column = pyarrow.table(MessageTable(MESSAGES * 1000))["text"]
    column.validate(full=True)
    assert column.to_pylist() == ["Hello", "12", "", "\ufffd\x00"] * 1000


def test_duckdb_queries_the_table() -> None:
    duckdb = pytest.importorskip("duckdb", reason="DuckDB is not installed")
    chat = MessageTable(readings({"celsius": 20}, {"celsius": 22}), json=True)
    assert len(chat) == 2  # the query refers to the local variable `chat`
    assert duckdb.sql("SELECT avg(celsius), count(*) FROM chat").fetchall() == [(21.0, 2)]


@pytest.mark.parametrize("json", [False, True])
def test_an_empty_list_gives_an_empty_table_with_the_same_columns(
    pandas: Any, polars: Any, pyarrow: Any, *, json: bool
) -> None:
    assert to_pandas([], json=json).dtypes.equals(to_pandas(MESSAGES).dtypes)
    assert to_polars([], json=json).schema == to_polars(MESSAGES).schema
    assert pyarrow.table(MessageTable([], json=json)).num_rows == 0
    assert pandas.concat([to_pandas([]), to_pandas(MESSAGES)]).text.tolist()[0] == "Hello"
    assert polars.concat([to_polars([]), to_polars(MESSAGES)]).height == len(MESSAGES)


def sources(path: Path) -> list[Callable[[], Any]]:
    """Functions that each create one kind of source with the same messages."""
    return [
        lambda: MESSAGES,
        lambda: tuple(MESSAGES),
        lambda: iter(MESSAGES),
        lambda: path,
        lambda: str(path),
        lambda: read_transcript(path),
        lambda: read_transcript(path, follow=True),
        lambda: Transcript(path),
    ]


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    path = tmp_path / "chat.log"
    with Transcript(path) as log:
        log.write_many(MESSAGES)
    return path


def test_every_source_of_messages_is_converted_to_a_table(
    pandas: Any, polars: Any, pyarrow: Any, chat: Path
) -> None:
    expected = to_pandas(MESSAGES)
    for make in sources(chat):
        pandas.testing.assert_frame_equal(to_pandas(make()), expected)
        pandas.testing.assert_frame_equal(MessageTable(make()).to_pandas(), expected)
        assert to_polars(make()).equals(to_polars(MESSAGES))
        assert MessageTable(make()).to_polars().equals(to_polars(MESSAGES))
    for make in sources(chat)[-3:]:
        pandas.testing.assert_frame_equal(make().to_pandas(json=False), expected)
        assert make().to_polars(json=True)["json"].to_list() == [None, 12, None, None]
        assert pyarrow.table(make()).equals(pyarrow.table(MessageTable(MESSAGES)))
    # Older Polars versions treat a reader, which is iterable, as a list of objects.
    assert polars.DataFrame(Transcript(chat)).equals(to_polars(MESSAGES))


def test_a_table_of_a_reader_has_only_the_unread_messages(chat: Path) -> None:
    with read_transcript(chat, follow=True) as reader:
        assert next(reader) == MESSAGES[0]
        assert len(MessageTable(reader)) == len(MESSAGES) - 1
        assert len(MessageTable(reader)) == 0
        with Transcript(chat) as log:
            log.write(MESSAGES[0])
        assert len(MessageTable(reader)) == 1
    assert len(MessageTable(reader)) == 0


def test_invalid_lines_are_skipped_and_reported(
    chat: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with chat.open("ab") as file:
        file.write(b"Hello\n2026-01-3")
    with read_transcript(chat) as reader:
        assert len(MessageTable(reader)) == len(MESSAGES)
        assert reader.skipped == 2
    assert len(MessageTable(chat)) == len(MESSAGES)
    assert caplog.text.count("line 5 of") == 2


def test_received_messages_are_converted_to_a_table(pair: Pair, pandas: Any) -> None:
    for celsius in (20.5, 21):
        pair.publisher.send_json({"celsius": celsius})
    frame = to_pandas([pair.subscriber.recv(timeout=TIMEOUT) for _ in range(2)], json=True)
    assert frame.celsius.tolist() == [20.5, 21.0]
    assert frame.set_index("received_at").index.tz is not None
    local = frame.received_at.dt.tz_convert("Europe/Berlin")
    assert (local == frame.received_at).all()
    assert pandas.Timestamp.now("UTC") - frame.received_at.max() < pandas.Timedelta(hours=1)


# Values of the key `a`, the dtype of its column in pandas and in Polars, and the column's values.
UNPACKED: list[tuple[list[object], str, str, list[object]]] = [
    ([1, 2], "int64", "Int64", [1, 2]),
    ([1, None], "Int64", "Int64", [1, None]),
    ([2**63, 1], "UInt64", "UInt64", [2**63, 1]),
    ([1, 2.5], "float64", "Float64", [1.0, 2.5]),
    ([None, 0.5], "float64", "Float64", [None, 0.5]),
    ([True, False], "bool", "Boolean", [True, False]),
    ([True, None], "boolean", "Boolean", [True, None]),
    (["x", 'y"\n'], "string", "String", ["x", 'y"\n']),
    ([2**64, 1], "string", "String", ["18446744073709551616", "1"]),
    ([[1, {"b": 2}], {}], "string", "String", ['[1, {"b": 2}]', "{}"]),
    ([1, "1"], "string", "String", ["1", '"1"']),
    ([math.inf, 1], "float64", "Float64", [math.inf, 1.0]),
]


@pytest.mark.parametrize(("values", "in_pandas", "in_polars", "expected"), UNPACKED)
def test_json_objects_become_columns(  # noqa: PLR0913, PLR0917
    pandas: Any,
    polars: Any,
    values: list[object],
    in_pandas: str,
    in_polars: str,
    expected: list[object],
) -> None:
    messages = readings(*({"a": value} for value in values))
    frame = to_pandas(messages, json=True)
    assert list(frame.columns) == [*COLUMNS, "a"]
    assert frame.a.dtype == in_pandas
    assert [None if pandas.isna(one) else one for one in frame.a] == expected
    column = to_polars(messages, json=True)["a"]
    assert column.dtype == getattr(polars, in_polars)
    assert column.to_list() == expected


def test_payloads_that_are_not_json_objects_are_in_the_column_json(polars: Any) -> None:
    messages = readings({"a": 1, "text": "x"}, [1], "plain")
    messages += [Message([raw]) for raw in (b"{", b"", b"\xff", b'{"a": 2, "a": 3}')]
    frame = to_polars(messages, json=True)
    assert frame.columns == [*COLUMNS, "a", "json.text", "json"]
    assert frame["a"].to_list() == [1, None, None, None, None, None, 3]
    assert frame["json.text"].to_list()[:2] == ["x", None]
    assert frame["json"].to_list() == [None, "[1]", '"plain"', None, None, None, None]
    assert polars.Series(["{", "", "\ufffd"]).equals(frame["text"][3:6])


def test_the_number_of_columns_from_json_keys_is_limited() -> None:
    table = MessageTable(readings(*({f"k{number}": number} for number in range(5000))), json=True)
    assert len(table.column_names) == len(COLUMNS) + 256 + 1
    assert table.column_names[-1] == "json"


def test_deeply_nested_json_is_converted() -> None:
    deep = Message([b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"])
    broken = Message([b'{"a": ' + b"[" * 100_000])
    table = MessageTable([deep, broken], json=True)
    assert table.column_names == [*COLUMNS, "a"]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (5, "source is a list of messages, a TranscriptReader, a Transcript or a path, not int"),
        (None, "not NoneType"),
        ([MESSAGES[0], "Hello"], "an item of source is a Message, not str"),
        (MESSAGES[0], r"expected a list: pass \[message\]"),
    ],
)
def test_an_invalid_source_is_refused(source: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        MessageTable(source)


def test_the_error_of_a_missing_file_names_it(tmp_path: Path) -> None:
    with pytest.raises(ZmqChatError, match=r"none\.log"):
        MessageTable(tmp_path / "none.log")


def test_an_exception_of_an_iterator_is_raised() -> None:
    def broken() -> Any:
        yield MESSAGES[0]
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        MessageTable(broken())


def test_ctrl_c_ends_a_long_conversion(run_python: RunPython) -> None:
    script = """
        import itertools, os, signal
        from zmqchat_rs import Message, MessageTable

        def forever():
            yield Message([b"x"])
            os.kill(os.getpid(), signal.SIGINT)
            yield from itertools.repeat(Message([b"x"]))

        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            MessageTable(forever())
        except KeyboardInterrupt:
            print("interrupted")
    """
    assert run_python(script) == (0, "interrupted\n", "")


def test_threads_can_share_a_table(pyarrow: Any) -> None:
    table = MessageTable(MESSAGES * 1000, json=True)
    start = threading.Barrier(4)

    def read() -> int:
        start.wait(TIMEOUT)
        return sum(len(pyarrow.table(table)["text"].combine_chunks()) for _ in range(20))

    readers = [Background(read) for _ in range(4)]
    assert [reader.result() for reader in readers] == [20 * len(table)] * 4


def test_a_table_has_a_column_with_the_kind_of_each_message(pandas: Any) -> None:
    kinds = ["action", "here"]
    messages = [Message([b"room1:", stamp(0, "room1", kind=kind)]) for kind in kinds]
    frame = to_pandas([Message([b"room1:"], topic="room1"), *messages])
    assert frame.kind.tolist() == [pandas.NA, *kinds]
