"""The report's page: it is whole, needs nothing from elsewhere, and nothing that stands in data is more than text in it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from colony_lib.data.page import charts, graph, html, timeline
from colony_lib.data.page import report as pages
from colony_lib.data.page import run as page_run
from colony_lib.store import paths
from tests.conftest import Colony

EVIL = "</style></title><script>alert(1)</script><img src=x onerror=y>\"'\x1b[31m\u202eevil\u2066&amp;"
VOID = {"meta", "br", "img", "link", "input"}


class Parsed(HTMLParser):
    """The page's elements; each that is opened must be closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        self.wrong += [f"'{name}' is not closed" for name in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"'{tag}' is closed out of turn")

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def check(text: str) -> Parsed:
    """What is true of every page."""
    page = Parsed(text)
    assert page.wrong == []
    names = {name for name, _ in page.elements}
    assert not names & {"script", "img", "link", "iframe", "object", "embed", "form", "base", "a"}
    for _, attributes in page.elements:
        assert not any(key == "style" or key.startswith("on") or key in ("src", "href") for key in attributes)
    policy = next(dict(a)["content"] or "" for _, a in page.elements if "http-equiv" in a)
    style = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    assert len(style) == 1 and "@import" not in style[0] and "url(" not in style[0]
    digest = base64.b64encode(hashlib.sha256(style[0].encode()).digest()).decode()
    assert policy.startswith("default-src 'none';") and f"style-src 'sha256-{digest}';" in policy
    assert "http://" not in text and "https://" not in text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
    return page


def step(name: str, status: str = "completed", *after: str, **more: Any) -> dict[str, Any]:
    tries = [{"started": "2026-11-26T02:00:00.000Z", "ended": "2026-11-26T02:00:01.500Z", "status": status}]
    return {
        "name": name, "agent": "worker", "status": status, "depends_on": [*after], "attempts": 1, "most": 2, "tries": tries,
        "timeout_seconds": 60, "duration_seconds": 1.5, "usual": 1.2, "error": None, "tokens": 0, "cost_usd": 0.0, **more,
    }  # fmt: skip


