"""`colony messages` and `colony broadcast`: the real executables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema

from tests.conftest import Colony
from tests.terminals import terminal

SCHEMA = json.loads((Path(__file__).resolve().parent.parent.parent / "schemas" / "message.schema.json").read_text())


def test_the_alerts_of_the_data_pipeline_reach_everybody_as_they_were_written(colony: Any) -> None:
    errors = "🚨 Pipeline errors exceeded threshold: 12 errors"
    quality = "⚠️ Data quality below threshold: 0.93"
    assert colony("broadcast", errors).out == ""
    colony("broadcast", quality, env={"COLONY_AGENT": "worker"})
    found = colony.lines("messages", "list", "orchestrator", "--json")
    for message in found:
        jsonschema.validate(message, SCHEMA)
    assert [(m["from"], m["to"], m["text"]) for m in found] == [("user", "all", errors), ("worker", "all", quality)]
    table = colony("messages", "list").out.splitlines()
    assert table[0].split() == ["TS", "FROM", "TO", "TEXT"] and table[1].endswith(f"  user    all  {errors}")


def test_a_message_reaches_its_agent_and_nobody_else(colony: Any) -> None:
    colony("messages", "send", "worker", "the", "schema", "has changed")
    colony("messages", "send", "orchestrator", "-", input="line one\nline two\n")
    assert [m["text"] for m in colony.lines("messages", "list", "worker", "--json")] == ["the schema has changed"]
    assert [m["text"] for m in colony.lines("messages", "list", "orchestrator", "--json")] == ["line one\nline two"]
    assert [m["to"] for m in colony.lines("messages", "list", "--json")] == ["worker", "orchestrator"]
    assert [m["to"] for m in colony.lines("messages", "list", "-n", "1", "--json")] == ["orchestrator"]
    assert colony("messages", "list", "-n", "0", "--json").out == ""


def test_an_unknown_agent_is_refused_with_the_nearest(colony: Any) -> None:
    for words in (["send", "wroker", "x"], ["list", "wroker"]):
        result = colony("messages", *words, check=False)
        assert (result.code, result.out) == (1, "")
        assert result.err == "colony messages: unknown agent 'wroker'; did you mean 'worker'?\n"
    assert list((colony.root / ".colony" / "messages").iterdir()) == []


def test_an_empty_message_is_refused(colony: Any) -> None:
    for words in (["broadcast", ""], ["broadcast", "-"], ["messages", "send", "worker", " "]):
        result = colony(*words, check=False)
        assert (result.code, result.err) == (2, f"colony {words[0]}: the message is empty\n")


def test_control_characters_are_made_visible_in_the_list_and_kept_in_the_record(colony: Any) -> None:
    text = "\x1b]0;title\x07 and\r\x9b31m red"
    colony("broadcast", text)
    assert colony.lines("messages", "list", "--json")[0]["text"] == text
    assert "\\x1b]0;title\\x07 and\\r\\x9b31m red" in colony("messages", "list").out


def test_without_a_configuration_a_broadcast_still_goes_out(colony: Any) -> None:
    (colony.root / "colony.yml").unlink()
    colony("broadcast", "anyone?")
    assert [m["text"] for m in colony.lines("messages", "list", "--json")] == ["anyone?"]
    result = colony("messages", "send", "worker", "x", check=False)
    assert result.code == 2 and "colony.yml" in result.err


def test_people_are_told_why_a_list_is_empty_and_a_pipe_is_not(colony: Colony) -> None:
    for words, told in (
        (["messages", "list"], "no messages: 'colony broadcast TEXT' sends one to all"),
        (["state", "task", "list"], "no such tasks: 'colony state task add TITLE' makes one"),
        (["lineage", "--date", "2013-02-08"], "no data of 2013-02-08 has been fetched, transformed or loaded here"),
        (["logs"], "no lines yet: steps and agents write them"),
        (["workflow", "history"], "no run yet: 'colony workflow run NAME' starts one"),
    ):
        assert colony(*words).err == ""
        shown, code = terminal(colony, *words)
        assert (shown.replace("\r", "").split("\n")[-2], code) == (told, 0)
