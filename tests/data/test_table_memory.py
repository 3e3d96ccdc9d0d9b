"""What is known of a column of texts is known of that very memory, and goes with it."""

from __future__ import annotations

import gc

import pandas as pd

from colony_lib.data import table


def test_a_column_that_was_filtered_changed_or_copied_is_looked_at_anew() -> None:
    frame = table.frame({"c": table.infer(["b", "a", None, "b"])}, 4)
    codes, distinct = table.encoded(frame["c"])
    assert (codes.tolist(), list(distinct)) == ([0, 1, -1, 0], ["b", "a"])
    assert table.absent(frame["c"]).tolist() == [False, False, True, False]
    rest = frame[[False, True, True, True]]
    assert table.encoded(rest["c"])[0].tolist() == [0, -1, 1]
    assert list(table.encoded(frame["c"].iloc[1:2])[1]) == ["a"]
    nulled = table.nulled(frame["c"], codes == 0)
    assert table.absent(nulled).tolist() == [True, False, True, True] and table.kind(nulled) == "string"
    mixed = pd.Series([1, "1", True, None], dtype=object)
    assert table.kind(mixed) == "any" and table.absent(mixed).tolist() == [False, False, False, True]
    assert table.kind(pd.Series([None, None], dtype=object)) == "null"
    assert table.encoded(frame["c"])[0].tolist() == [0, 1, -1, 0]


def test_memory_that_is_used_again_is_not_taken_for_what_it_was() -> None:
    for word in ("one", "two"):
        for _ in range(50):
            column = table.infer([word, None] * 500)
            assert list(table.encoded(column)[1]) == [word]
            del column


def test_nothing_is_kept_of_columns_that_are_gone() -> None:
    gc.collect()
    before = len(table._examined)
    columns = [table.infer([str(n)] * 10) for n in range(100)]
    assert [table.kind(column) for column in columns] == ["string"] * 100
    assert len(table._examined) == before + 100
    del columns
    gc.collect()
    assert len(table._examined) == before
