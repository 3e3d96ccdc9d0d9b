"""`colony cron install, remove, list, next, due`: lines that work under cron's bare environment, in a crontab that is
otherwise left alone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from colony_lib.store import schema
from tests.conftest import REPOSITORY, Colony, Result, clean_environment

# Keeps a table in the file $CRONTAB_FILE as Debian's crontab does: -l of none fails, a bad line or a missing last
# newline is refused and the old table stays.
CRONTAB = f"""\
#!{sys.executable} -S
import os, re, sys
file = os.environ["CRONTAB_FILE"]
if sys.argv[1:] == ["-l"]:
    if not os.path.exists(file):
        sys.exit("no crontab for tester")
    sys.stdout.buffer.write(open(file, "rb").read())
elif sys.argv[1:] == ["-"]:
    data = sys.stdin.buffer.read()
    good = rb"[ \\t]*(#.*)?|[ \\t]*\\w+[ \\t]*=.*|[ \\t]*([-*/,0-9]+[ \\t]+){{5}}.{{1,998}}"
    for number, line in enumerate(data.split(b"\\n")[:-1], 1):
        if not re.fullmatch(good, line):
            sys.exit(f'"-":{{number}}: bad minute\\nerrors in crontab file, can\\'t install.')
    if data and not data.endswith(b"\\n"):
        sys.exit("new crontab file is missing newline before EOF, can't install.")
    with open(file + ".new", "wb") as new:
        new.write(data)
    os.rename(file + ".new", file)
else:
    sys.exit(f"usage error: unrecognized option {{sys.argv[1:]}}")
"""
FOREIGN = b"# m h  dom mon dow   command\n\nMAILTO=me@example.org\n0 5 * * *\t/bin/backup \xe9 100\\%  \n"
DAILY = 'trigger: {type: schedule, cron: "0 2 * * *"}\nsteps:\n  - {name: a, run: "echo did {{date}}"}\n'


class Cron:
    """A colony and a crontab of its own."""

    def __init__(self, colony: Colony, folder: Path) -> None:
        self.colony = colony
        self.table = folder / "crontab"
        tools = folder / "tools"
        tools.mkdir(exist_ok=True)
        (tools / "crontab").write_text(CRONTAB)
        (tools / "crontab").chmod(0o755)
        self.env = {
            "CRONTAB_FILE": str(self.table),
            "XDG_STATE_HOME": str(folder / "state"),
            "PATH": f"{tools}{os.pathsep}{self._path()}",
        }

    @staticmethod
    def _path() -> str:
        return clean_environment()["PATH"]

    def __call__(self, *words: str, check: bool = True, env: dict[str, str] | None = None) -> Result:
        return self.colony("cron", *words, check=check, env={**self.env, **(env or {})})

    def lines(self) -> list[str]:
        """The lines of the table that are Colony's jobs."""
        text = self.table.read_bytes().decode("utf-8", "replace")
        return [line for line in text.split("\n") if "/colony-" in line]


@pytest.fixture
def cron(colony: Colony, tmp_path: Path) -> Cron:
    """With an env_file that gives PATH, so that nothing differs between cron and this shell."""
    colony.write("colony.yml", "env_file: .env\n" + (colony.root / "colony.yml").read_text())
    colony.write(".env", "PATH=/usr/bin:/bin\n")
    return Cron(colony, tmp_path)


def as_cron(line: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run a crontab line's command as cron would: sh, hardly any environment, from HOME; '\\%' is '%'."""
    command = line.split(" ", 5)[5]
    assert not re.search(r"(?<!\\)%", command)
    bare = ["env", "-i", f"HOME={home}", "LOGNAME=tester", "SHELL=/bin/sh", "PATH=/usr/bin:/bin"]
    return subprocess.run(
        [*bare, "sh", "-c", command.replace("\\%", "%")],
        cwd=home,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
    )


def test_install_prints_and_writes_the_lines_and_leaves_the_others(cron: Cron) -> None:
    cron.table.write_bytes(FOREIGN)
    cron.colony.workflow("daily", DAILY)
    cron.colony.workflow("by-hand", "steps: [{name: a, run: x}]")
    result = cron("install")
    assert result.err == "installed: 1 workflow; 'colony cron next' shows when\n"
    data = cron.table.read_bytes()
    assert data.startswith(FOREIGN)
    assert cron.lines() == result.out.splitlines()
    root = str(cron.colony.root)
    assert re.fullmatch(
        rf"0 2 \* \* \* cd {re.escape(root)} && /\S*python\S* /\S*/bin/colony-workflow run daily --scheduled "
        r">> \.colony/logs/cron\.log 2>&1\n",
        result.out,
    )
    assert cron("list").out == result.out
    again = cron("install")
    assert (again.out, again.err) == (result.out, "already there: 1 workflow; 'colony cron next' shows when\n")
    assert cron.table.read_bytes() == data
    removed = cron("remove")
    assert (removed.out, removed.err) == ("", "removed: 1 workflow\n")
    assert cron.table.read_bytes() == FOREIGN
    assert cron("remove").err == "nothing of this colony is in the crontab\n"


def test_without_a_crontab_one_is_made(cron: Cron) -> None:
    cron.colony.workflow("daily", DAILY)
    cron("install")
    assert len(cron.lines()) == 1
    cron("remove")
    assert cron.table.read_bytes() == b""


def test_dry_run_shows_the_difference_and_changes_nothing(cron: Cron) -> None:
    cron.table.write_bytes(FOREIGN)
    cron.colony.workflow("daily", DAILY)
    shown = cron("install", "--dry-run").out.splitlines()
    assert shown[:2] == ["--- crontab now", "+++ crontab then"]
    added = [line[1:] for line in shown[3:] if line.startswith("+")]
    assert added[0].startswith("# >>> colony ") and added[1] == "# workflow daily"
    assert added[2] + "\n" == cron("list").out
    assert not [line for line in shown[3:] if line.startswith("-")]
    assert cron.table.read_bytes() == FOREIGN
    cron("install")
    whole = cron.table.read_bytes()
    assert cron("install", "--dry-run").out == ""
    assert len([line for line in cron("remove", "--dry-run").out.splitlines()[3:] if line.startswith("-")]) == 4
    assert cron.table.read_bytes() == whole


@pytest.mark.parametrize("folder", ["colony", 'it\'s 100% $HOME "é" `x` &'])
def test_an_installed_line_works_under_crons_bare_environment(tmp_path: Path, colony: Colony, folder: str) -> None:
    root = tmp_path / "at" / folder
    root.parent.mkdir()
    colony.root.rename(root)
    cron = Cron(Colony(root), tmp_path)
    cron.colony.workflow("daily", DAILY)
    cron("install")
    (line,) = cron.lines()
    done = as_cron(line, tmp_path)
    log = (root / ".colony" / "logs" / "cron.log").read_text()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), log
    run_id = log.split("\n")[0]
    run = cron.colony.json("workflow", "status", run_id, "--json")
    assert (run["status"], run["workflow"]) == ("completed", "daily")
    assert run["steps"][0]["output"] == f"did {run['date']}"
    done = as_cron(line, tmp_path)
    assert done.returncode == 0
    assert len(cron.colony.lines("workflow", "history", "--json")) == 2


def test_commands_of_steps_find_colony_under_cron(cron: Cron, tmp_path: Path) -> None:
    cron.colony.workflow("daily", DAILY.replace("echo did {{date}}", "colony state set day done={{date}}"))
    cron("install")
    done = as_cron(cron.lines()[0], tmp_path)
    assert done.returncode == 0, (cron.colony.root / ".colony" / "logs" / "cron.log").read_text()
    assert cron.colony("state", "get", "day", "done").out.strip()


def other_zone() -> str:
    """A zone whose clock is not this machine's."""
    from colony_lib.store import schedule

    names = ["Asia/Kolkata", "America/New_York"]
    return next(name for name in names if schedule.zone_name(schedule.machine_zone()) != name)


def test_a_line_for_another_zone_runs_only_when_it_is_due(cron: Cron, tmp_path: Path) -> None:
    import datetime
    from zoneinfo import ZoneInfo

    zone = other_zone()
    soon = datetime.datetime.now(ZoneInfo(zone)) + datetime.timedelta(hours=3)
    trigger = f'{{type: schedule, cron: "0 {soon.hour} * * *", timezone: {zone}}}'
    cron.colony.workflow("daily", f"trigger: {trigger}\nsteps:\n  - {{name: a, run: 'true'}}\n")
    cron("install")
    (line,) = cron.lines()
    assert line.startswith("* * * * * cd ") and " tick daily >> " in line
    assert as_cron(line, tmp_path).returncode == 0
    assert cron.colony.lines("workflow", "history", "--json") == []
    due = soon.replace(minute=0, second=30, microsecond=0).astimezone(datetime.UTC)
    frozen = line.replace(" && ", f" && COLONY_NOW={due:%Y-%m-%dT%H:%M:%SZ} ", 1)
    assert as_cron(frozen, tmp_path).returncode == 0
    (run,) = cron.colony.lines("workflow", "history", "--json")
    assert (run["workflow"], run["scheduled"]) == ("daily", f"{due:%Y-%m-%dT%H:%M:00.000Z}")
    assert re.fullmatch(
        rf"{due:%Y-%m-%dT%H:%M:%S.000Z} daily {soon:%Y-%m-%dT%H:00}\S+ started {run['run_id']}\n",
        (cron.colony.root / ".colony" / "logs" / "cron.log").read_text(),
    )


def test_workflows_that_cron_cannot_time_share_a_line_and_leave_it_one_by_one(cron: Cron) -> None:
    for name, missed in (("a", "latest"), ("b", "skip"), ("c", "all")):
        cron.colony.workflow(name, DAILY.replace("schedule,", f"schedule, missed: {missed},"))
    cron("install", "c")
    assert [line.split(" >> ")[0].split(" tick ")[1] for line in cron.lines()] == ["c"]
    cron("install", "a")
    assert [line.split(" >> ")[0].split(" tick ")[1] for line in cron.lines()] == ["a c"]
    result = cron("install")
    assert cron.lines() == result.out.splitlines() == cron("list").out.splitlines()
    assert [re.sub(".* (tick|run) (.*) >> .*", r"\1 \2", line) for line in cron.lines()] == [
        "tick a c",
        "run b --scheduled",
    ]
    assert {row["workflow"]: row["current"] for row in cron.colony.lines("cron", "list", "--json", env=cron.env)} == {
        "a": True,
        "b": True,
        "c": True,
    }
    assert cron("install", "a").err.startswith("already there: 3 workflows")
    cron("remove", "a")
    assert [re.sub(".* (tick|run) (.*) >> .*", r"\1 \2", line) for line in cron.lines()] == [
        "run b --scheduled",
        "tick c",
    ]
    rows = cron.colony.lines("cron", "list", "--json", env=cron.env)
    assert [(row["installed"], row["current"]) for row in rows] == [(False, None), (True, True), (True, True)]
    cron.colony.workflow("c", DAILY)
    cron("install", "c")
    assert [re.sub(".* (tick|run) (.*) >> .*", r"\1 \2", line) for line in cron.lines()] == [
        "run b --scheduled",
        "run c --scheduled",
    ]


def test_lines_of_an_older_colony_are_replaced_and_all_others_stay(cron: Cron) -> None:
    cron.colony.workflow("a", DAILY.replace('*"}', f'*", timezone: {other_zone()}}}'))
    cron.colony.workflow("b", DAILY)
    cron("install")
    block = cron.table.read_bytes()
    begin, end = block.split(b"\n")[0], block.split(b"\n")[-2]
    there = b"cd /old && { /p /b/colony-cron due a && /p /b/colony-workflow run a; } >> .colony/logs/cron.log 2>&1"
    old = FOREIGN + b"\n".join(
        [begin, b"# workflow a", b"0,30 * * * * " + there, b"# workflow b", b"0 2 * * * /p run b", end, b""]
    )
    cron.table.write_bytes(old + b"9 9 * * * last\n")
    cron("install", "b")
    assert b"# workflow a\n0,30 * * * * " + there in cron.table.read_bytes()
    cron("install")
    assert cron.table.read_bytes() == FOREIGN + block + b"9 9 * * * last\n"


def test_one_workflow_can_be_installed_and_removed_by_name(cron: Cron) -> None:
    for name in ("a", "b", "c"):
        cron.colony.workflow(name, DAILY)
    cron("install", "b")
    assert [re.findall(r"run (\w+) ", line) for line in cron.lines()] == [["b"]]
    cron("install", "a")
    assert [re.findall(r"run (\w+) ", line) for line in cron.lines()] == [["a"], ["b"]]
    cron("remove", "a")
    assert [re.findall(r"run (\w+) ", line) for line in cron.lines()] == [["b"]]
    result = cron("remove", "c", check=False)
    assert (result.code, result.err) == (1, "colony cron: unknown workflow in the crontab 'c'; there is 'b'\n")
    cron("install")
    assert len(cron.lines()) == 3


def test_a_schedule_that_is_gone_is_taken_out_at_the_next_install(cron: Cron) -> None:
    cron.table.write_bytes(FOREIGN)
    cron.colony.workflow("daily", DAILY)
    cron("install")
    assert (cron.colony.root / ".colony/schedules/daily.json").exists()
    cron.colony.workflow("daily", "steps: [{name: a, run: x}]")
    result = cron("install")
    assert (result.out, result.err) == ("", "no workflow has a schedule; the old lines are gone\n")
    assert cron.table.read_bytes() == FOREIGN
    assert not (cron.colony.root / ".colony/schedules/daily.json").exists()


def test_a_bad_workflow_stops_an_install_before_anything_is_written(cron: Cron) -> None:
    cron.colony.workflow("daily", DAILY)
    cron.colony.workflow("bad", "steps: [{name: a}]")
    result = cron("install", check=False)
    assert (result.code, result.out, cron.table.exists()) == (2, "", False)
    assert result.err.startswith("colony cron: step 'a' has neither 'run' nor 'instructions' at .colony/workflows/bad")
    cron("install", "daily")
    result = cron("install", "bad", check=False)
    assert result.code == 2


def test_a_workflow_without_a_schedule_or_that_is_unknown_is_refused(cron: Cron) -> None:
    cron.colony.workflow("by-hand", "steps: [{name: a, run: x}]")
    result = cron("install", "by-hand", check=False)
    assert result.code == 2
    assert result.err.startswith("colony cron: workflow 'by-hand' has no schedule at .colony/workflows/by-hand.yaml; ")
    result = cron("next", "by-hnd", check=False)
    assert (result.code, result.err) == (1, "colony cron: unknown workflow 'by-hnd'; did you mean 'by-hand'?\n")
    assert cron("list").err == "no workflow has a schedule\n"
    assert cron("next").err == "no workflow has a schedule\n"


def test_what_crontab_refuses_is_told_and_the_old_table_stays(cron: Cron) -> None:
    broken = FOREIGN + b"every morning /bin/x\n"
    cron.table.write_bytes(broken)
    cron.colony.workflow("daily", DAILY)
    result = cron("install", check=False)
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        "colony cron: 'crontab' refused the new table, the old one stays: \"-\":5: bad minute errors in crontab "
        "file, can't install.\n"
    )
    assert cron.table.read_bytes() == broken


