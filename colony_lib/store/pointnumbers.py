"""Numbers in decimal, many at a time: arrays of digits become the floats that `float` makes of each."""

from __future__ import annotations

import numpy as np

from colony_lib.base import jsontext
from colony_lib.base.errors import ColonyError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ZEROS = np.frombuffer(b"0" * 8, "<u8")
_HIGH = np.uint64(0x8080808080808080)
# Two digits become one number, two of these become one, and so the eight of a word: what the first counts, where the
# second stands, and the bits of the sum.
_STEPS = [
    (np.uint64(10), np.uint64(8), np.uint64(0x00FF00FF00FF00FF)),
    (np.uint64(100), np.uint64(16), np.uint64(0x0000FFFF0000FFFF)),
    (np.uint64(10_000), np.uint64(32), np.uint64(0x00000000FFFFFFFF)),
]
_TENS = np.array([10**i for i in range(20)], np.uint64)
_FLOAT_TENS = np.array([10.0**i for i in range(20)])
_FIVES = np.array([5**i for i in range(20)], np.int64)


def whole(words: Any, masks: Any) -> tuple[Any, Any]:
    """The whole numbers whose digits end the rows of words, which are used up, and whether they are digits; `masks`
    leave the digits."""
    words ^= _ZEROS
    words &= masks
    other = words + np.uint64(0x7676767676767676)  # in place from here on: arrays that are new each time cost more
    other |= words
    other &= _HIGH
    fits = none(other)
    for weight, bits, kept in _STEPS:
        np.right_shift(words, bits, out=other)
        words *= weight
        words += other
        words &= kept
    number = words[:, 0]
    for column in range(1, words.shape[1]):
        number = number * np.uint64(100_000_000) + words[:, column]
    return number, fits


def decimals(left: Any, right: Any, places: Any) -> Any:
    """The floats nearest to left.right, where so many digits stand on the right and at most 19 in all."""
    return _quotients(left * _TENS[places] + right, places)


def none(words: Any) -> Any:
    """Whether the rows are nothing but zeros: for each, or True for all."""
    return (words == 0).all(axis=1) if words.any() else True


def _quotients(numbers: Any, places: Any) -> Any:
    """The floats nearest to numbers / 10**places, as `float` reads them.

    Up to 2**53 the division of two exact floats rounds once. A larger number's first quotient is M·2**e and may be
    off by one in its last place: n·2**s - M·5**places, with s = -e-places, tells. It is small, so that arithmetic
    which drops all but 64 bits has it exactly.
    """
    quotients = numbers.astype(np.float64) / _FLOAT_TENS[places]
    large = np.flatnonzero(numbers > np.uint64(1 << 53))
    if len(large):
        number, place = numbers[large], places[large]
        fraction, exponent = np.frexp(quotients[large])
        mantissa = (fraction * 2.0**53).astype(np.int64)
        shift = 53 - exponent - place
        up, down = np.maximum(shift, 0).astype(np.uint64), np.maximum(-shift, 0)
        unit = _FIVES[place] << down
        off = (number << up).view(np.int64) - mantissa * unit
        odd = mantissa & 1  # halfway between two floats it is the even one
        mantissa += (2 * off + odd > unit).astype(np.int64) - (2 * off - odd < -unit)
        # Below a power of two the floats lie closer: half a unit is no longer the bound there.
        careful = np.flatnonzero((mantissa <= 1 << 52) & (off < 0))
        quotients[large] = np.ldexp(mantissa.astype(np.float64), exponent - 53)
        for row in careful:
            quotients[large[row]] = int(number[row]) / 10 ** int(place[row])
    return quotients


def of_texts(texts: list[bytes]) -> Any:
    """The finite numbers that texts of JSON are; NaN for what is none."""
    try:
        # A text that held a comma or a bracket would show in the count or in a type.
        found = jsontext.loads(b"[" + b",".join(texts) + b"]")
        if len(found) == len(texts) and {*map(type, found)} <= {int, float}:
            return np.array(found, np.float64)
    except (ColonyError, OverflowError):
        pass
    return np.array([_number(text) for text in texts])


def _number(text: bytes) -> float:
    try:
        value = jsontext.loads(text)
        return float(value) if type(value) in (int, float) else np.nan
    except (ColonyError, OverflowError):
        return np.nan
