"""How the lines of a metric's journal are spelled, and the points of many lines of one form, taken apart together."""

from __future__ import annotations

from functools import cache

import numpy as np

from colony_lib.store import pointnumbers, pointrows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BEFORE = 64  # bytes of the room before the lines, for a number is read backwards from its end
AFTER = 4096  # bytes of it behind them, for a field is looked for where the form puts it
HEAD = 1024  # bytes of a line up to the end of its fields
TAIL = 1024  # bytes of what follows them
NUMBER = 24  # characters of a number
TAILS = 4096  # ends of lines that one form knows: where there are more, they are no labels but data
COLUMNS = ("ids", "times", "keys", "values", "labels", "more")
_NAMES = ("id", "ts", "value")

TIME = np.frombuffer(pointrows.TIME, "<u8")
# What takes a byte of a time, its own character taken off, over 127 when it is no digit, or not that character.
_TIME_LIMIT = np.frombuffer(bytes(0x76 if char == ord("0") else 0x7F for char in pointrows.TIME), "<u8")
# What a time's digits weigh in YYYYMM, DDhhmm and SSmmm: numbers that are exact in a float of 32 bits.
_TIME_WEIGHTS = np.zeros((24, 3), np.float32)
for _column, _places in enumerate(([0, 1, 2, 3, 5, 6], [8, 9, 11, 12, 14, 15], [17, 18, 20, 21, 22])):
    _TIME_WEIGHTS[_places, _column] = [10.0 ** (len(_places) - 1 - i) for i in range(len(_places))]
