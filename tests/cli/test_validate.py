"""`colony validate`: every problem, each with its place, and nothing else on standard output."""

from __future__ import annotations

import subprocess

from colony_lib.store import schema
from tests.conftest import BIN, Colony, clean_environment

GOOD = "steps:\n  - name: one\n    run: echo hi\n"


def test_a_sound_colony_is_ok(colony: Colony) -> None:
    colony.workflow("a", GOOD)
    colony.workflow("b", GOOD)
    result = colony("validate")
    assert (result.out, result.err) == ("ok: colony.yml and 2 workflows\n", "")
    result = colony("validate", "--json")
    assert (result.out, result.err) == ("", "")


def test_every_problem_of_every_file_is_printed(colony: Colony) -> None:
    colony.write("colony.yml", "nme: x\nagents:\n  - id: a\n  - id: a\n")
    colony.workflow("bad", "steps:\n  - name: one\n    run: echo hi\n    timout: 5s\n")
    colony.workflow("good", GOOD)
    colony.write(".colony/workflows/torn.yaml", "name: torn\nsteps: [\n")
    result = colony("validate", check=False)
    assert result.code == 2
    lines = result.out.split("\n")
    assert lines[0] == "colony.yml:1: unknown key 'nme'; did you mean 'name'?"
    assert lines[1] == "colony.yml:4: the agent id 'a' is there twice (first in line 3); rename one"
    assert lines[2].startswith(".colony/workflows/bad.yaml:5: unknown key 'timout'")
    assert lines[2].endswith("; did you mean 'timeout'?")
    assert lines[3].startswith(".colony/workflows/torn.yaml:2: not YAML:")
    assert lines[4:] == [""]
    assert result.err == "4 problems in 4 files checked\n"


def test_the_same_as_json_lines(colony: Colony) -> None:
    colony.write("colony.yml", "nme: x\n")
    colony.workflow("w", "steps:\n  - name: one\n    agent: wroker\n    run: echo hi\n  - nam: two\n    run: x\n")
    found = colony.lines("validate", "--json", check=False)
    assert found[0] == {
        "file": "colony.yml",
        "line": 1,
        "message": "unknown key 'nme'",
        "fix": "did you mean 'name'?",
    }
    assert {problem["file"] for problem in found[1:]} == {".colony/workflows/w.yaml"}
    for problem in found:
        schema.check(problem, "problem")


def test_an_agent_that_a_step_names_must_be_in_colony_yml(colony: Colony) -> None:
    colony.workflow("w", "steps:\n  - name: one\n    agent: wroker\n    run: echo hi\n")
    result = colony("validate", check=False)
    assert result.code == 2
    assert result.out == ".colony/workflows/w.yaml:4: unknown agent 'wroker'; did you mean 'worker'?\n"


def test_a_retired_model_is_a_warning_and_no_problem(colony: Colony) -> None:
    colony.write("colony.yml", "agents:\n  - {id: a, model: claude-sonnet-4-20250514}\n")
    result = colony("validate")
    assert result.out == "ok: colony.yml and 0 workflows\n"
    assert result.err == (
        "warning: agent 'a': the model 'claude-sonnet-4-20250514' is retired since 2026-06-15; "
        "'claude-sonnet-5-5' is used instead\n"
    )
    assert colony("validate", env={"COLONY_MODEL": "claude-opus-5-5"}).err == ""


def test_places_are_seen_from_where_one_stands(colony: Colony) -> None:
    colony.write("colony.yml", "nme: x\n")
    (colony.root / "sub").mkdir()
    result = colony("validate", cwd=colony.root / "sub", check=False)
    assert result.out == f"{colony.root}/colony.yml:1: unknown key 'nme'; did you mean 'name'?\n"


