"""Messages as tables of pandas and Polars, made from a native `MessageTable`.

Both libraries are optional, and imported only when a function needs them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from zmqchat_rs._core import MessageTable

if TYPE_CHECKING:
    from os import PathLike
    from typing import Iterable, Union

    import pandas as pd
    import polars as pl

    from zmqchat_rs._core import Message, Transcript, TranscriptReader

    Source = Union[
        Iterable[Message], TranscriptReader, Transcript, MessageTable, str, "PathLike[str]"
    ]

# The dtypes of the native columns.
_NUMBERS = {"moment": "datetime64[ns]", "int": "int64", "uint": "uint64", "float": "float64"}


def to_pandas(source: Source, *, json: bool = False) -> pd.DataFrame:
    """Make a pandas DataFrame of messages: one row each, with correct dtypes and times in UTC.

    Args:
        source: A list or any other iterable of messages, a `TranscriptReader` (its remaining
            messages), a `Transcript`, or the path of one.
        json: Whether JSON payloads also become columns; see `MessageTable`.

    Returns:
        The DataFrame; `MessageTable.to_pandas` documents the dtypes.

    Raises:
        ImportError: If pandas is missing; the text says what to install.
        TypeError: If `source` has another type, or contains an object that is not a Message.
        ZmqChatError: If the file cannot be read; the text names it.
    """
    pandas = library("pandas")
    table = _table(source, json=json)
    columns = {name: _series(pandas, *column) for name, *column in table._columns()}  # noqa: SLF001
    frame: pd.DataFrame = pandas.DataFrame(columns)
    return frame


def to_polars(source: Source, *, json: bool = False) -> pl.DataFrame:
    """Make a Polars DataFrame of messages: one row each, with correct types and times in UTC.

    Args:
        source: A list or any other iterable of messages, a `TranscriptReader` (its remaining
            messages), a `Transcript`, or the path of one.
        json: Whether JSON payloads also become columns; see `MessageTable`.

    Returns:
        The DataFrame.

    Raises:
        ImportError: If Polars is missing; the text says what to install.
        TypeError: If `source` has another type, or contains an object that is not a Message.
        ZmqChatError: If the file cannot be read; the text names it.
    """
    polars = library("polars")
    frame: pl.DataFrame = polars.DataFrame(_table(source, json=json))
    return frame


def _table(source: Source, *, json: bool) -> MessageTable:
    return source if isinstance(source, MessageTable) else MessageTable(source, json=json)


def library(name: str) -> Any:  # noqa: ANN401 - an optional module
    """Import an optional library; the error says how to install it."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ImportError(
            f"this needs {name}, which is not installed here: pip install {name}", name=name
        ) from None


def _series(pd: Any, kind: str, values: Any, missing: bytes | None) -> object:  # noqa: ANN401
    """Make one column; `missing` has one byte per row, which is 1 for a missing value."""
    import numpy as np  # noqa: PLC0415 - pandas requires it

    if kind == "text":
        return pd.array(values, dtype="string")
    if kind == "bytes":
        return pd.Series(values, dtype=object)
    if kind == "bool":
        numbers = np.frombuffer(values, dtype=bool).copy()
    else:
        numbers = np.frombuffer(values, dtype=_NUMBERS[kind]).copy()
    mask = None if missing is None else np.frombuffer(missing, dtype=bool).copy()
    if kind == "moment":
        if mask is not None:
            numbers[mask] = np.datetime64("NaT", "ns")
        return pd.Series(numbers).dt.tz_localize("UTC")
    if kind == "uint":
        # Always nullable, so that the dtype does not depend on missing values.
        mask = np.zeros(len(numbers), dtype=bool) if mask is None else mask
    if mask is None or kind == "float":
        return numbers
    if kind == "bool":
        return pd.arrays.BooleanArray(numbers, mask)
    return pd.arrays.IntegerArray(numbers, mask)
