"""Checks of arguments; the errors show what to pass instead."""

from __future__ import annotations

import functools
import math
import operator
from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from typing import Callable, Mapping

_Init = TypeVar("_Init", bound="Callable[..., None]")


def number(what: str, value: float) -> float:
    """Check that an argument is a number.

    Args:
        what: The argument's name.
        value: The argument.

    Returns:
        The number as a float; infinity if it is too large for a float.

    Raises:
        TypeError: If it is not a number.
    """
    try:
        # Unlike `float`, this does not accept text.
        return math.fsum((value,))
    except OverflowError:
        return math.inf if value > 0 else -math.inf
    except TypeError:
        raise TypeError(f"{what} is a number, not {type(value).__name__}") from None


def whole(what: str, value: int) -> int:
    """Check that an argument is an integer.

    Args:
        what: The argument's name.
        value: The argument.

    Returns:
        The number as an int.

    Raises:
        TypeError: If it is not an integer, or is True or False.
    """
    if not isinstance(value, bool):
        try:
            return operator.index(value)
        except TypeError:
            pass
    raise TypeError(f"{what} is a whole number, not {type(value).__name__}")


def seconds(what: str, value: float | None) -> float | None:
    """Check a timeout.

    Args:
        what: The argument's name.
        value: Seconds, or None for no limit.

    Returns:
        The timeout as a float, or None.

    Raises:
        TypeError: If it is not a number.
        ValueError: If it is negative or NaN.
    """
    if value is None:
        return None
    checked = number(what, value)
    if not checked >= 0:  # NaN too
        raise ValueError(f"{what} is {value}: use 0 or more seconds, or None for no limit")
    return checked


def function(what: str, value: object, takes: str) -> None:
    """Check a callback.

    Args:
        what: The argument's name.
        value: The callback, or None.
        takes: A description of its argument.

    Raises:
        TypeError: If it cannot be called.
    """
    if value is not None and not callable(value):
        raise TypeError(f"{what} is a function that takes {takes}, or None")


def helpful_arguments(second: str, instead: Mapping[str, str]) -> Callable[[_Init], _Init]:
    """Decorate a constructor with `name` as its only positional argument: errors name a remedy.

    Args:
        second: The keyword that a second positional value is probably meant for.
        instead: Advice for keywords that the constructor does not have.

    Returns:
        The decorator; it does not change the signature.
    """

    def decorate(init: _Init) -> _Init:
        known = ["name", *(init.__kwdefaults__ or ())]

        @functools.wraps(init)
        def checked(self: object, *values: object, **named: object) -> None:
            kind = type(self).__name__
            if len(values) > 1:
                raise TypeError(
                    f"only the name is positional: {kind}({values[0]!r}, {second}={values[1]!r})"
                )
            for keyword in named:
                if keyword not in known:
                    import difflib  # noqa: PLC0415 - for this error alone

                    close = difflib.get_close_matches(keyword, known, 1)
                    similar = f"did you mean {close[0]}=?" if close else None
                    advice = instead.get(keyword) or similar or f"it takes {', '.join(known)}"
                    raise TypeError(f"{kind} has no argument '{keyword}': {advice}")
            if not values and "name" not in named:
                raise TypeError(f'the name is missing: pass a name, as in {kind}("alice")')
            init(self, *values, **named)

        return cast("_Init", checked)

    return decorate
