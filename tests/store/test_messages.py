"""Messages: to one agent or to all, in the order they were sent."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from colony_lib.base.errors import FAILED, USAGE, ColonyError
from colony_lib.store import messages, paths

SCHEMA = json.loads((Path(__file__).resolve().parent.parent.parent / "schemas" / "message.schema.json").read_text())


@pytest.fixture(autouse=True)
def here(colony: Any) -> None:
    paths.use(str(colony.root))


def texts(to: str | None = None) -> list[str]:
    return [message["text"] for message in messages.everything(to)]


def test_an_agent_gets_what_is_sent_to_it_and_to_all_in_the_order_of_sending() -> None:
    messages.send("worker", "one")
    messages.send("all", "🚨 Pipeline errors exceeded threshold: 12 errors")
    messages.send("orchestrator", "three")
    messages.send("user", "four")
    assert texts("worker") == ["one", "🚨 Pipeline errors exceeded threshold: 12 errors"]
    assert texts("orchestrator") == ["🚨 Pipeline errors exceeded threshold: 12 errors", "three"]
    assert len(texts()) == 4 and texts("user")[-1] == "four"


def test_the_sender_is_the_agent_of_the_step_else_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    assert messages.send("worker", "a")["from"] == "user"
    monkeypatch.setenv("COLONY_AGENT", "orchestrator")
    message = messages.send("worker", "b")
    assert message["from"] == "orchestrator" and messages.everything()[-1] == message
    assert messages.send("worker", "c", sender="tui")["from"] == "tui"
    jsonschema.validate(message, SCHEMA)


def test_an_unknown_agent_and_an_empty_message_are_refused_before_anything_is_written() -> None:
    with pytest.raises(ColonyError) as caught:
        messages.send("wroker", "x")
    assert (str(caught.value), caught.value.code) == ("unknown agent 'wroker'; did you mean 'worker'?", FAILED)
    for to, text in (("../worker", "x"), ("worker", " \n"), ("worker", "bad \udcff")):
        with pytest.raises(ColonyError) as caught:
            messages.send(to, text)
        assert caught.value.code == USAGE
    assert not Path(paths.messages()).exists()


def test_a_broadcast_needs_no_configuration(colony: Any) -> None:
    (colony.root / "colony.yml").unlink()
    messages.send("all", "still heard")
    assert texts("anyone") == ["still heard"]


def test_order_and_repeats_of_lines_do_not_matter_and_damage_is_reported() -> None:
    for number in range(8):
        messages.send("all", f"message {number}")
    file = Path(paths.messages())
    meaning = messages.everything()
    mixed = file.read_bytes().splitlines(keepends=True) * 2
    random.Random(5).shuffle(mixed)
    bad = b'{"v":1,"id":"x","clock":3,"ts":"2026-11-23T06:18:00.123Z","by":"user","to":7,"text":"a"}\n'
    file.write_bytes(bad + b"".join(mixed) + b'{"v":1,"id":"torn')
    problems: list[tuple[str, int, str]] = []
    assert messages.everything(problems=problems) == meaning
    assert problems == [(str(file), 1, "its 'to' is not text")]