def test_a_machine_without_crontab_is_told_what_else_to_do(cron: Cron, tmp_path: Path) -> None:
    cron.colony.workflow("daily", DAILY)
    few = tmp_path / "few"
    few.mkdir()
    for tool in ("sh", "env", "dirname", "readlink"):
        (few / tool).symlink_to(f"/usr/bin/{tool}")
    from tests.conftest import BIN

    path = os.pathsep.join([str(BIN), str(Path(sys.executable).parent), str(few)])
    result = cron("install", check=False, env={"PATH": path})
    assert result.code == 1
    assert result.err.startswith("colony cron: there is no 'crontab' command on PATH; ")
    listed = cron("list", "--json", env={"PATH": path})
    assert '"installed":null' in listed.out
    assert cron("list", env={"PATH": path}).err == ""


def test_list_as_json_says_what_is_installed(cron: Cron) -> None:
    for name in ("a", "b"):
        cron.colony.workflow(name, DAILY)
    cron("install", "a")
    cron.colony.workflow("a", DAILY.replace("0 2", "0 3"))
    rows = cron.colony.lines("cron", "list", "--json", env=cron.env)
    assert [(row["workflow"], row["cron"], row["installed"], row["current"]) for row in rows] == [
        ("a", "0 3 * * *", True, False),
        ("b", "0 2 * * *", False, None),
    ]
    for row in rows:
        schema.check(row, "cron-list")


