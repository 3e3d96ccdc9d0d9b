"""`colony report` of a run that moved no data: any workflow, with or without a pipeline.yml."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

from colony_lib.data import runreport
from colony_lib.store import paths, schema
from tests.conftest import Colony
from tests.tui.screen import failed_run

PLAIN = """\
steps:
  - {name: one, run: "echo '<b>|hi|</b>'"}
  - name: two
    depends_on: [one]
    run: |
      echo '{"rows": 3}'
"""


class Page(HTMLParser):
    """The page's texts and tags; every tag that is opened is closed."""

    VOID = {"meta", "br", "line", "rect", "path", "circle", "polyline"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.texts = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts += data + "\n"


def document(colony: Colony, run: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((colony.root / f"reports/run_{run}.json").read_text())
    schema.check(report, "run-report")
    return report


def test_without_a_pipeline_file_it_is_the_newest_runs_in_three_forms(colony: Colony) -> None:
    colony.workflow("plain", PLAIN)
    run = colony("workflow", "run", "plain", "-q").out.strip()
    result = colony("report")
    assert result.out.startswith(
        f"reports/run_{run}.html\nrun: {run} of plain, completed\ncompleted: 2 of 2 steps\ntook: "
    )
    report = document(colony, run)
    assert [(step["name"], step["status"]) for step in report["steps"]] == [("one", "completed"), ("two", "completed")]
    assert report["outputs"] == {"one": "<b>|hi|</b>", "two": '{"rows":3}'}
    assert report["failed"] is None and report["next"] is None
    text = (colony.root / f"reports/run_{run}.html").read_text(encoding="utf-8")
    page = Page(text)
    assert "script" not in page.tags and "b" not in page.tags and "<b>|hi|</b>" in page.texts
    assert "default-src 'none'" in text
    markdown = (colony.root / f"reports/run_{run}.md").read_text(encoding="utf-8")
    assert markdown.startswith(f"# OK: plain of {report['date']}\n") and "\\<b\\>\\|hi\\|\\</b\\>" in markdown
    printed = colony.json("report", "--json")
    assert {**printed, "generated": None} == {**report, "generated": None}


def test_a_failed_run_says_what_failed_its_last_words_and_how_to_go_on(colony: Colony) -> None:
    run = failed_run(colony)
    result = colony("report")  # it is written, whatever it says
    assert re.search(r"^failed: load: exit status 3", result.out, re.MULTILINE)
    report = document(colony, run)
    assert report["failed"]["name"] == "load"
    assert "ERROR [bold]no[/bold] warehouse" in [line["message"] for line in report["failed"]["lines"]]
    assert report["next"] == f"colony workflow resume {run}"
    for name in ("md", "html"):
        text = (colony.root / f"reports/run_{run}.{name}").read_text(encoding="utf-8")
        assert f"colony workflow resume {run}" in text and "[bold]no[/bold] warehouse" in text


def test_it_can_be_named_by_run_or_by_date_and_none_is_an_error(colony: Colony) -> None:
    assert colony("report", check=False).err.startswith("colony report: there is no run yet")
    colony.workflow("plain", PLAIN)
    first, second = (
        colony("workflow", "run", "plain", "-q", "--date", day).out.strip() for day in ("2013-02-08", "2013-02-09")
    )
    assert colony("report", "--run", first).out.startswith(f"reports/run_{first}.html\n")
    assert colony("report", "--date", "2013-02-09").out.startswith(f"reports/run_{second}.html\n")
    result = colony("report", "--date", "2013-02-10", check=False)
    assert (result.code, result.out) == (1, "") and "no run is of 2013-02-10" in result.err
    assert len(document(colony, second)["history"]) == 2


def test_as_a_step_it_reports_its_own_run(colony: Colony) -> None:
    colony.workflow(
        "own", "steps:\n  - {name: one, run: echo 1}\n  - {name: tell, depends_on: [one], run: colony report}\n"
    )
    run = colony("workflow", "run", "own", "-q").out.strip()
    assert document(colony, run)["status"] == "running"
    steps = colony.json("workflow", "status", "--json")["steps"]
    assert steps[1]["output"]["files"]["html"] == f"reports/run_{run}.html"


def test_with_a_pipeline_file_a_run_that_made_no_data_is_reported_as_a_run(colony: Colony) -> None:
    colony.write("pipeline.yml", "version: 1\n")
    colony.workflow("plain", PLAIN)
    run = colony("workflow", "run", "plain", "-q").out.strip()
    assert colony("report", "--run", "latest").out.startswith(f"reports/run_{run}.html\n")
    assert "nothing is known of" in colony("report", "--date", "2013-02-08", check=False).err


def test_a_page_tells_of_the_run_as_it_ended_or_not_at_all(colony: Colony) -> None:
    run = failed_run(colony)
    paths.use(str(colony.root))
    assert runreport.page_of(run) is None
    colony("report")
    page = colony.root / f"reports/run_{run}.html"
    assert runreport.page_of(run) == str(page)
    colony("workflow", "resume", run, check=False)  # it has ended anew
    assert runreport.page_of(run) is None
    colony.write("metrics/daily_2013-02-07.json", "{")  # damaged: tells nothing
    colony.write("reports/daily_2013-02-08.html", "x")
    daily = {"run_id": run, "files": {"html": "reports/daily_2013-02-08.html"}}
    colony.write("metrics/daily_2013-02-08.json", json.dumps(daily))
    assert runreport.page_of(run) == str(colony.root / "reports/daily_2013-02-08.html")
