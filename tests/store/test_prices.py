"""Facts about models: what comes with Colony, what a colony adds, and what requests cost by them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from colony_lib.base import files
from colony_lib.base.errors import USAGE, ColonyError
from colony_lib.store import models, paths, prices, schema
from tests.conftest import REPOSITORY

DAY = "2026-11-23"


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".colony").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(models, "_read", {})
    paths.use(str(tmp_path))
    return tmp_path


def own(root: Path, value: Any) -> None:
    (root / ".colony" / "models.json").write_text(json.dumps(value), encoding="utf-8")


def used(fresh: int = 0, output: int = 0, write: int = 0, read: int = 0, hour: int = 0) -> dict[str, Any]:
    return {
        "input_tokens": fresh,
        "output_tokens": output,
        "cache_creation_input_tokens": write,
        "cache_read_input_tokens": read,
        "cache_creation": {"ephemeral_5m_input_tokens": write - hour, "ephemeral_1h_input_tokens": hour},
    }


def test_the_packaged_facts_are_as_their_schema_says_and_fit_together() -> None:
    value = files.read_json(models.PACKAGED)
    assert schema.problems(value, "models") == []
    names = [model["id"] for model in value["models"]]
    assert len(set(names)) == len(names)
    assert value["default"] in names
    assert set(value["families"].values()) <= set(names)
    assert {model["family"] for model in value["models"]} <= set(value["families"])
    assert {model["source"] for model in value["models"]} <= set(value["sources"])
    for model in value["families"].values():
        assert prices.worst(model, 1000, 1000, DAY) is not None, model
        assert models.retired(model, DAY) is None
    ids = [price["id"] for model in value["models"] for price in model.get("prices", [])]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    ("model", "day", "usage", "usd", "name"),
    [
        ("claude-sonnet-5-5", "2026-10-06", used(read=1_000_000), 0.2, "sonnet-5-5"),
        ("claude-sonnet-5-5", "2026-10-07", used(read=1_000_000), 0.1, "sonnet-5-5/2026-10-07"),
        ("claude-opus-5-5", DAY, used(1_000_000, 1_000_000, 1_000_000, 1_000_000), 4 + 20 + 5 + 0.2, "opus-5-5"),
        ("claude-fable-5-1", DAY, used(10, 20, 30, 40), (100 + 1000 + 375 + 10) / 1e6, "fable-5-1"),
        ("claude-sonnet-4-6", DAY, used(1_000_000, 1_000_000), 18, "sonnet-4-6"),
        ("claude-haiku-4-5-20251001", DAY, used(1_000_000), 1, "haiku-4-5"),
        ("claude-sonnet-5-5", DAY, used(write=1_000_000, hour=400_000), 0.6 * 2.5 + 0.4 * 4, "sonnet-5-5/2026-10-07"),
        ("claude-haiku-5-5", DAY, used(40_000, 1000, 30_000, 30_000), 0.00855, "haiku-5-5"),
        ("claude-haiku-5-5", DAY, used(40_001, 1000, 30_000, 30_000), 0.0427505, "haiku-5-5/long"),
        ("claude-haiku-4-5", DAY, used(write=10, hour=10), None, None),
        ("claude-opus-4-8", DAY, used(1), None, None),
        ("claude-sonnet-5-9", DAY, used(1), None, None),
        ("a-model-of-tomorrow", DAY, used(1), None, None),
        ("claude-opus-5-5", DAY, {}, 0, "opus-5-5"),
        ("claude-opus-5-5", DAY, {"input_tokens": 1_000_000, "cache_creation": None}, 4, "opus-5-5"),
    ],
)
def test_a_request_costs_what_the_price_of_its_day_says(
    model: str, day: str, usage: dict[str, Any], usd: float | None, name: str | None
) -> None:
    found, price = prices.cost(model, usage, day)
    assert (None if found is None else pytest.approx(usd), price) == (None if found is None else found, name)
    assert (found is None) == (usd is None)


def test_the_worst_is_never_less_than_what_it_comes_to() -> None:
    for model in ("claude-sonnet-5-5", "claude-haiku-5-5", "claude-fable-5-1"):
        for prompt in (10, 100_000, 100_001):
            most = prices.worst(model, prompt, 500, DAY)
            assert most is not None
            for usage in (used(prompt, 500), used(0, 500, prompt), used(0, 500, 0, prompt), used(prompt - 5, 1, 2, 3)):
                assert (prices.cost(model, usage, DAY)[0] or 0) <= most
    assert prices.worst("claude-opus-4-8", 1, 1, DAY) is None


def test_a_colony_adds_to_the_facts_by_id_and_key(root: Path) -> None:
    price = {"input": 1, "output": 2, "cache_write_5m": 3, "cache_read": 4}
    own(
        root,
        {
            "default": "ours",
            "families": {"tiny": "ours"},
            "models": [
                {"id": "ours", "family": "tiny", "prices": [price, {**price, "from": "2026-12-01", "input": 9}]},
                {"id": "claude-opus-5-5", "prices": [{**price, "id": "negotiated"}]},
                {"id": "claude-haiku-4-5", "retired": "2026-01-01", "family": "tiny"},
            ],
        },
    )
    assert models.resolve(None, {})["model"] == "ours"
    assert prices.cost("ours", used(1_000_000), DAY) == (1.0, "ours")
    assert prices.cost("ours", used(1_000_000), "2026-12-01") == (9.0, "ours/2026-12-01")
    assert prices.cost("claude-opus-5-5", used(1_000_000), DAY) == (1.0, "negotiated")
    assert prices.facts("claude-opus-5-5")["max_output"] == 128_000
    assert models.resolve({"id": "a", "model": "claude-haiku-4-5-20251001"}, {}, today=DAY)["model"] == "ours"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"models": [{"id": "m", "price": []}]}, "unknown key 'price' in 'models[0]' at .colony/models.json; did you"),
        ({"models": [{"id": "m", "prices": [{"input": 1}]}]}, "'models[0].prices[0]' has no 'output'"),
        ({"models": [{"id": "m", "retired": "soon"}]}, "'models[0].retired'"),
        (
            {"models": [{"id": "m", "family": "opsu"}]},
            "unknown family 'opsu' at .colony/models.json; did you mean 'opus'?",
        ),
        ([], "must be a mapping"),
    ],
)
def test_a_colonys_facts_are_refused_with_their_place(root: Path, value: Any, expected: str) -> None:
    own(root, value)
    with pytest.raises(ColonyError) as caught:
        prices.facts("m")
    assert caught.value.code == USAGE
    assert expected in str(caught.value)


def test_a_file_that_is_no_json_is_refused_with_its_name(root: Path) -> None:
    (root / ".colony" / "models.json").write_text("{", encoding="utf-8")
    with pytest.raises(ColonyError, match=r"models\.json") as caught:
        prices.worst("m", 1, 1, DAY)
    assert caught.value.code == USAGE


def test_the_facts_are_read_when_they_are_asked_for() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(REPOSITORY)!r})\n"
        "from colony_lib.store import models, prices, spending\n"
        "assert not models._read\n"
        "prices.worst('claude-opus-5-5', 1, 1, '2026-11-23')\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"jsonschema", "yaml", "json", "re", "datetime"}


@pytest.mark.parametrize(
    ("tokens", "usd", "text"),
    [(0, 0, ""), (950, 0.0, "950 $0.00"), (45_240, 0.12, "45.2k $0.12"), (1_234_567, 3, "1.2M $3.00")],
)
def test_what_was_used_is_short(tokens: int, usd: float, text: str) -> None:
    assert prices.amount(tokens, usd) == text


@pytest.mark.parametrize(
    ("usd", "text"), [(0, "$0.00"), (0.00001, "$0.0001"), (0.0021, "$0.0021"), (0.16, "$0.16"), (1234.5, "$1,234.50")]
)
def test_amounts_are_shown_with_as_many_places_as_tell_something(usd: float, text: str) -> None:
    assert prices.shown(usd) == text