def test_next_prints_times_with_their_zone(cron: Cron) -> None:
    cron.colony.workflow("berlin", DAILY.replace('*"}', '*", timezone: Europe/Berlin}'))
    cron.colony.workflow("hourly", DAILY.replace('"0 2 * * *"', "'@hourly', timezone: UTC"))
    frozen = {"COLONY_NOW": "2026-11-23T00:30:00Z"}
    assert cron("next", env=frozen).out == (
        "WORKFLOW  NEXT                    TIMEZONE       IN\n"
        "berlin    2026-11-23 02:00+01:00  Europe/Berlin  30m00s\n"
        "hourly    2026-11-23 01:00+00:00  UTC            30m00s\n"
    )
    rows = cron.colony.lines("cron", "next", "berlin", "-n", "2", "--json", env={**cron.env, **frozen})
    assert rows[0] == {
        "workflow": "berlin",
        "next": "2026-11-23T01:00:00.000Z",
        "local": "2026-11-23T02:00:00+01:00",
        "timezone": "Europe/Berlin",
    }
    assert rows[1]["next"] == "2026-11-24T01:00:00.000Z"
    for row in rows:
        schema.check(row, "cron-next")


def test_due_answers_by_its_status_alone(cron: Cron) -> None:
    cron.colony.workflow("berlin", DAILY.replace('*"}', '*", timezone: Europe/Berlin}'))
    for now, code in [("2026-11-23T01:00:59Z", 0), ("2026-11-23T01:01:00Z", 1), ("2026-11-23T02:00:00Z", 1)]:
        result = cron("due", "berlin", check=False, env={"COLONY_NOW": now})
        assert (result.code, result.out, result.err) == (code, "", "")


