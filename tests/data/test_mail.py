"""A run as a mail: the first line is a subject, what failed comes first, and nothing breaks a mail program's lines."""

from __future__ import annotations

import json

from colony_lib.data import mail
from colony_lib.data.page import run as page_run
from colony_lib.store import paths
from tests.conftest import Colony

ETL = """\
steps:
  - name: fetch
    run: echo rows
  - name: load
    agent: worker
    depends_on: [fetch]
    retry: {max_attempts: 2, delay: 10ms}
    run: printf '.\\nFrom here \\033[31m the warehouse is gone\\n' >&2; exit 3
  - name: report
    depends_on: [load]
    run: echo never
"""


def test_a_failed_run_says_first_what_failed_and_how_to_go_on(colony: Colony) -> None:
    colony.workflow("etl", ETL)
    run_id = colony("workflow", "run", "etl", "--date", "2013-02-08", check=False).out.split("\n")[0]
    before = sorted(str(path) for path in colony.root.rglob("*"))
    result = colony("report", "--mail")
    lines = result.out.split("\n")
    assert lines[0] == "FAILED: etl of 2013-02-08 at load" and lines[1] == ""
    assert "load failed, attempt 2 of 2:" in lines
    assert f"To go on:  colony workflow resume {run_id}" in lines
    assert lines.index("load failed, attempt 2 of 2:") < next(
        i for i, line in enumerate(lines) if line.startswith("STEP")
    )
    assert "the warehouse is gone" in result.out and "\x1b" not in result.out and result.err == ""
    assert not any(line.startswith((".", "From ", "~")) for line in lines)
    assert sorted(str(path) for path in colony.root.rglob("*")) == before


def test_a_completed_run_is_short_and_its_own_words_are_ascii(colony: Colony) -> None:
    colony.workflow("hello", "steps:\n  - name: greet\n    run: echo hi\n")
    for date in ("2013-02-07", "2013-02-08"):
        colony("workflow", "run", "hello", "--date", date)
    out = colony("report", "--mail", env={"LC_ALL": "C"}).out
    assert out.startswith("OK: hello of 2013-02-08\n") and out.isascii() and "To go on" not in out
    assert "Last 2 runs: .." in out
    assert colony("report", "--mail", "--date", "2013-02-07").out.startswith("OK: hello of 2013-02-07\n")


def test_a_run_that_waits_for_a_person_names_the_command(colony: Colony) -> None:
    colony.workflow("etl", "steps:\n  - name: publish\n    approval: true\n    run: echo out\n")
    run_id = colony("workflow", "run", "etl", check=False).out.split("\n")[0]
    out = colony("report", "--mail", "--run", run_id).out
    assert out.startswith("WAITING: etl of ") and out.split("\n")[0].endswith(" at publish")
    assert f"To go on:  colony workflow approve {run_id} publish\n" in out


def test_of_three_hundred_steps_those_that_matter_are_listed(colony: Colony) -> None:
    steps = [f"  - name: s{i:03}\n    on_failure: continue\n    run: exit {int(i in (7, 290))}\n" for i in range(300)]
    colony.workflow("wide", "steps:\n" + "".join(steps))
    run_id = colony("workflow", "run", "wide", check=False).out.split("\n")[0]
    paths.use(str(colony.root))
    out = mail.render(page_run.gather(run_id), None)
    assert "\ns007  failed" in out and "\ns290  failed" in out and "and 260 steps more" in out
    assert out.count("\n") < 80


def test_slips_are_refused_in_a_line(colony: Colony) -> None:
    colony.workflow("hello", "steps:\n  - name: greet\n    run: echo hi\n")
    assert "no run is of 2013-02-08" in colony("report", "--mail", "--date", "2013-02-08", check=False).err
    colony("workflow", "run", "hello")
    result = colony("report", "--mail", "--json", check=False)
    assert result.code == 2 and "--mail and --json" in result.err


def test_the_quality_of_what_the_run_has_validated_is_told_and_of_no_other(colony: Colony) -> None:
    fields = [{"name": "k", "type": "integer"}, {"name": "v", "type": "integer"}]
    colony.write("pipeline.yml", json.dumps({"datasets": {"t": {"schema": {"fields": fields, "primaryKey": ["k"]}}}}))
    colony.write("staging/transformed/t_2013-02-08.json", json.dumps({"data": [{"k": 1, "v": 1}, {"k": 2, "v": None}]}))
    gate = "steps:\n  - name: gate\n    run: colony validate-data --date {{yesterday}}\n"
    colony.workflow("etl", gate)
    colony.workflow("hello", "steps:\n  - name: greet\n    run: echo hi\n")
    run_id = colony("workflow", "run", "etl", "--date", "2013-02-09", check=False).out.split("\n")[0]
    out = colony("report", "--mail").out
    assert "Quality of 2013-02-08:\n" in out and ": 2 records, score 0.75" in out and "completeness" in out
    colony("workflow", "run", "hello", "--date", "2013-02-08")
    assert "Quality" not in colony("report", "--mail").out
    colony.write("pipeline.yml", "sources: [\n")
    result = colony("report", "--mail", "--run", run_id)  # the mail about the run comes all the same
    assert "etl of 2013-02-09" in result.out and "pipeline.yml" in result.err
