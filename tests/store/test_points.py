"""Points by the million are read by columns (`pointblocks`, `pointmany`), few of them line by line: what is read must
be the same, whatever the lines, their spelling, their order and their damage."""

from __future__ import annotations

import json
import math
import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from colony_lib.base import clock
from colony_lib.store import paths, pointblocks, pointforms, pointmany, pointrows, points

NOW = "2026-11-23T12:00:00.000Z"


@pytest.fixture
def journal(colony: Any) -> Path:
    """The file of the metric `m_seconds` in a colony whose clock stands at NOW."""
    paths.use(str(colony.root))
    clock.freeze(NOW)
    return colony.root / ".colony/metrics/m_seconds.jsonl"


def picture(large: bool, hours: float | None, labels: dict[str, str] | None) -> dict[str, Any]:
    """All that can be asked of the journal, read by columns or line by line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(points, "LARGE", 0 if large else 1 << 40)
        window = points.Window("m_seconds", hours, labels)
        assert isinstance(window._fold, pointmany.Fold) is large
        latest = points.Latest("m_seconds", hours)
        return {
            "statistics": window.statistics(),
            "buckets": window.buckets(37),
            "document": "".join(window.document({"name": "m_seconds"})),
            "lines": "".join(window.lines()),
            "points": list(window.points()),
            "last": window.last,
            "future": window.future,
            "kind": (window.type, window.unit),
            "problems": window.problems,
            "series": latest.series,
            "latest kind": (latest.type, latest.unit),
            "latest problems": latest.problems,
        }


# --- journals of every kind


def a_value(dice: random.Random) -> str:
    kind = dice.randrange(14)
    if kind < 4:
        return repr(dice.expovariate(0.01))
    if kind < 6:
        return repr(dice.randrange(100_000) / 100)
    if kind < 8:
        return str(dice.randrange(-1000, 100_000))
    if kind == 8:
        return f"{dice.uniform(-9, 9):.{dice.randrange(1, 19)}f}"
    if kind == 9:
        return repr(dice.uniform(-1, 1) * 10.0 ** dice.randrange(-300, 300))
    if kind == 10:
        return str(dice.randrange(10 ** dice.randrange(1, 25)))
    if kind == 11:
        return dice.choice(("-0", "-0.0", "0", "1e5", "1E-7", "-1.50", "0.1e+3", "9007199254740993", "1" * 30))
    return repr(dice.uniform(0, 1))


def a_wrong_value(dice: random.Random) -> str:
    return dice.choice(
        (
            "05",
            "+5",
            ".5",
            "5.",
            "1e",
            "--1",
            "NaN",
            "1e999",
            '"5"',
            "null",
            "true",
            "[1]",
            "1,2",
            "",
            "0x1",
            "1_0",
            "٣",
        )
    )


def a_journal(dice: random.Random, count: int) -> list[bytes]:
    """Lines as several writers might leave them, each with habits of its own, and some that are damaged."""
    writers = [a_writer(dice, number) for number in range(dice.randrange(1, 5))]
    damage = dice.choice((0.0, 0.0, 0.01, 0.3))
    lines: list[bytes] = []
    writer = writers[0]
    for number in range(count):
        if dice.random() < 0.05:
            writer = dice.choice(writers)
        line = writer(number)
        if dice.random() < damage:
            line = damaged(dice, line)
        lines.append(line)
        if dice.random() < 0.05 and b"\n" not in line:
            lines.append(dice.choice(lines))  # a merge of two machines' files repeats lines
    if dice.random() < 0.3:
        dice.shuffle(lines)
    return lines


def a_writer(dice: random.Random, number: int) -> Any:
    comma, colon = dice.choice(((",", ":"), (",", ":"), (", ", ": "), (" ,", " :")))
    order = dice.choice(
        (["v", "id", "ts", "value", "labels"],) * 3 + (["ts", "labels", "value", "id", "v"], ["value", "id", "ts"])
    )
    names = dice.choice(([], ["step"], ["step", "day"], ["id"], ["value", "ts"], ["b", "a"]))
    texts = dice.choice(
        (["load", "fetch"], ["x" * 70, "y"], ["é", "🚨"], ['a\\"b', "c\\\\d"], ["\\u00e9", "z"], [""], ["}", "{,"])
    )
    many = dice.random() < 0.1  # a label that is another for every point
    shape = dice.randrange(6)
    ascii_id = dice.random() < 0.9
    start = clock.seconds(NOW)
    wrong = dice.choice((0.0, 0.0, 0.02))
    extra = dice.choice(
        ("",) * 4 + ('"type":"counter"', '"unit":"ticks"', '"host":"a"', '"id":"other"', '"n":{"value":1}')
    )

    def a_line(i: int) -> bytes:
        identity = (
            f"w{number}-{i}",
            f"01m8aed065hhg4wq9v8z-{i:07d}",
            f"{i:020d}{number}",
            f"{dice.getrandbits(128):032x}",
            f"p{i % 50}",
            "l" * dice.randrange(190, 260) + str(i % 9),
        )[shape] + ("" if ascii_id else dice.choice(("é", "\\u0000", "\\n", " ")))
        stamp = clock.stamp(start - dice.choice((i * 0.5, dice.uniform(0, 200_000), 0, -200, -dice.uniform(0, 10**6))))
        if dice.random() < 0.02:
            stamp = dice.choice(
                (stamp[:19] + "Z", stamp[:-1] + "+01:00", "2026-13-41T99:99:99.999Z", "soon", stamp + " ")
            )
        labels = {name: f"{i}" if many else dice.choice(texts) for name in names}
        value = a_wrong_value(dice) if dice.random() < wrong else a_value(dice)
        inner = comma.join(f'"{name}"{colon}"{text}"' for name, text in labels.items())
        fields = {"v": "1", "id": f'"{identity}"', "ts": f'"{stamp}"', "value": value, "labels": "{" + inner + "}"}
        text = comma.join(f'"{name}"{colon}{fields[name]}' for name in order)
        return ("{" + text + (comma + extra if extra and dice.random() < 0.7 else "") + "}").encode()

    return a_line


def damaged(dice: random.Random, line: bytes) -> bytes:
    place = dice.randrange(len(line))
    return dice.choice((
        line[:place], line[place:], line[:place] + line, b"", b"  ", b"\0" * 9, b"\xff\xfe", b"garbage", b"[1,2]",
        line + b"\r", line + b"\0", line[:place] + bytes([dice.randrange(256)]) + line[place + 1 :], line + line,
        b"y" * 70_000, line[:-1], line + b"}", b"{},1,{}", line.replace(b'"', b"'", 1), b"\xef\xbb\xbf" + line,
    ))  # fmt: skip


@pytest.mark.parametrize("seed", range(60))
def test_many_points_are_read_as_few_are(journal: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    dice = random.Random(seed)
    monkeypatch.setattr(pointrows, "BLOCK", dice.choice((97, 1000, 5000, 1 << 16, 1 << 20)))
    lines = a_journal(dice, dice.choice((1, 15, 200, 1500)))
    end = dice.choice((b"\n", b"\n", b"", b"\n" + lines[-1][: len(lines[-1]) // 2]))
    journal.write_bytes(b"\n".join(lines) + end)
    for hours, labels in ((24, None), (None, None), (1, {"step": "load"}), (99_999, {"a": "load"})):
        few, many = picture(False, hours, labels), picture(True, hours, labels)
        for what, found in few.items():
            assert many[what] == found, f"{what} of the last {hours} hours with {labels}"


def test_a_journal_is_read_the_same_wherever_its_blocks_end(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dice = random.Random(7)
    journal.write_bytes(b"\n".join(a_journal(dice, 40)) + b"\n")
    expected = picture(False, 24, None)
    for size in range(1, 400, 13):
        monkeypatch.setattr(pointrows, "BLOCK", size)
        assert picture(False, 24, None) == expected
        assert picture(True, 24, None) == expected


def test_one_bad_line_among_many_does_not_slow_down_the_others(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        b'{"v":1,"id":"p%06d","ts":"2026-11-23T11:00:00.000Z","value":%d.5,"labels":{"k":"%d"}}' % (i, i, i % 7)
        for i in range(5000)
    ]
    lines[0] = lines[2500] = lines[-1] = b"bad"  # where one might look for how they are spelled
    journal.write_bytes(b"\n".join(lines) + b"\n")
    slow: list[int] = []
    careful = pointblocks.Reader._with_care
    monkeypatch.setattr(
        pointblocks.Reader, "_with_care", lambda self, rest, *more: slow.append(len(rest)) or careful(self, rest, *more)
    )
    monkeypatch.setattr(points, "LARGE", 0)
    window = points.Window("m_seconds", 24)
    assert (len(window), [number for _, number, _ in window.problems]) == (4997, [1, 2501, 5000])
    assert slow == [3]


@pytest.mark.parametrize("change", [None, "spaced", "no v", "other order", "ids that grow"])
def test_the_usual_spellings_need_no_line_to_be_read_by_itself(
    journal: Path, monkeypatch: pytest.MonkeyPatch, change: str | None
) -> None:
    dice = random.Random(3)
    records = [
        {
            "v": 1,
            "id": f"{i:09d}",
            "ts": NOW,
            "value": dice.choice((dice.expovariate(0.1), i, i / 4)),
            "labels": {"k": "é"},
        }
        for i in range(2000)
    ]
    for i, record in enumerate(records):
        if change == "no v":
            del record["v"]
        if change == "ids that grow":
            record["id"] = f"p{i}"
    if change == "other order":
        records = [dict(reversed(record.items())) for record in records]
    separators = (", ", ": ") if change == "spaced" else (",", ":")
    journal.write_text("".join(json.dumps(r, separators=separators, ensure_ascii=False) + "\n" for r in records))
    monkeypatch.setattr(pointblocks.Reader, "_with_care", lambda *_: pytest.fail("a line was read by itself"))
    monkeypatch.setattr(pointblocks, "FEW", 1)
    monkeypatch.setattr(points, "LARGE", 0)
    window = points.Window("m_seconds", 24)
    assert sorted(value for _, value, _ in window.points()) == sorted(record["value"] for record in records)


def test_ids_that_hash_alike_are_told_apart(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pointforms, "hashed", lambda words: words[:, 0] & np.uint64(3))
    made = [f'{{"v":1,"id":"{i % 900:08d}","ts":"{NOW}","value":{i},"labels":{{"n":"{i % 5}"}}}}' for i in range(1000)]
    journal.write_text("\n".join(made) + "\n")
    assert picture(True, 24, None) == picture(False, 24, None)
    assert picture(True, 24, None)["statistics"]["count"] == 900


def test_a_line_that_only_looks_like_the_others_is_read_for_itself(journal: Path) -> None:
    def line(end: str, number: int = 1) -> str:
        return f'{{"v":1,"id":"p{number:05d}","ts":"{NOW}","value":{number},"labels":{{}}{end}}}\n'

    ends = [
        ',"id":"other"', ',"value":7', ',"ts":"2026-11-23T11:00:00.000Z"', ',"labels":{"k":"v"}', ',"\\u0069d":"other"',
        ',"type":7', ',"labels":[]', ',"x":', ',"labels":{"a":1}', "}", ',"labels":null', ',"v":"\x00"', ',"v":"\x01"',
    ]  # fmt: skip
    text = "".join(line("", i) for i in range(100)) + "".join(line(end, 100 + i) for i, end in enumerate(ends))
    journal.write_text(text + line("", 999))
    assert picture(True, 24, None) == picture(False, 24, None)


# --- numbers


def floats(texts: list[str]) -> list[float]:
    """What a block of lines with these values is read as."""
    block = "".join(f"{text}," for text in texts).encode()
    room = pointforms.Room(len(block))
    room.bytes[pointforms.BEFORE : pointforms.BEFORE + len(block)] = block
    at = np.cumsum([0] + [len(text) + 1 for text in texts[:-1]]) + pointforms.BEFORE
    line = b'{"id":"x","ts":"2026-11-23T12:00:00.000Z","value":1,"labels":{}}'
    form = pointforms.Form.of(line, room)
    assert form is not None
    wanted = np.ones(len(texts), bool)
    values, sizes = form._numbers(at, wanted)
    assert wanted.all(), [text for text, ok in zip(texts, wanted) if not ok][:5]
    assert sizes.tolist() == [len(text) for text in texts]
    return list(values.tolist())


def bits(value: float) -> int:
    return int(struct.unpack("<q", struct.pack("<d", value))[0])


def test_a_number_is_read_to_the_last_bit_as_python_reads_it() -> None:
    dice = random.Random(2013)
    texts = [repr(dice.random()) for _ in range(20_000)]
    texts += [repr(dice.expovariate(1) * 10 ** dice.randrange(-4, 9)) for _ in range(20_000)]
    texts += [f"{dice.randrange(10**19)}" for _ in range(5000)]
    for _ in range(40_000):  # any 16 to 19 digits with a point anywhere
        digits = str(dice.randrange(10 ** (size := dice.randrange(15, 19)), 10 ** (size + 1)))
        place = dice.randrange(1, len(digits))
        texts.append(digits[:place] + "." + digits[place:])
    for power in range(-12, 60):  # beside powers of two, where the floats' distance changes, and halfway between two
        for step in (-1, 0, 1):
            near = math.ldexp((1 << 53) + step, power - 53)
            for text in (f"{near:.{max(1, 17 - len(str(int(near))))}f}", f"{near:.3f}", repr(near)):
                if len(text.replace(".", "")) < 20 and "e" not in text:
                    texts += [text, "-" + text]
    for odd in range(1, 4000, 2):
        half = (1 << 53) + odd
        texts += [str(half), f"{half}.0", f"{half}.5", str(half * 2 + 1)]
    texts = [text for text in texts if len(text) <= pointforms.NUMBER - 1]
    assert len(texts) > 90_000
    wrong = [text for text, value in zip(texts, floats(texts)) if bits(value) != bits(float(text))]
    assert wrong == []


def test_sums_are_exact_for_many_as_for_few() -> None:
    dice = random.Random(5)
    for size in (1, 2, 3, 100, 40_000):
        for spread in (0, 5, 300):
            values = [dice.uniform(-1, 1) * 10.0 ** dice.randint(-spread, spread) for _ in range(size)]
            values += [5e-324, -0.0] if size == 3 else []
            number, power = pointmany._exact(np.array(values))
            assert number / (1 << -power) == math.fsum(values)