def test_colonies_that_install_at_the_same_time_do_not_lose_each_others_lines(colony: Colony, tmp_path: Path) -> None:
    colonies = []
    for number in range(5):
        root = tmp_path / f"c{number}"
        (root / ".colony" / "workflows").mkdir(parents=True)
        (root / "colony.yml").write_text("name: c\n")
        colonies.append(Cron(Colony(root), tmp_path))
        colonies[-1].colony.workflow("daily", DAILY)
    colonies[0].table.write_bytes(FOREIGN)
    running = [cron.colony.start("cron", "install", env=cron.env) for cron in colonies]
    for process in running:
        assert "\ninstalled: 1 workflow; " in process.communicate()[1]
    assert colonies[0].table.read_bytes().startswith(FOREIGN)
    assert sorted(re.findall(r"cd \S+/(c\d) ", "\n".join(colonies[0].lines()))) == [f"c{n}" for n in range(5)]


def test_settings_above_the_block_are_warned_of(cron: Cron) -> None:
    cron.table.write_bytes(b"CRON_TZ=Asia/Tokyo\n")
    cron.colony.workflow("daily", DAILY)
    assert cron("install").err.startswith("warning: the crontab sets CRON_TZ=Asia/Tokyo, which some crons apply")


# ── what a workflow needs there ────────────────────────────────────────────────────────────────────────────────