def test_a_time_that_the_clock_skips_is_a_warning_and_no_problem(colony: Colony) -> None:
    colony.workflow("w", 'trigger: {cron: "0 0 * * *", timezone: America/Santiago}\nsteps: [{name: a, run: x}]')
    colony.workflow("v", 'trigger: {cron: "30 23 * * *", timezone: America/Nuuk}\nsteps: [{name: a, run: x}]')
    result = colony("validate", env={"COLONY_NOW": "2026-11-23T06:00:00Z"})
    assert (result.out, result.err) == (
        "ok: colony.yml and 2 workflows\n",
        "warning: v: the clock of America/Nuuk skips 2027-03-27 23:30; the run begins at 2027-03-28 00:00\n"
        "warning: w: the clock of America/Santiago skips 2027-09-05 00:00; the run begins at 01:00 that day\n",
    )


def test_control_characters_in_a_file_do_not_reach_the_terminal(colony: Colony) -> None:
    colony.write("colony.yml", '"\\x1b]0;title\\x07": 1\n')
    result = colony("validate", check=False)
    assert "\x1b" not in result.out + result.err
    assert "\\x1b]0;title\\x07" in result.out


def test_without_a_colony_or_its_file_it_says_what_to_do(colony: Colony, tmp_path: object) -> None:
    (colony.root / "colony.yml").unlink()
    result = colony("validate", check=False)
    assert result.code == 2
    assert result.out == f"no colony.yml in '{colony.root}'; run 'colony init' to make one\n"
    nowhere = colony("validate", cwd=colony.root.parent, check=False)
    assert nowhere.code == 2
    assert nowhere.err.startswith("colony validate: no colony in ")


def test_a_closed_pipe_ends_it_quietly(colony: Colony) -> None:
    text = "".join(f"k{i}: 1\n" for i in range(3000))
    colony.write("colony.yml", text)
    words = f"'{BIN}/colony' validate | head -n 1"
    done = subprocess.run(
        ["sh", "-c", words], cwd=colony.root, env=clean_environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("colony.yml:1: unknown key 'k0'")
    assert done.stdout.count("\n") == 1
    assert "Traceback" not in done.stderr and "Broken" not in done.stderr


PIPELINE = """\
sources: {orders: {type: file, path: o.csv}}
warehouse: $NO_SUCH_VARIABLE
datasets:
  orders:
    schema: {fields: [{name: id, type: integer}], primaryKey: id}
"""


def test_a_pipeline_file_is_checked_without_its_variables_and_data(colony: Colony) -> None:
    colony.write("pipeline.yml", PIPELINE)
    assert colony("validate").out == "ok: colony.yml and 0 workflows, and pipeline.yml\n"
    wrong = PIPELINE.replace("$NO_SUCH_VARIABLE", "shop.db").replace("primaryKey: id", "primaryKey: ids")
    colony.write("pipeline.yml", wrong)
    result = colony("validate", check=False)
    assert (result.code, result.out, result.err) == (
        2,
        "pipeline.yml:2: the warehouse is neither a URL nor a path that ends in .duckdb; write it like "
        "duckdb:///warehouse/warehouse.duckdb, or sqlite:///warehouse/warehouse.db\n"
        "pipeline.yml:5: unknown field 'ids'; did you mean 'id'?\n",
        "2 problems in 2 files checked\n",
    )
    colony.write("pipeline.yml", PIPELINE.replace("sources", "surces"))
    result = colony("validate", check=False)
    assert (result.code, result.out) == (2, "pipeline.yml:1: unknown key 'surces'; did you mean 'sources'?\n")


def test_a_dataset_of_no_source_is_a_warning_for_its_files_may_come_from_elsewhere(colony: Colony) -> None:
    colony.write("pipeline.yml", PIPELINE.replace("  orders:", "  order:"))
    result = colony("validate")
    assert (result.out, result.err) == (
        "ok: colony.yml and 0 workflows, and pipeline.yml\n",
        "warning: pipeline.yml:4: the dataset 'order' is of no source that is there; did you mean 'orders'?\n",
    )
