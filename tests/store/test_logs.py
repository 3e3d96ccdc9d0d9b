"""Log lines: what is written, how a raw line is understood, and how they are read from the ends of large files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from colony_lib.base import clock, files
from colony_lib.base.errors import ColonyError
from colony_lib.store import logread, logs, paths, schema
from colony_lib.store.logread import Wanted

NOW = "2026-11-23T12:00:00.000Z"


@pytest.fixture
def folder(colony: Any) -> Path:
    """The logs folder of a colony whose clock stands at NOW."""
    paths.use(str(colony.root))
    clock.freeze(NOW)
    return colony.root / ".colony/logs"


def stored(folder: Path, agent: str = "worker") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{agent}.jsonl").read_text(encoding="utf-8").split("\n") if line]


def entry(number: int, message: str = "hello", level: str = "info", minutes: float = 0, **more: Any) -> str:
    """A log line as it is stored, so many minutes before NOW."""
    record = {
        "v": 1, "id": f"l{number}", "ts": clock.stamp(clock.seconds(NOW) - minutes * 60), "level": level,
        "agent": "worker", "message": message, "run_id": None, "step": None, "attempt": None, **more,
    }  # fmt: skip
    return json.dumps(record, separators=(",", ":")) + "\n"


def messages(wanted: Wanted, count: int | None = 100, names: list[str] | None = None) -> list[str]:
    sources = logread.open_all(names or logread.agents())
    found = logread.every(sources, wanted) if count is None else logread.last(sources, wanted, count)
    return [record["message"] for record in found]


# --- writing


def test_a_line_has_all_keys_of_the_contract_and_meets_the_schema(folder: Path) -> None:
    logs.line("worker", "warn", "slow", run_id="r1", step="load-data", attempt=2)
    logs.write("worker", [{"message": "plain"}, {"message": "x", "level": "error", "rows": 5, "fields": {"a": 1}}])
    found = stored(folder)
    for record in found:
        schema.check(record, "log")
    expected = {
        "level": "warn",
        "agent": "worker",
        "message": "slow",
        "run_id": "r1",
        "step": "load-data",
        "attempt": 2,
    }
    assert {key: found[0][key] for key in expected} == expected
    assert found[0]["ts"] == NOW
    assert (found[1]["level"], found[1]["run_id"], "fields" in found[1]) == ("info", None, False)
    assert found[2]["fields"] == {"a": 1, "rows": 5}
    assert len({record["id"] for record in found}) == 3


def test_the_raw_lines_of_a_batch_carry_where_they_come_from(folder: Path) -> None:
    logs.raw("worker", ["one", "ERROR two"], run_id="r1", step="s", attempt=1, batch=3)
    logs.raw("worker", [], run_id="r1", step="s", attempt=1)
    assert [
        (r["message"], r["level"], r["run_id"], r["step"], r["attempt"], r["batch_id"]) for r in stored(folder)
    ] == [
        ("one", "info", "r1", "s", 1, 3),
        ("ERROR two", "error", "r1", "s", 1, 3),
    ]


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("ERROR no such table", "error"),
        ("error: no such table", "error"),
        ("[error] no such table", "error"),
        ("  ERROR - x", "error"),
        ("CRITICAL x", "error"),
        ("fatal: not a git repository", "error"),
        ("WARN x", "warn"),
        ("WARNING:root:x", "warn"),
        ("Warning: x", "warn"),
        ("<warn> x", "warn"),
        ("INFO x", "info"),
        ("DEBUG:urllib3:x", "debug"),
        ("[trace] x", "debug"),
        ("2026-11-23 06:18:00,123 ERROR x", "error"),
        ("2026-11-23T06:18:00Z WARN x", "warn"),
        ("[2026-11-23 06:18:00] error: x", "error"),
        ("Error rates are low", "info"),
        ("errors: 0", "info"),
        ("ERRORS 0", "info"),
        ("debug mode is off", "info"),
        ("Fetched 10 records", "info"),
        ("an ERROR in the middle", "info"),
        ("", "info"),
        ("{not json", "info"),
        ('{"rows": 5}', "info"),
    ],
)
def test_the_level_of_a_raw_line_is_the_word_it_begins_with(text: str, level: str) -> None:
    assert logs.understand(text) == {"level": level, "message": text}


@pytest.mark.parametrize(
    ("text", "understood"),
    [
        ('{"level":"error","message":"boom"}', {"level": "error", "message": "boom"}),
        ('{"level":"WARNING","msg":"m","rows":5}', {"level": "warn", "message": "m", "fields": {"rows": 5}}),
        ('{"severity":"debug","event":"e"}', {"level": "debug", "message": "e"}),
        ('{"message":"m","level":30}', {"level": "info", "message": "m", "fields": {"level": 30}}),
        ('{"level":"error","code":7}', {"level": "error", "message": '{"level":"error","code":7}'}),
        ('{"level":"error","message":NaN}', {"level": "info", "message": '{"level":"error","message":NaN}'}),
    ],
)
def test_a_line_of_json_is_taken_apart(text: str, understood: dict[str, Any]) -> None:
    assert logs.understand(text) == understood


def test_a_long_line_is_cut_with_a_mark_and_never_within_a_character(folder: Path) -> None:
    logs.raw("worker", ["x" * 65536, "x" * 65537, "é" * 40000, "x" + "é" * 40000])
    kept = [record["message"] for record in stored(folder)]
    assert kept[0] == "x" * 65536
    assert kept[1] == "x" * 65536 + "… [cut, 65,537 bytes]"
    assert kept[2] == "é" * 32768 + "… [cut, 80,000 bytes]"
    assert kept[3] == "x" + "é" * 32767 + "… [cut, 80,001 bytes]"


def test_the_cut_leaves_no_half_of_a_secret(folder: Path) -> None:
    files.set_redactor(lambda text: text.replace("hunter2-secret", "[PASSWORD]"))
    logs.raw("worker", ["x" * 65529 + "hunter2-secret" + "y" * 100])
    text = (folder / "worker.jsonl").read_text()
    assert "hunter" not in text
    assert "x[PASSWO… [cut" in text


def test_any_text_of_a_command_can_be_logged(folder: Path) -> None:
    strange = ["\x1b[31mred\x07", "tab\tand\rreturn", "lone \udcff half", "\u2028 line", "\x00", "🚨 ✓", '"\\']
    logs.raw("worker", strange)
    assert [record["message"] for record in stored(folder)] == [*strange[:2], "lone \\udcff half", *strange[3:]]
    assert (folder / "worker.jsonl").read_bytes().count(b"\n") == len(strange)


@pytest.mark.parametrize("name", ["../x", "", "a/b", ".x"])
def test_a_name_that_is_no_agent_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(ColonyError) as error:
        logs.line(name, "info", "x")
    assert error.value.code == 2
    assert list(folder.iterdir()) == []


# --- reading


def test_the_last_lines_come_in_the_order_of_time_over_all_agents(folder: Path) -> None:
    (folder / "a.jsonl").write_text(entry(1, "a5", minutes=5) + entry(2, "a3", minutes=3) + entry(3, "a1", minutes=1))
    (folder / "b.jsonl").write_text(entry(4, "b4", minutes=4) + entry(5, "b2", minutes=2))
    assert messages(Wanted(), 3) == ["a3", "b2", "a1"]
    assert messages(Wanted(), 0) == []
    assert messages(Wanted()) == messages(Wanted(), None) == ["a5", "b4", "a3", "b2", "a1"]
    assert messages(Wanted(), 2, ["b"]) == ["b4", "b2"]


def test_one_agents_lines_keep_their_order_when_the_clock_jumps(folder: Path) -> None:
    (folder / "a.jsonl").write_text(entry(1, "one", minutes=5) + entry(2, "two", minutes=500) + entry(3, "three"))
    assert messages(Wanted()) == messages(Wanted(), None) == ["one", "two", "three"]


def test_conditions_hold_together_and_levels_mean_at_least(folder: Path) -> None:
    lines = [
        entry(1, "a", "debug"),
        entry(2, "b", "info", run_id="r1", step="s"),
        entry(3, "c", "warn", run_id="r1", step="t"),
        entry(4, "d", "error", run_id="r2", step="s", minutes=90),
        entry(5, "e level", "info", run_id="r2", step="s"),
    ]
    (folder / "worker.jsonl").write_text("".join(lines))
    for count in (100, None):
        assert messages(Wanted("warn"), count) == ["c", "d"]
        assert messages(Wanted("error"), count) == ["d"]
        assert messages(Wanted(run_id="r1"), count) == ["b", "c"]
        assert messages(Wanted(run_id="r2", step="s"), count) == ["d", "e level"]
        assert messages(Wanted(since=clock.stamp(clock.epoch() - 3600)), count) == ["a", "b", "c", "e level"]
        assert messages(Wanted(matches=lambda text: "level" in text, literal="level"), count) == ["e level"]


def test_what_a_message_says_is_not_taken_for_its_level(folder: Path) -> None:
    (folder / "worker.jsonl").write_text(
        entry(1, 'x","level":"error","run_id":"r1"') + entry(2, "y", step='"level":"error"')
    )
    assert messages(Wanted("error")) == []
    assert messages(Wanted(run_id="r1")) == []
    assert messages(Wanted(step='"level":"error"')) == ["y"]


def test_lines_of_other_writers_count_in_their_spelling(folder: Path) -> None:
    (folder / "worker.jsonl").write_text(
        json.dumps({"id": "a", "ts": NOW, "level": "error", "message": "spaced"}) + "\n"
        + json.dumps({"ts": NOW, "level": "error", "message": "no id"}) + "\n"
    )  # fmt: skip
    assert messages(Wanted("error")) == ["spaced", "no id"]
    record = logread.last(logread.open_all(["worker"]), Wanted(), 1)[0]
    assert (record["agent"], record["run_id"]) == ("worker", None)


def test_a_repeated_line_counts_once(folder: Path) -> None:
    (folder / "worker.jsonl").write_text((entry(1, "one") + entry(2, "two")) * 3)
    assert messages(Wanted(), 5) == ["one", "two"]
    assert messages(Wanted(), None) == ["one", "two"]


def test_bad_lines_are_reported_by_number_and_skipped(folder: Path) -> None:
    bad = [
        "garbage",
        '{"level":"error"}',
        '{"ts":"x","level":"loud","message":"m"}',
        '{"ts":1,"level":"info","message":"m"}',
    ]
    bad += ["[]", '{"ts":"x","level":"info","message":"m","agent":7}', "\x00\x00"]
    text = "".join(entry(i, str(i)) + line + "\n\n" for i, line in enumerate(bad))
    (folder / "worker.jsonl").write_bytes(text.encode() + b"\xff\xfe\n" + entry(99, "end").encode() + b'{"torn')
    for count in (100, None):
        sources = logread.open_all(["worker"])
        found = list(logread.every(sources, Wanted()) if count is None else logread.last(sources, Wanted(), count))
        assert [record["message"] for record in found] == [*map(str, range(7)), "end"]
        assert [number for _, number, _ in sources[0].problems()] == [2, 5, 8, 11, 14, 17, 20, 22]
        assert sources[0].problems() == []


def test_a_line_too_long_is_skipped_from_either_end_without_being_held(folder: Path) -> None:
    with (folder / "worker.jsonl").open("w") as file:
        file.write(entry(1, "first") + "x" * (5 << 20) + "\n" + entry(2, "second") + '"' + "y" * (2 << 20) + "\n")
        file.write(entry(3, "third"))
    for count in (100, None):
        sources = logread.open_all(["worker"])
        found = logread.every(sources, Wanted()) if count is None else logread.last(sources, Wanted(), count)
        assert [record["message"] for record in found] == ["first", "second", "third"]
        assert [(number, why) for _, number, why in sources[0].problems()] == [(2, "too long"), (4, "too long")]


def test_blocks_end_anywhere_in_a_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "worker.jsonl").write_text("".join(entry(i, "m" * i) for i in range(12)) + "bad\n" + entry(12, "m" * 12))
    expected = ["m" * i for i in range(13)]
    for size in range(1, 400, 7):
        monkeypatch.setattr(logread, "BLOCK", size)
        monkeypatch.setattr(logread, "FIRST_BLOCK", size)
        for count in (100, None):
            sources = logread.open_all(["worker"])
            found = logread.every(sources, Wanted()) if count is None else logread.last(sources, Wanted(), count)
            assert [record["message"] for record in found] == expected
            assert [number for _, number, _ in sources[0].problems()] == [13]


def test_the_last_lines_of_a_large_file_are_read_from_its_end_only(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = entry(0, "m" * 900)
    with (folder / "worker.jsonl").open("w") as file:
        for i in range(30):
            file.write("".join(line.replace('"l0"', f'"l{i}-{j}"') for j in range(1000)))
        file.write("".join(entry(i, f"end {i}", "error" if i == 3 else "info") for i in range(10)))
    read = 0
    pread = os.pread

    def counted(fd: int, size: int, offset: int) -> bytes:
        nonlocal read
        read += size
        return pread(fd, size, offset)

    monkeypatch.setattr(os, "pread", counted)
    assert messages(Wanted(), 10) == [f"end {i}" for i in range(10)]
    assert read <= 2 << 17, f"{read:,} bytes of {(folder / 'worker.jsonl').stat().st_size:,}"
    assert messages(Wanted("error"), 1) == ["end 3"]


def test_the_search_since_a_time_ends_soon_after_the_lines_are_older(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = "".join(entry(j, "m" * 900, minutes=300) for j in range(1000))
    with (folder / "worker.jsonl").open("w") as file:
        for _ in range(15):
            file.write(old)
        file.write(entry(-1, "recent", minutes=10))
        file.write("".join(entry(-j, "jump", minutes=400) for j in range(2, 50)))  # the clock was wrong for a while
        file.write(entry(-50, "now"))
    read = 0
    pread = os.pread

    def counted(fd: int, size: int, offset: int) -> bytes:
        nonlocal read
        read += size
        return pread(fd, size, offset)

    monkeypatch.setattr(os, "pread", counted)
    since = Wanted(since=clock.stamp(clock.epoch() - 3600))
    assert messages(since, 10) == ["recent", "now"]
    assert read < 8 << 20
    assert messages(since, None) == ["recent", "now"]


def test_links_fifos_and_strange_names_are_no_logs(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.jsonl").write_text(entry(1, "outside"))
    os.symlink(tmp_path / "outside.jsonl", folder / "link.jsonl")
    os.mkfifo(folder / "fifo.jsonl")
    (folder / ".hidden.jsonl").write_text(entry(2))
    (folder / "notes.txt").write_text("x")
    assert logread.agents() == []
    with pytest.raises(ColonyError):
        logs.line("link", "info", "x")


# --- following


def follower(names: list[str] | None = None) -> logread.Follower:
    return logread.Follower(names, logread.open_all(names or logread.agents()))


def new(of: logread.Follower, wanted: Wanted | None = None) -> list[str]:
    return [record["message"] for record in of.new(wanted or Wanted())]


def test_a_follower_sees_new_lines_once_and_new_files_from_their_start(folder: Path) -> None:
    logs.line("a", "info", "before")
    following = follower()
    assert new(following) == []
    logs.line("a", "info", "one")
    logs.line("b", "info", "two")
    assert new(following) == ["one", "two"]
    logs.line("b", "error", "three")
    assert new(following, Wanted("error")) == ["three"]
    assert new(following) == []


def test_a_follower_of_one_agent_waits_for_its_first_line(folder: Path) -> None:
    following = follower(["worker"])
    logs.line("other", "info", "no")
    assert new(following) == []
    logs.line("worker", "info", "yes")
    assert new(following) == ["yes"]


def test_a_follower_waits_for_the_end_of_a_line(folder: Path) -> None:
    file = folder / "worker.jsonl"
    file.write_text(entry(1, "one") + entry(2, "two")[:30])
    following = follower()
    assert new(following) == []
    with file.open("a") as handle:
        handle.write(entry(2, "two")[30:])
    assert new(following) == ["two"]


def test_a_follower_goes_on_over_rotation_and_truncation(folder: Path) -> None:
    file = folder / "worker.jsonl"
    logs.line("worker", "info", "zero")
    following = follower()
    logs.line("worker", "info", "one")
    file.rename(folder / "worker.jsonl.1")
    logs.line("worker", "info", "two")
    assert new(following) == ["one", "two"]
    file.unlink()
    assert new(following) == []
    logs.line("worker", "info", "three")
    assert new(following) == ["three"]
    logs.line("worker", "info", "a longer line than before")
    assert new(following) == ["a longer line than before"]
    os.truncate(file, 0)
    logs.line("worker", "info", "four")
    assert new(following) == ["four"]


def test_a_follower_reports_bad_lines_and_goes_on(folder: Path) -> None:
    logs.line("worker", "info", "one")
    following = follower()
    with (folder / "worker.jsonl").open("a") as handle:
        handle.write("bad\n" + entry(2, "two"))
    assert new(following) == ["two"]
    assert [number for _, number, _ in following.sources["worker"].problems()] == [2]