AGENTS = """\
name: c
agents:
  - {id: loader, env: {KEY: $SOME_KEY, URL: "https://x/${PLACE}"}}
  - {id: unused, env: {OTHER: $NOWHERE}}
"""
LOADS = DAILY.replace("{name: a,", "{name: a, agent: loader,")


def test_a_variable_that_cron_does_not_have_is_named_before_the_crontab_is_touched(cron: Cron) -> None:
    cron.table.write_bytes(FOREIGN)
    cron.colony.workflow("daily", LOADS)
    here = {"SOME_KEY": "k-123456", "PLACE": "p"}
    for env_file, text, variable, fix in [
        ("", "", "SOME_KEY", "write SOME_KEY=… into a file .env, and 'env_file: .env' into colony.yml"),
        ("env_file: .env\n", "PLACE=p\n", "SOME_KEY", "write SOME_KEY=… into the env_file '.env'"),
        ("env_file: .env\n", "SOME_KEY=k-123456\n", "PLACE", "write PLACE=… into the env_file '.env'"),
    ]:
        cron.colony.write("colony.yml", env_file + AGENTS)
        cron.colony.write(".env", text)
        for words in (["install"], ["install", "--dry-run"]):
            result = cron(*words, check=False, env=here)
            line = AGENTS[: AGENTS.index("loader")].count("\n") + bool(env_file) + 1
            assert (result.code, result.out, result.err) == (
                2,
                "",
                f"colony cron: the environment variable {variable} is not set under cron, which agent 'loader' needs at "
                f"colony.yml:{line}; {fix}\n",
            )
    assert cron.table.read_bytes() == FOREIGN
    assert not (cron.colony.root / ".colony" / "schedules").exists()
    cron.colony.write(".env", "SOME_KEY=k-123456\nPLACE=p\nPATH=/usr/bin:/bin\n").chmod(0o600)
    assert cron("install").err == "installed: 1 workflow; 'colony cron next' shows when\n"


