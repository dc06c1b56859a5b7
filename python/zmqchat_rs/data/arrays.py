"""NumPy arrays as payloads, in the format of ``numpy.save``.

The format is a header with dtype and shape, and the bytes of the values; every language has a
reader for it (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html).

A header is parsed with patterns and never evaluated, and nothing is unpickled. An array needs no
more memory than its payload.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

from zmqchat_rs._core import Message

from .tables import library

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import ArrayLike, NDArray
    from typing_extensions import Buffer

_MAGIC = b"\x93NUMPY"
_START = 10
# The alignment of the values, so that NumPy can read them in place.
_ALIGN = 64
# The same limit as NumPy.
_LONGEST_HEADER = 10_000
# The supported dtypes: booleans, integers, floats, complex numbers, times, and text and bytes of
# fixed length. Objects are pointers, and the headers of structures would need an evaluation.
_KINDS = "biufcmMSU"
_HEADER = re.compile(r"\{(.*)\}\s*", re.ASCII | re.DOTALL)
_ITEM = re.compile(
    r"""\s*(?:
        (['"])descr\1 \s*:\s* (['"])(?P<descr>[<>|=][biufcmMSU][1-9]\d{0,8}(?:\[\w{1,20}\])?)\2
      | (['"])fortran_order\4 \s*:\s* (?P<fortran>True|False)
      | (['"])shape\6 \s*:\s* \((?P<shape>[\d\s,]*)\)
    )\s*(?:,|$)\s*""",
    re.ASCII | re.VERBOSE,
)

# The content of a tuple: nothing, one length and a comma, or several lengths.
_SHAPE = re.compile(r"\s*(?:\d{1,20}\s*,\s*(?:\d{1,20}\s*,\s*)*(?:\d{1,20}\s*)?)?", re.ASCII)


def pack_array(array: ArrayLike) -> bytes:
    """Turn a NumPy array into a payload: ``pub.send(pack_array(frame), topic="cam")``.

    The payload is what ``numpy.save`` writes, so that any other program can read it:
    ``numpy.load(io.BytesIO(payload))``.

    Args:
        array: The array, or an argument of `numpy.asarray`, with any shape and byte order, of
            booleans, numbers, times, or text or bytes of fixed length.

    Returns:
        The payload: dtype, shape and a copy of the values.

    Raises:
        TypeError: If the dtype has Python objects or several fields, or the array is masked.
        ImportError: If NumPy is missing; the text says what to install.
    """
    numpy = library("numpy")
    if isinstance(array, numpy.ma.MaskedArray):
        raise TypeError("a masked array loses its mask: send array.filled(...) instead")
    plain = numpy.asarray(array)
    if plain.dtype.kind not in _KINDS or not plain.dtype.itemsize:
        raise TypeError(
            f"arrays of dtype {plain.dtype} are not sent: convert it first, for example with "
            "array.astype(float); send the fields of a structure one by one"
        )
    fortran = plain.flags.f_contiguous and not plain.flags.c_contiguous
    header = (
        f"{{'descr': {plain.dtype.str!r}, 'fortran_order': {fortran}, 'shape': {plain.shape!r}, }}"
    ).encode("latin-1")
    # A line break ends it; blanks before that align what follows.
    padding = -(_START + len(header) + 1) % _ALIGN
    length = len(header) + padding + 1
    return b"".join(
        (
            _MAGIC,
            b"\x01\x00",
            length.to_bytes(2, "little"),
            header,
            b" " * padding,
            b"\n",
            plain.tobytes("F" if fortran else "C"),
        )
    )


def unpack_array(source: Message | Buffer, *, copy: bool = True) -> NDArray[Any]:
    """Return the NumPy array of a payload from `pack_array` or ``numpy.save``.

    Nothing is unpickled or evaluated. An incomplete payload is refused before memory is allocated,
    so untrusted senders can do no harm.

    Args:
        source: The message, or the payload's bytes.
        copy: Whether to copy the values. False returns a read-only view of the payload.

    Returns:
        The array, with the original dtype, byte order and shape.

    Raises:
        ValueError: If the payload is not an array, is incomplete, or has Python objects or several
            fields.
        TypeError: If `source` is neither a message nor bytes.
        ImportError: If NumPy is missing; the text says what to install.
    """
    numpy = library("numpy")
    if isinstance(source, Message):
        data = source.view
    else:
        try:
            # A view of one byte each also where its owner has other items.
            view = memoryview(source)
            data = view.cast("B") if view.nbytes else memoryview(b"")
        except TypeError:
            raise TypeError(
                f"source is a Message or its bytes, not {type(source).__name__}"
            ) from None
    advice = source._unsplit_advice() if isinstance(source, Message) else None  # noqa: SLF001
    start, descr, fortran, shape = _header(data, advice)
    try:
        dtype = numpy.dtype(descr)
    except (TypeError, ValueError):
        raise ValueError(f"this machine's NumPy knows no dtype {descr!r}") from None
    count = 1
    for length in shape:
        count *= length
    # Zeros may hide a length that is too large for NumPy.
    extent = dtype.itemsize
    for length in shape:
        extent *= length or 1
    if len(shape) > 32 or extent > sys.maxsize:  # noqa: PLR2004 - NumPy's limit before 2.0
        raise ValueError(f"an array of shape {_short(shape)} is more than there can be")
    if count * dtype.itemsize != len(data) - start:
        raise ValueError(
            f"the payload is not whole: shape {_short(shape)} of {descr} takes "
            f"{count * dtype.itemsize} bytes, and there are {len(data) - start}"
        )
    flat: NDArray[Any] = numpy.frombuffer(data[start:].toreadonly(), dtype)
    array = flat.reshape(shape, order="F" if fortran else "C")
    if copy:
        return array.copy(order="K")
    if not array.flags.aligned:
        # Another program's header may leave the values where processors read them slowly.
        array = array.copy(order="K")
        array.setflags(write=False)
    return array


def _header(data: memoryview, advice: str | None) -> tuple[int, str, bool, tuple[int, ...]]:
    """Read where the values begin, the dtype, whether it is Fortran's order, and the shape."""
    # After the magic bytes come the version and the length of the header.
    if bytes(data[:6]) != _MAGIC or len(data) < _START or data[6] not in {1, 2, 3}:
        text = "the payload holds no array: it was not made by pack_array or numpy.save"
        raise ValueError(f"{text}; {advice}" if advice else text)
    width = 2 if data[6] == 1 else 4
    start = 8 + width
    length = int.from_bytes(data[8:start], "little")
    if length > _LONGEST_HEADER or start + length > len(data):
        raise ValueError("the payload is not whole: its header goes on beyond its end")
    text = bytes(data[start : start + length]).decode("latin-1")
    found = _fields(text)
    if found is None:
        raise ValueError(
            "the payload holds an array that is not read: arrays of numbers, times, fixed text or "
            "bytes are, those of Python objects or of several fields are not"
        )
    return (start + length, *found)


def _fields(text: str) -> tuple[str, bool, tuple[int, ...]] | None:
    """Read the three fields of a header; None where there is anything else."""
    whole = _HEADER.fullmatch(text.strip(" "))
    if whole is None:
        return None
    body = whole[1].strip()
    fields: dict[str, str] = {}
    at = 0
    while at < len(body):
        item = _ITEM.match(body, at)
        if item is None:
            return None
        name = next(name for name in ("descr", "fortran", "shape") if item[name] is not None)
        if name in fields:
            return None
        fields[name] = item[name]
        at = item.end()
    if len(fields) != 3:  # noqa: PLR2004
        return None
    shape = _SHAPE.fullmatch(fields["shape"])
    if shape is None:
        return None
    lengths = tuple(int(length) for length in re.findall(r"\d+", shape[0], re.ASCII))
    return fields["descr"], fields["fortran"] == "True", lengths


def _short(shape: tuple[int, ...]) -> str:
    text = str(shape)
    return text if len(text) <= 60 else f"{text[:60]}…"  # noqa: PLR2004
