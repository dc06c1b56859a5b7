"""NumPy arrays are sent as messages and received with the same dtype and shape."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers.timeouts import TIMEOUT
from zmqchat_rs import Message, pack_array, unpack_array

np = pytest.importorskip("numpy", reason="NumPy is not installed")

if TYPE_CHECKING:
    from tests.conftest import Pair
    from tests.helpers.scripts import RunPython

ARRAYS = [
    np.arange(12, dtype="uint8").reshape(3, 4),
    np.arange(12, dtype="<i4").reshape(2, 3, 2),
    np.arange(12, dtype=">f8").reshape(3, 4),
    np.asfortranarray(np.arange(12, dtype="float32").reshape(3, 4)),
    np.arange(24).reshape(4, 6)[::2, ::-3],
    np.array(2.5),
    np.empty((0, 3), dtype="int16"),
    np.empty((3, 0), order="F"),
    np.array([True, False]),
    np.array([1 + 2j]),
    np.array(["é", "bc"]),
    np.array([b"a", b"bcd"]),
    np.array(["2026-01-31T12:03:11", "NaT"], dtype="M8[ns]"),
    np.array([5], dtype="m8[25s]"),
    np.float16(1.5) * np.ones(3, dtype="float16"),
    np.broadcast_to(np.arange(3), (2, 3)),
]


def same(first: Any, second: Any) -> bool:
    return bool(
        first.dtype == second.dtype
        and first.shape == second.shape
        and first.tobytes() == second.tobytes()
    )


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}{array.shape}")
def test_an_array_is_unpacked_with_its_dtype_and_shape(array: Any) -> None:
    payload = pack_array(array)
    assert same(unpack_array(payload), array)
    # The format is NumPy's own: `np.load` reads the payload, and files of `np.save` are unpacked.
    assert same(np.load(io.BytesIO(payload), allow_pickle=False), array)
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    assert same(unpack_array(file.getvalue()), array)
    for version in ((2, 0), (3, 0)):
        file = io.BytesIO()
        np.lib.format.write_array(file, array, version=version, allow_pickle=False)
        assert same(unpack_array(file.getbuffer()), array)


def test_lists_and_numbers_are_packed_as_arrays() -> None:
    assert same(unpack_array(pack_array([[1, 2], [3, 4]])), np.array([[1, 2], [3, 4]]))
    assert same(unpack_array(pack_array(2.5)), np.array(2.5))


def test_an_image_is_received_unaltered(pair: Pair) -> None:
    picture = np.random.default_rng(1).integers(0, 255, (48, 64, 3), dtype="uint8")
    # Subscriptions arrive in this order: when the publisher has "cam", it has the prefix as well.
    pair.subscriber.subscribe(prefix=b"")
    pair.subscriber.subscribe("cam")
    pair.publisher.wait_for_subscribers(1, topic="cam", timeout=TIMEOUT)
    pair.publisher.send(pack_array(picture), topic="cam")
    pair.publisher.send(pack_array(picture[::2]))
    first, second = (pair.subscriber.recv(timeout=TIMEOUT) for _ in range(2))
    assert (first.topic, second.topic) == ("cam", None)
    assert same(unpack_array(first), picture)
    assert same(unpack_array(second), picture[::2])


def test_an_unpacked_array_is_writable_unless_copy_is_false() -> None:
    message = Message(
        [b"cam:" + pack_array(np.arange(6, dtype=float).reshape(2, 3).T)], topic="cam"
    )
    array = unpack_array(message)
    array += 1
    assert array.flags.f_contiguous
    view = unpack_array(message, copy=False)
    assert view[1, 1] == 4
    assert not view.flags.writeable
    assert view.flags.aligned
    with pytest.raises(ValueError, match="read-only"):
        view += 1
    buffer = bytearray(pack_array(np.arange(3)))
    assert not unpack_array(buffer, copy=False).flags.writeable


def npy(header: str, data: bytes = b"", *, version: int = 1) -> bytes:
    text = header.encode("latin-1")
    length = len(text).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + length + text + data


def fields(descr: str = "'<i4'", shape: str = "(2,)", fortran: str = "False") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n"


def test_headers_of_other_npy_writers_are_read() -> None:
    data = b"\1\0\0\0\2\0\0\0"
    for header in (
        fields(),
        '{"shape": (2, ), "fortran_order": False, "descr": "<i4"}',
        "{'descr':'<i4','fortran_order':True,'shape':(2,1)}   \n",
        " { 'fortran_order' : False , 'descr' : '<i4' , 'shape' : ( 1 , 2 ) } \n",
    ):
        assert unpack_array(npy(header, data)).ravel().tolist() == [1, 2]
        assert unpack_array(npy(header, data, version=2), copy=False).sum() == 3


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"", "holds no array"),
        (b"Hello", "holds no array"),
        (b"\x93NUMPY", "holds no array"),
        (b"\x93NUMPY\x04\x00" + bytes(80), "holds no array"),
        (b"\x93NUMPY\x01\x00\xff\xff", "its header goes on"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + bytes(20_000), "its header goes on"),
        (pack_array([1, 2])[:-1], "takes 16 bytes, and there are 15"),
        (pack_array([1, 2]) + b"x", "takes 16 bytes, and there are 17"),
        (npy(fields("'|O'"), bytes(16)), "Python objects"),
        (npy(fields("[('a', '<i4'), ('b', '|O')]"), bytes(8)), "several fields"),
        (npy(fields("[('a', '<i4')]"), bytes(8)), "several fields"),
        (npy(fields("'<i3'"), bytes(6)), "knows no dtype '<i3'"),
        (npy(fields("'<M8[parsec]'"), bytes(16)), "knows no dtype"),
        (npy(fields("'|S0'")), "is not read"),
        (npy(fields("'|V8'"), bytes(16)), "is not read"),
        (npy(fields("'i4, i4'"), bytes(16)), "is not read"),
        (npy(fields("'|S999999999'", "(1,)")), "takes 999999999 bytes"),
        (npy(fields(shape="(-2,)"), bytes(8)), "is not read"),
        (npy(fields(shape="(2)"), bytes(8)), "is not read"),
        (npy(fields(shape="(2,,)"), bytes(8)), "is not read"),
        (npy(fields(shape="(,)"), bytes(8)), "is not read"),
        (npy(fields(shape="(2.0,)"), bytes(8)), "is not read"),
        (npy(fields(shape="(True,)"), bytes(4)), "is not read"),
        (npy(fields(shape="[2]"), bytes(8)), "is not read"),
        (npy(fields(shape="(99999999999999999999999,)"), bytes(8)), "is not read"),
        (npy(fields(shape="(4611686018427387904, 4)"), bytes(8)), "more than there can be"),
        (npy(fields(shape="(9223372036854775807, 0)")), "more than there can be"),
        (npy(fields(shape=f"({'1,' * 65})"), bytes(4)), "more than there can be"),
        (npy(fields(shape="(1000000000,)"), bytes(8)), "takes 4000000000 bytes"),
        (npy(fields(fortran="1"), bytes(8)), "is not read"),
        (npy("{'descr': '<i4', 'shape': (2,)}", bytes(8)), "is not read"),
        (npy("{'descr': '<i4', " + fields()[1:], bytes(8)), "is not read"),
        (npy("{'x': 1, " + fields()[1:], bytes(8)), "is not read"),
        (npy(fields().replace("(2,)", "(__import__('os'),)"), bytes(8)), "is not read"),
        (npy("(" * 9000, bytes(8)), "is not read"),
        (npy("{" + "}" * 9000 + " " * 900 + "x", bytes(8)), "is not read"),
        (npy("", bytes(8)), "is not read"),
    ],
)
def test_an_invalid_payload_is_refused(payload: bytes, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        unpack_array(payload)
    with pytest.raises(ValueError, match=text):
        unpack_array(Message([b"cam:" + payload], topic="cam"), copy=False)


def test_an_array_of_a_message_without_a_topic_is_refused_with_advice() -> None:
    message = Message([b"cam:" + pack_array(np.arange(3))])
    with pytest.raises(ValueError, match="holds no array") as caught:
        unpack_array(message)
    for advice in ("topic 'cam'", "topics=['cam']", "split_topics=True"):
        assert advice in str(caught.value)
    with pytest.raises(ValueError, match="holds no array") as caught:
        unpack_array(Message([b"cam:Hello"], topic="cam"))
    assert "split_topics" not in str(caught.value)


def test_a_corrupted_payload_raises_only_value_error() -> None:
    rng = np.random.default_rng(1)
    good = bytearray(pack_array(np.arange(4, dtype="<i2")))
    for _ in range(5000):
        payload = bytearray(good)
        for place in rng.integers(0, len(payload), rng.integers(1, 4)):
            payload[place] = rng.integers(0, 256)
        try:
            unpack_array(payload)
        except ValueError:
            continue


@pytest.mark.parametrize(
    "array",
    [
        np.array([object()]),
        np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")]),
        np.zeros(2, dtype="V4"),
        np.ma.masked_array([1, 2], mask=[True, False]),
    ],
    ids=["objects", "records", "void", "masked"],
)
def test_arrays_of_objects_records_and_masks_are_refused(array: Any) -> None:
    with pytest.raises(TypeError, match=r"instead|not sent"):
        pack_array(array)


def test_unpacking_refuses_an_argument_that_is_not_a_message_or_bytes() -> None:
    for wrong in ("text", 5, None):
        with pytest.raises(TypeError, match="a Message or its bytes, not"):
            unpack_array(wrong)  # type: ignore[arg-type]


def test_the_error_without_numpy_names_the_package_to_install(run_python: RunPython) -> None:
    script = """
        import sys
        sys.modules["numpy"] = None
        from zmqchat_rs import pack_array, unpack_array
        for call in (pack_array, unpack_array):
            try:
                call(b"")
            except ImportError as error:
                print(error)
    """
    expected = "this needs numpy, which is not installed here: pip install numpy\n"
    assert run_python(script) == (0, expected * 2, "")