def test_a_variable_may_stand_in_the_crontab_above_the_block(cron: Cron) -> None:
    cron.colony.write("colony.yml", "env_file: .env\n" + AGENTS)
    cron.colony.workflow("daily", LOADS)
    cron.table.write_bytes(b"SOME_KEY=k-123456\nPLACE = p\n")
    cron("install")
    cron("remove")
    cron.table.write_bytes(b"")
    assert cron("install", check=False).code == 2


def test_a_variable_that_a_step_takes_is_asked_for_too(cron: Cron) -> None:
    step = DAILY.replace("{name: a,", '{name: a, env: {X: "$$ $COLONY_DATE $HOME ${MORE}"},')
    cron.colony.workflow("daily", step)
    result = cron("install", check=False, env={"MORE": "x"})
    assert (result.code, result.err) == (
        2,
        "colony cron: the environment variable MORE is not set under cron, which step 'a' needs at "
        ".colony/workflows/daily.yaml:4; write MORE=… into the env_file '.env'\n",
    )
    cron.colony.workflow(
        "daily",
        "steps: [{name: a, run: x}]\nerror_handling:\n  - {step: b, env: {X: $MORE}, run: x}\n" + DAILY.split("\n")[0],
    )
    assert "MORE is not set under cron, which step 'b' needs" in cron("install", check=False).err