_HIGH = np.uint64(0x8080808080808080)
_MIX = np.array([pow(0x9E3779B97F4A7C15, 2 * i + 1, 1 << 64) for i in range(TAIL // 8)], np.uint64)


class Block:
    """Points in the order of their lines, a column each: `ids` (words of 8 bytes, zeros behind), `times` (24 bytes),
    `keys` (numbers in the times' order), `values`, and the places of `labels` and `more` in the room's lists."""

    __slots__ = COLUMNS

    def __init__(self, ids: Any, times: Any, keys: Any, values: Any, labels: Any, more: Any) -> None:
        self.ids, self.times, self.keys = ids, times, keys
        self.values, self.labels, self.more = values, labels, more

    def __len__(self) -> int:
        return len(self.keys)

    def kept(self, keep: Any) -> Block:
        """The points that `keep` names or says yes to."""
        return Block(*(getattr(self, name)[keep] for name in COLUMNS))

    def id(self, place: int) -> bytes:
        """A point's id, as `pointrows` has it."""
        return bytes(self.ids[place].tobytes().rstrip(b"\0"))


class Room:
    """The bytes of some lines, with space around them, and the texts `labels` and `more` that points refer to."""

    __slots__ = ("_places", "bytes", "labels", "more")

    def __init__(self, size: int) -> None:
        self.bytes = bytearray(BEFORE + size + AFTER)
        self.labels: list[bytes] = []
        self.more: list[bytes] = []
        self._places: tuple[dict[bytes, int], dict[bytes, int]] = ({}, {})

    def place(self, which: int, text: bytes) -> int:
        """Where the text stands in `labels` (0) or `more` (1)."""
        places = self._places[which]
        if text not in places:
            places[text] = len(places)
            (self.labels, self.more)[which].append(text)
        return places[text]

    def window(self, at: Any, size: int) -> Any:
        """The bytes from each of the offsets on, a row of `size` bytes each."""
        every = np.ndarray((len(self.bytes) - size + 1,), f"V{size}", buffer=self.bytes, strides=(1,))
        return every[at].view(np.uint8).reshape(-1, size)

    def words(self, at: Any, size: int) -> Any:
        """The `size` bytes from each of the offsets on, as words of 8 bytes, zeros behind."""
        width = -(-size // 8)
        words = self.window(at, 8 * width).view("<u8")
        if size % 8:
            words[:, -1] &= _first(1)[size % 8, 0]
        return words


class Form:
    """A way to spell lines: `id`, `ts` and `value` in this or another order, with the same bytes before and between
    them in every line. What follows the last of them (labels as a rule) is read once for each text that it is."""

    __slots__ = ("_hashes", "_head", "_lengths", "_parts", "_point", "_room", "_said", "_stop", "_tails", "fitted")

    def __init__(self, room: Room, line: bytes, fields: list[tuple[int, int, str]]) -> None:
        """`fields`: where they begin and end in the line, in their order."""
        self._room = room
        self._point = pointrows.point(line)[:3]
        self.fitted = 0  # lines, when it was last tried
        self._parts: list[tuple[bytes, str, int]] = []  # bytes before a field, its name and its length
        end = 0
        for start, stop, name in fields:
            self._parts.append((line[end:start], name, stop - start))
            end = stop
            if name == "value":
                self._stop = line[stop]  # the byte after the number
        self._head = line[:end]
        # The tails that are known, in the order of their hashes: words, lengths, and the places of what they say.
        self._hashes = np.zeros(0, np.uint64)
        self._tails = np.zeros((0, 1), np.uint64)
        self._lengths = np.zeros(0, np.int64)
        self._said = np.zeros((0, 2), np.int64)

    @classmethod
    def of(cls, line: bytes, room: Room) -> Form | None:
        """The form of the line, where it is a point whose fields can be found by their places."""
        if b"\\" in line or not isinstance(pointrows.point(line), tuple):
            return None
        fields = sorted(filter(None, (_field(line, name) for name in _NAMES)))
        if len(fields) < len(_NAMES) or fields[-1][1] > HEAD:
            return None
        return cls(room, line, fields)

    def take(self, rest: Any, starts: Any, ends: Any, parts: list[tuple[Any, Block]]) -> Any:
        """Adds the points of the lines that have this form to the parts, and returns the others of `rest`."""
        room = self._room
        at = starts[rest]
        fits = np.ones(len(rest), bool)
        for before, name, size in self._parts:
            expected = np.frombuffer(before.ljust(-(-len(before) // 8) * 8, b"\0"), "<u8")
            for column, word in zip(room.words(at, len(before)).T, expected):
                fits &= column == word
            if not fits.any():
                self.fitted = 0
                return rest
            at = at + len(before)
            if name == "id":
                ids = room.words(at, size)
                fits &= _plain(ids, size)
            elif name == "ts":
                times = room.window(at, size)
                digits = times.view("<u8") ^ TIME
                fits &= pointnumbers.none((digits + _TIME_LIMIT | digits) & _HIGH)
            else:
                values, size = self._numbers(at, fits)
            at = at + size
        said = self._ends(at, ends[rest], fits)
        fits &= said[:, 0] >= 0
        self.fitted = int(fits.sum())
        if self.fitted:
            block = Block(ids, times, keys(digits), values, *said.T.astype(np.uint32))
            parts.append((rest, block) if self.fitted == len(rest) else (rest[fits], block.kept(fits)))
        return rest[~fits]

    def _numbers(self, at: Any, wanted: Any) -> tuple[Any, Any]:
        """The values and lengths of the numbers that begin at the offsets; `wanted` is false then where is none."""
        room = self._room
        chars = room.window(at, NUMBER + 1)
        size = (chars == self._stop).argmax(axis=1)  # 0: none, or no stop so soon
        dot = (chars == ord(".")).argmax(axis=1)
        dot[dot > size] = 0  # 0: none, for no number begins with one
        minus = chars[:, 0] == ord("-")
        end = np.where(dot, dot, size)
        whole, part = end - minus, np.where(dot, size - dot - 1, 0)
        left, fits = self._whole(at + end, whole)
        right, digits = self._whole(at + size, part)
        fits &= digits & (whole > 0) & ((part > 0) | (dot == 0)) & (whole + part < 20)
        zero = np.where(minus, chars[:, 1], chars[:, 0]) == ord("0")
        fits &= ~zero | (whole == 1)
        part[~fits] = 0
        values = pointnumbers.decimals(left, right, part)
        np.negative(values, out=values, where=minus)
        others = np.flatnonzero(wanted & ~fits & (size > 0))  # with an exponent, or with more digits
        if len(others):
            texts = [text[:length] for text, length in zip(chars[others].view(f"S{NUMBER + 1}")[:, 0], size[others])]
            read = pointnumbers.of_texts(texts)
            values[others] = read
            fits[others] = ~np.isnan(read)
        wanted &= fits
        return values, size

    def _whole(self, end: Any, count: Any) -> tuple[Any, Any]:
        """The whole numbers of so many digits that end there, and whether they are any; of at most 19."""
        width = int(np.clip(-(-count.max() // 8), 1, 3))
        words = self._room.window(end - 8 * width, 8 * width).view("<u8")
        number, fits = pointnumbers.whole(words, _last(width).take(np.clip(count, 0, 8 * width), axis=0))
        return number, fits & (count < 20)

    def _ends(self, at: Any, ends: Any, fits: Any) -> Any:
        """The places of labels and of what else the lines say from the offsets on; -1 where that is not known."""
        sizes = np.where(fits, ends - at, 0)
        sizes[sizes > TAIL] = 0
        width = -(-int(sizes.max(initial=1)) // 8) or 1
        words = self._room.window(at, 8 * width).view("<u8")
        words &= _first(width).take(sizes, axis=0)
        hashes = hashed(words)
        place, known = self._look_up(hashes)
        new = np.flatnonzero(~known & (sizes > 0))
        if len(new):
            new = new[np.unique(hashes[new], return_index=True)[1]]
            if len(self._hashes) + len(new) <= TAILS:
                self._get_to_know(hashes[new], words[new], sizes[new], [self._read(at[i], sizes[i]) for i in new])
                place, known = self._look_up(hashes)
        if not len(self._hashes):
            return np.full((len(at), 2), -1)
        known &= self._lengths[place] == sizes
        width = max(self._tails.shape[1], words.shape[1])
        known &= _all(widened(words, width), widened(self._tails, width).take(place, axis=0))
        said = self._said.take(place, axis=0)
        said[~known] = -1
        return said

    def _look_up(self, hashes: Any) -> tuple[Any, Any]:
        """Where the tails may stand, and whether there is one of the hash."""
        if not len(self._hashes):
            return np.zeros(len(hashes), np.int64), np.zeros(len(hashes), bool)
        place = np.searchsorted(self._hashes, hashes)
        place[place == len(self._hashes)] = 0
        return place, self._hashes[place] == hashes

    def _get_to_know(self, hashes: Any, words: Any, sizes: Any, said: list[tuple[int, int]]) -> None:
        width = max(self._tails.shape[1], words.shape[1])
        every = np.concatenate([self._hashes, hashes])
        order = np.argsort(every)
        self._hashes = every[order]
        self._tails = np.concatenate([widened(self._tails, width), widened(words, width)])[order]
        self._lengths = np.concatenate([self._lengths, sizes])[order]
        self._said = np.concatenate([self._said, np.array(said, np.int64).reshape(-1, 2)])[order]

    def _read(self, at: int, size: int) -> tuple[int, int]:
        """The places of what a tail says, or (-1, -1) when it has a say in the fields before it, or is none."""
        tail = bytes(self._room.bytes[at : at + size])
        if b"\\" in tail or any(f'"{name}"'.encode() in tail for name in _NAMES):
            return -1, -1
        row = pointrows.point(self._head + tail)
        if not isinstance(row, tuple) or row[:3] != self._point:
            return -1, -1
        return self._room.place(0, row[3]), self._room.place(1, row[4])


def _field(line: bytes, name: str) -> tuple[int, int, str] | None:
    """(begin, end, name) of the value of the line's only key of that name, without quotes."""
    word = f'"{name}"'.encode()
    if line.count(word) != 1:
        return None
    at = line.index(word) + len(word)
    after = line[at:].lstrip(b" ")
    value = after[1:].lstrip(b" ")
    begin = len(line) - len(value)
    if after[:1] != b":":
        return None
    if name == "value":
        size = len(value) - len(value.lstrip(b"0123456789.eE+-"))
    else:
        begin += 1
        size = value.find(b'"', 1) - 1
        if value[:1] != b'"' or size > pointrows.LONGEST_ID or (name == "ts" and size != 24):
            return None
    return (begin, begin + size, name) if size > 0 else None


def _plain(words: Any, size: int) -> Any:
    """Whether the texts of that many bytes are ASCII that stands for itself in JSON: for each, or True for all."""
    chars = words.view(np.uint8).copy()
    chars[:, size:] = ord("x")
    if chars.min() >= 32 and chars.max() < 127 and not (chars == ord('"')).any() and not (chars == ord("\\")).any():
        return True
    return ((chars >= 32) & (chars < 127) & (chars != ord('"')) & (chars != ord("\\"))).all(axis=1)


def keys(digits: Any) -> Any:
    """Numbers in the order of the times, which are given by their digits with zeros between."""
    digits = digits.view(np.uint8).astype(np.float32)
    months, minutes, milliseconds = (digits @ _TIME_WEIGHTS).astype(np.int64).T
    return (months * 1_000_000 + minutes) * 100_000 + milliseconds


def key(time: bytes) -> int:
    """The number of one time; of b"" one that is less than any."""
    return int(keys(np.frombuffer(time, "<u8").reshape(1, 3) ^ TIME)[0]) if time else -1


def hashed(words: Any) -> Any:
    """A number for each row of words; zeros behind do not change it. Rows of different numbers differ."""
    mixed = np.zeros(len(words), np.uint64)
    for column in range(words.shape[1]):
        word = words[:, column] >> np.uint64(32)
        word ^= words[:, column]
        word *= _MIX[column]
        mixed ^= word
    return mixed


def widened(words: Any, width: int) -> Any:
    """The rows of words with zeros behind, so that they have that width."""
    return np.pad(words, ((0, 0), (0, width - words.shape[1]))) if words.shape[1] < width else words


@cache
def _first(width: int) -> Any:
    """For each count of bytes the masks that leave the first ones of so many words."""
    bits = [(1 << 8 * count) - 1 for count in range(8 * width + 1)]
    return np.frombuffer(b"".join(number.to_bytes(8 * width, "little") for number in bits), "<u8").reshape(-1, width)


@cache
def _last(width: int) -> Any:
    """For each count of bytes the masks that leave the last ones of so many words."""
    return ~_first(width)[::-1]


def _all(words: Any, expected: Any) -> Any:
    """Whether the rows are the expected ones: True when all are, else for each of them."""
    same = words == expected
    return True if same.all() else same.all(axis=1)