def run(steps: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {
        "run_id": "r20261126-020000-abcde", "workflow": "w", "status": "completed", "date": "2026-11-26",
        "started": "2026-11-26T02:00:00.000Z", "ended": "2026-11-26T02:00:09.000Z", "duration_seconds": 9.0, "error": None,
        "tokens": 0, "cost_usd": 0.0, "steps": steps, "failed": None, "history": [], "next": None, **more,
    }  # fmt: skip


def report(**more: Any) -> dict[str, Any]:
    return {
        "v": 1, "date": "2026-11-25", "generated": "2026-11-26T02:00:10.000Z", "run_id": "r1", "workflow": "w", "status": None,
        "records_fetched": None, "records_processed": None, "records_rejected": None, "quality_score": None, "error_count": 0,
        "duration_seconds": None, "fetch": {}, "validation": {}, "load": {}, "problems": [], "lineage": [], "missing": [],
        "alerts": [], "trend": {"days": [], "median": {}, "change": {}, "previous": None, "count": 0},
        "files": {"markdown": "reports/a.md", "json": "metrics/a.json", "html": "reports/a.html"}, **more,
    }  # fmt: skip


def test_a_page_of_nothing_is_whole() -> None:
    assert "Wednesday 25 November 2026" in check(pages.render(report(run_id=None, workflow=None), None)).text


def test_whatever_stands_in_data_is_only_text() -> None:
    hostile = report(
        workflow=EVIL,
        status="FAIL",
        missing=[EVIL],
        alerts=[{"figure": EVIL, "condition": EVIL, "value": 1.5, "holds": True}],
        fetch={EVIL: {"records": 1, "quarantined": 2, "fetch_time": EVIL}},
        validation={
            EVIL: {
                "status": EVIL, "quality_score": 0.5, "record_count": 1, "error_count": 0, "rows_flagged": 0,
                "checks": [{"name": EVIL, "passed": False, "severity": "fail", "value": EVIL, "threshold": EVIL, "message": EVIL}],
            }
        },
        load={"warehouse": EVIL, "tables": {EVIL: {"mode": EVIL, "inserted": 1}}},
        problems=[{"level": "error", "agent": EVIL, "step": EVIL, "count": 1, "message": EVIL}],
        lineage=[
            {
                "dataset": EVIL, "source": EVIL, "fetch_time": EVIL, "load_time": EVIL, "warehouse_table": EVIL,
                "transformations": [{"type": EVIL, "rows_affected": 1}], "validation": EVIL,
            }
        ],
    )  # fmt: skip
    lines = [{"ts": "2026-11-26T02:00:00.000Z", "level": "error", "message": EVIL}]
    bad = step(EVIL, "failed", error=EVIL, agent=EVIL)
    history = [{"status": EVIL, "date": EVIL}] * 2
    given = run([bad], failed={**bad, "lines": lines}, next=EVIL, history=history, status=EVIL, run_id=EVIL)
    page = check(pages.render(hostile, given))
    assert page.text.count("<script>alert(1)</script>") > 10


def test_what_failed_comes_first_with_the_command_that_goes_on() -> None:
    bad = step("load-data", "failed", "fetch", error="exit status 3: no room", attempts=2)
    lines = [{"ts": "2026-11-26T02:00:00.000Z", "level": "error", "message": "no room"}]
    given = run(
        [step("fetch"), bad, step("tell", "cancelled", "load-data", tries=[])],
        failed={**bad, "lines": lines}, next="colony workflow resume r20261126-020000-abcde", status="failed",
    )  # fmt: skip
    text = check(pages.render(report(), given)).text
    assert "load-data failed, attempt 2 of 2 exit status 3: no room 02:00:00 ERROR no room Go on with:" in text
    made = pages.render(report(), {**given, "failed": {**bad, "lines": lines * 2}})
    assert "no room\n02:00:00 ERROR" in made
    assert text.index("colony workflow resume r2026") < text.index("Quality score")


def test_the_graph_puts_each_step_right_of_what_it_depends_on() -> None:
    steps = [
        step("a"),
        step("b"),
        step("c", "completed", "a", "b"),
        step("d", "completed", "a"),
        step("e", "failed", "c", "d"),
    ]
    assert [[each["name"] for each in layer] for layer in graph.layers(steps)] == [["a", "b"], ["d", "c"], ["e"]]
    drawn = str(graph.draw(steps))
    assert drawn.count('class="edge"') == 5 and drawn.count("<rect") == 5 and 'class="box bad"' in drawn


def test_three_hundred_steps_are_a_small_page_and_a_graph_of_layers() -> None:
    steps = [step("first")]
    for number in range(298):
        more = {
            "tries": [
                {"started": "2026-11-26T02:00:01.000Z", "ended": "2026-11-26T02:00:03.000Z", "status": "completed"}
            ]
        }
        steps.append(step(f"part-{number}", "failed" if number == 250 else "completed", "first", **more))
    steps.append(step("last", "cancelled", *(f"part-{number}" for number in range(298)), tries=[]))
    text = pages.render(report(), run(steps))
    page = check(text)
    assert len(text) < 250_000
    assert "298 steps" in page.text and "1 failed, 297 completed" in page.text
    assert "239 shorter steps are not drawn." in page.text and "part-250" in page.text


def test_the_timeline_has_a_bar_for_each_attempt_on_one_axis() -> None:
    tries = [
        {"started": "2026-11-26T02:00:00.000Z", "ended": "2026-11-26T02:00:04.000Z", "status": "failed"},
        {"started": "2026-11-26T02:00:05.000Z", "ended": None, "status": "running"},
    ]
    drawn = str(timeline.draw([step("a", "running", tries=tries, duration_seconds=None)], "2026-11-26T02:00:09.000Z"))
    bars = re.findall(r'<rect x="([\d.]+)" y="\d+" width="([\d.]+)"[^>]* class="bar (\w+)"', drawn)
    assert [kind for _, _, kind in bars] == ["bad", "live"]
    assert float(bars[0][0]) + float(bars[0][1]) < float(bars[1][0])
    assert float(bars[0][1]) == pytest.approx(float(bars[1][1]), abs=0.2)
    assert timeline.draw([step("a", "pending", tries=[])], "2026-11-26T02:00:09.000Z") is None


def test_a_line_of_figures_has_gaps_where_nobody_knows() -> None:
    drawn = str(charts.line([1.0, None, 3.0, 2.0], 2.0, "x"))
    path = re.search(r'd="([^"]*)"', drawn)
    assert path and path[1].count("M") == 2 and path[1].count("L") == 1
    assert charts.line([None, 1.0], None, "x") is None and charts.line([1.0, 1.0], None, "x") is not None


def test_an_element_escapes_what_is_no_markup() -> None:
    made = html.element("p", "<b>", html.element("i", 1), None, ["x", 2.5], title='"', class_="c")
    assert made == '<p title="&quot;" class="c">&lt;b&gt;<i>1</i>x2.5</p>'


def test_a_real_run_with_retries_is_told_with_every_attempt(colony: Colony) -> None:
    colony.workflow(
        "w",
        "steps:\n  - {name: a, run: 'true'}\n"
        "  - {name: b, depends_on: [a], run: echo broken >&2; exit 3, retry: {max_attempts: 2, delay: 10ms}}\n"
        "  - {name: c, depends_on: [b], run: 'true'}\n",
    )
    for _ in range(2):
        colony("workflow", "run", "w", "-q", check=False)
    paths.use(str(colony.root))
    [newest, older] = [line["run_id"] for line in colony.lines("workflow", "history", "--json")]
    found = page_run.gather(newest)
    assert [(each["name"], each["status"], len(each["tries"])) for each in found["steps"]] == [
        ("a", "completed", 1), ("b", "failed", 2), ("c", "cancelled", 0),
    ]  # fmt: skip
    assert found["failed"]["name"] == "b" and any("broken" in line["message"] for line in found["failed"]["lines"])
    assert [each["run_id"] for each in found["history"]] == [older, newest]
    assert found["next"] == f"colony workflow resume {newest}"
    colony.write("pipeline.yml", "version: 1\n")
    done = colony("report", "--run", newest, "--date", "2026-11-25", "--json")
    made = json.loads(done.out)
    assert made["files"]["html"] == "reports/daily_2026-11-25.html"
    check((colony.root / made["files"]["html"]).read_text(encoding="utf-8"))


def test_the_page_of_the_report_stands_beside_it(colony: Colony, tmp_path: Path) -> None:
    colony.workflow("w", "steps:\n  - {name: a, run: 'true'}\n")
    colony("workflow", "run", "w", "-q")
    colony.write("pipeline.yml", "version: 1\n")
    colony("report", "--run", "latest", "--date", "2026-11-25")
    assert sorted(path.name for path in (colony.root / "reports").glob("daily_*")) == [
        "daily_2026-11-25.html", "daily_2026-11-25.md",
    ]  # fmt: skip


def test_the_axis_of_a_short_run_is_in_milliseconds_and_the_time_stands_behind_the_last_bar() -> None:
    tries = [
        {"started": "2026-11-26T02:00:00.000Z", "ended": "2026-11-26T02:00:00.080Z", "status": "completed"},
        {"started": "2026-11-26T02:00:00.010Z", "ended": "2026-11-26T02:00:00.030Z", "status": "completed"},
    ]
    drawn = str(timeline.draw([step("a", tries=tries, duration_seconds=0.08)], "2026-11-26T02:00:09.000Z"))
    assert re.findall(r'text-anchor="middle">([^<]*)<', drawn) == ["0", "40 ms", "80 ms"]
    bars = re.findall(r'<rect x="([\d.]+)" y="\d+" width="([\d.]+)"', drawn)
    (took,) = re.findall(r'<text x="([\d.]+)"[^>]*>0.1s<', drawn)
    assert float(took) > max(float(x) + float(width) for x, width in bars)


def test_the_page_that_a_step_of_the_run_makes_says_that_the_run_was_going_on_then() -> None:
    text = check(pages.render(report(), {**run([step("report", "running", tries=[])]), "status": "running"})).text
    assert "running when this was written, begun 2026-11-26" in " ".join(text.split())
    assert "when this was written" not in check(pages.render(report(), run([step("report")]))).text