def test_an_input_that_no_schedule_gives_is_asked_for(cron: Cron) -> None:
    needs = "input: {type: object, required: [day], properties: {day: {type: string}}}\n"
    cron.colony.workflow("daily", needs + DAILY)
    result = cron("install", check=False)
    assert (result.code, cron.table.exists()) == (2, False)
    assert result.err.startswith("colony cron: workflow 'daily' cannot start by itself: the input does not fit: ")
    assert result.err.endswith(" at .colony/workflows/daily.yaml; give what is required a default\n")
    cron.colony.workflow("daily", needs.replace("type: string", "type: string, default: monday") + DAILY)
    cron("install")


def test_an_env_file_that_others_can_read_or_that_is_not_there_is_told(cron: Cron) -> None:
    cron.colony.workflow("daily", DAILY)
    secret = cron.colony.write(".env", "SECRET=hunter2hunter2\nPATH=/usr/bin:/bin\n")
    secret.chmod(0o644)
    assert cron("install").err.startswith("warning: the env_file '.env' can be read by other users: chmod 600 .env\n")
    secret.chmod(0o600)
    assert cron("install").err.startswith("already there")
    secret.write_text("SECRET hunter2hunter2\n")
    result = cron("install", check=False)
    assert (result.code, result.err) == (
        2,
        "colony cron: not a NAME=value line at .env:1; write NAME=value, or # before a comment\n",
    )
    secret.unlink()
    (cron.colony.root / ".env").mkdir()
    result = cron("install", check=False)
    assert result.code == 2 and "is not a regular file" in result.err
    (cron.colony.root / ".env").rmdir()
    assert cron("install", env={"PATH": cron.env["PATH"]}).err.startswith(
        "warning: the env_file '.env' does not exist\n"
    )


def test_a_path_that_cron_lacks_is_told_with_the_line_to_add(cron: Cron, tmp_path: Path) -> None:
    cron.colony.workflow("daily", DAILY)
    more = tmp_path / "more tools"
    more.mkdir()
    from tests.conftest import BIN

    (cron.colony.root / ".env").write_text("")
    path = f"{more}:{cron.table.parent / 'tools'}:{BIN}:{Path(sys.executable).parent}:/usr/bin:/bin:nowhere:/not/there"
    result = cron("install", env={"PATH": path})
    line = f"PATH='{path.removesuffix(':nowhere:/not/there')}'"
    assert result.err.split("\n")[0] == (
        "warning: cron's PATH is /usr/bin:/bin, and this shell's has 3 folders more; to have them there too, "
        f"write into '.env': {line}"
    )
    (cron.colony.root / ".env").write_text(line + "\n")
    assert cron("install", env={"PATH": path}).err.startswith("already there")
    (cron.colony.root / ".env").write_text("PATH=$HOME/bin:/usr/bin:/bin\n")
    assert cron("install").err.startswith(
        "warning: PATH in the env_file '.env' holds a '$', and no variable is expanded there: write it out\n"
    )
    # What the crontab itself sets counts.
    (cron.colony.root / ".env").write_text("")
    cron("remove")
    cron.table.write_text(f"PATH={path}\n")
    assert cron("install", env={"PATH": path}).err.startswith("installed")


def test_a_zone_of_this_shell_alone_is_told(cron: Cron) -> None:
    cron.colony.workflow("daily", DAILY)
    zone = other_zone()
    assert cron("install", env={"TZ": zone}).err.startswith(
        f"warning: TZ={zone} is set here, and cron goes by the machine's clock, "
    )
    assert cron("install", env={"TZ": "nonsense"}).err.startswith("already there")
    cron.colony.workflow("daily", DAILY.replace('*"}', f'*", timezone: {zone}}}'))
    assert cron("install", env={"TZ": zone}).err.startswith("installed")


# ── the same by cron as by hand ────────────────────────────────────────────────────────────────────────────────

SAME = """\
steps:
  - {name: tool, agent: loader, run: our-tool "$KEY"}
  - {name: path, run: echo "$PATH"}
  - {name: words, run: "echo 'Zürich 日本 ✓'; echo 'Zürich ✗' >&2"}
  - {name: given, depends_on: [words], run: "printf '%s' {{steps.words.output}}; jq -r .steps.words.output"}
"""


@pytest.mark.parametrize("missed", ["skip", "latest"])
def test_a_run_by_its_crontab_line_is_the_run_by_hand(cron: Cron, tmp_path: Path, missed: str) -> None:
    tools = tmp_path / "our tools"
    tools.mkdir()
    (tools / "our-tool").write_text("#!/bin/sh\nprintf 'the tool got %s letters, ü' ${#1}\n")
    (tools / "our-tool").chmod(0o755)
    cron.colony.write("colony.yml", "env_file: .env\nagents: [{id: loader, env: {KEY: $SOME_KEY}}]\n")
    cron.colony.write(".env", f"SOME_KEY=k-123456\nPATH='{tools}:/usr/bin:/bin'\n").chmod(0o600)
    cron.colony.workflow("daily", f'trigger: {{cron: "* * * * *", missed: {missed}}}\n{SAME}')
    cron("install", env={"COLONY_NOW": "2026-11-23T06:00:00Z"})
    (line,) = cron.lines()
    now = "COLONY_NOW=2026-11-23T06:01:00Z "
    done = as_cron(line.replace(" && ", f" && {now}", 1), tmp_path)
    log = (cron.colony.root / ".colony" / "logs" / "cron.log").read_bytes().decode("utf-8")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), log
    (by_cron,) = ended(cron.colony, 1)
    assert by_cron["scheduled"] == "2026-11-23T06:01:00.000Z" and by_cron["run_id"] in log

    # By hand with another language and a PATH of one's own, in which another tool of that name stands first.
    (cron.table.parent / "tools" / "our-tool").write_text("#!/bin/sh\necho wrong\n")
    (cron.table.parent / "tools" / "our-tool").chmod(0o755)
    hand = {**cron.env, "LC_ALL": "POSIX", "LANG": "de_DE.ISO-8859-1", "COLONY_NOW": "2026-11-23T06:02:00Z"}
    cron.colony("workflow", "run", "daily", env=hand)
    by_hand = ended(cron.colony, 2)[0]
    assert (by_hand["scheduled"], by_hand["status"]) == (None, "completed")

    def told(run: dict[str, Any]) -> list[Any]:
        return [(step["name"], step["status"], step["output"], step["error"]) for step in run["steps"]]

    assert told(by_cron) == told(by_hand)
    outputs = {step["name"]: step["output"] for step in by_cron["steps"]}
    assert outputs["tool"] == "the tool got 8 letters, ü" and outputs["path"].endswith(f":{tools}:/usr/bin:/bin")
    assert outputs["given"] == "Zürich 日本 ✓Zürich 日本 ✓"
    messages = [record["message"] for record in cron.colony.journal("logs/colony.jsonl")]
    assert messages.count("Zürich ✗") == 2
    # What is printed is UTF-8 in the one environment and in the other.
    shown = [
        subprocess.run(
            [sys.executable, str(REPOSITORY / "bin" / "colony-workflow"), "status", by_cron["run_id"]],
            cwd=cron.colony.root,
            env=environment,
            capture_output=True,
        ).stdout
        for environment in (
            {"HOME": str(tmp_path), "LOGNAME": "tester", "SHELL": "/bin/sh", "PATH": "/usr/bin:/bin"},
            {**clean_environment(), "LC_ALL": "C.UTF-8"},
        )
    ]
    assert shown[0] == shown[1] and "✓" in shown[0].decode("utf-8")


def ended(colony: Colony, count: int) -> list[dict[str, Any]]:
    """The runs, newest first, once there are so many and all have ended."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        history = colony.lines("workflow", "history", "--json")
        if len(history) == count and all(run["status"] not in ("running", "interrupted") for run in history):
            return [colony.json("workflow", "status", run["run_id"], "--json") for run in history]
        time.sleep(0.05)
    raise AssertionError(history)
