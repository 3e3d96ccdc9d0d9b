"""What the screen knows: reads of the colony's files what has changed since, and makes one snapshot a look of it."""

from __future__ import annotations

import os
from itertools import islice

from colony_lib.base import clock
from colony_lib.base.errors import ColonyError
from colony_lib.store import agents, config, logread, messages, paths, runs, spending, ticks
from colony_lib.tui import runview
from colony_lib.tui.taskboard import Board
from colony_lib.tui.trends import Trend, Trends

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Record = dict[str, Any]

HISTORY = 100  # runs that are listed
MESSAGES = 500  # messages that are shown, the newest
QUIET = 60.0  # seconds without a log line after which a working agent is called quiet


class Snapshot:
    """The colony at one moment. What could not be read is empty, and `troubles` says why."""

    def __init__(self) -> None:
        self.at = clock.epoch()
        self.name = ""
        self.agents: list[Record] = []  # as `status --json`, with `model`, `branch`, `seen` (seconds), `said`
        self.history: list[Record] = []
        self.live: list[str] = []  # runs that run or wait
        self.bad: list[Record] = []  # summaries of runs that failed, and no newer one of their workflow
        self.view: runview.RunView | None = None
        self.next_time: str | None = None  # when the schedule of the view's workflow comes again
        self.board: Board | None = None
        self.messages: list[Record] = []
        self.trends: list[Trend] = []
        self.spent = 0.0
        self.changed: float | None = None  # when a file was last written
        self.troubles: list[str] = []

    def newest(self) -> str | None:
        """The run to look at when nobody has chosen: the last one that runs, else the last that waits for a person or
        failed, else the last."""
        rows = [row for row in self.history if row["run_id"] in self.live]
        running = [row["run_id"] for row in rows if row["status"] == "running"]
        wanting = [row["run_id"] for row in [*rows, *self.bad]]
        every = [row["run_id"] for row in self.history]
        return next((max(some) for some in (running, wanting, every) if some), None)


class Feed:
    """Reads for one screen; its `look` is called by one thread at a time."""

    def __init__(self) -> None:
        self._trends = Trends()
        self._survey: agents.Survey
        self._kept: dict[str, tuple[Any, Any]] = {}  # what was read, and of which state of its file
        self._took: dict[str, dict[str, float]] = {}  # of completed runs: seconds by step

    def look(self, run_id: str | None, hours: int, *, with_metrics: bool) -> Snapshot:
        """A snapshot; of the run `run_id` (None: the one that matters most) all is read, of metrics if wanted."""
        found = Snapshot()
        parts: list[Callable[[Snapshot], None]] = [self._runs, self._agents, self._tasks, self._messages]
        parts.append(lambda snapshot: self._run(snapshot, run_id))
        if with_metrics:
            parts.append(lambda snapshot: setattr(snapshot, "trends", self._trends.look(hours)))
        for part in parts:
            try:
                part(found)
            except ColonyError as error:
                found.troubles.append(str(error))
            except OSError as error:
                found.troubles.append(f"{error.strerror}: '{error.filename}'")
        found.changed = _newest_change()
        return found

    def _runs(self, found: Snapshot) -> None:
        found.name = os.path.basename(paths.root())
        survey = self._survey = agents.Survey()
        found.live = [run.run_id for run in survey.live]
        found.bad = survey.bad
        found.history = list(islice(runs.summaries(), HISTORY))

    def _agents(self, found: Snapshot) -> None:
        settings = config.load()
        found.name = settings["name"]
        states = agents.states(settings, self._survey)
        known = {agent["id"]: agent for agent in settings["agents"]}
        for state in states:
            agent = known[state["id"]]
            ts, said, level = self._last_words(state["id"])
            seen = max(filter(None, (ts, _seconds(state["since"]))), default=None)
            quiet = state["status"] == "working" and seen is not None and found.at - seen > QUIET
            more = {"model": agent["model"], "branch": agent["worktree_branch"], "definition": agent}
            found.agents.append({**state, **more, "seen": seen, "said": said, "level": level, "quiet": quiet})
        found.spent = sum(usd for _, usd in spending.today().values())

    def _last_words(self, agent: str) -> tuple[float | None, str, str]:
        """(when, text, level) of the last line of the agent's log."""

        def read() -> tuple[float | None, str, str]:
            sources = logread.open_all([agent])
            last = logread.last(sources, logread.Wanted(), 1)
            for source in sources:
                source.close()
            return (_seconds(last[0]["ts"]), last[0]["message"], last[0]["level"]) if last else (None, "", "info")

        said: tuple[float | None, str, str] = self._if_changed(paths.log(agent), read, (None, "", "info"))
        return said

    def _tasks(self, found: Snapshot) -> None:
        # A claim ends with its process, which changes no file: the board is read again at least every few seconds.
        found.board = self._if_changed(paths.tasks(), Board, None, also=int(found.at) // 5)

    def _messages(self, found: Snapshot) -> None:
        read: Callable[[], Any] = lambda: messages.everything()[-MESSAGES:]  # noqa: E731
        found.messages = self._if_changed(paths.messages(), read, [])

    def _run(self, found: Snapshot, run_id: str | None) -> None:
        wanted = run_id or found.newest()
        if wanted is None:
            return
        state = runview.journal_state(wanted)
        kept = self._kept.get("run")
        if kept is not None and kept[0] == (wanted, state) and not state[2]:
            found.view = kept[1]
        else:
            found.view = runview.RunView(wanted)
            self._kept["run"] = ((wanted, state), found.view)
            found.view.usual = self._usual(found)
        found.next_time = self._next(found.view)

    def _usual(self, found: Snapshot) -> dict[str, float]:
        """Medians of the last completed runs of the same workflow but the one in view."""
        assert found.view is not None
        same = [row for row in found.history if row["workflow"] == found.view.workflow and row["status"] == "completed"]
        rows = []
        for row in [row for row in same if row["run_id"] != found.view.run_id][: runview.USUAL]:
            name = row["run_id"]
            if name not in self._took:
                try:
                    self._took[name] = runview.step_seconds(name)
                except ColonyError:
                    self._took[name] = {}
            rows.append(self._took[name])
        return runview.medians(rows)

    def _next(self, view: runview.RunView) -> str | None:
        """The next time of the schedule that the run's workflow had, as ISO 8601; None without one."""
        plan = view.run.plan
        if not ticks.is_scheduled(plan):
            return None
        kept = self._kept.get("next")
        if kept is not None and kept[0] == view.workflow and clock.seconds(kept[1]) > clock.epoch():
            return str(kept[1])
        from colony_lib.store import schedule

        trigger = plan["trigger"]
        try:
            (moment,) = schedule.next_times(trigger["cron"], schedule.zone(trigger.get("timezone")), ticks.now(), 1)
        except ColonyError:
            return None
        text = ticks.stamp(moment)
        self._kept["next"] = (view.workflow, text)
        return text

    def _if_changed(self, path: str, read: Callable[[], Any], empty: Any, also: object = None) -> Any:
        try:
            state = os.stat(path)
        except FileNotFoundError:
            return empty
        mark = (state.st_ino, state.st_size, state.st_mtime_ns, also)
        kept = self._kept.get(path)
        if kept is None or kept[0] != mark:
            kept = self._kept[path] = (mark, read())
        return kept[1]


def _seconds(moment: str | None) -> float | None:
    try:
        return clock.seconds(moment) if moment else None
    except ValueError:
        return None


def _newest_change() -> float | None:
    """When a file that grows while work is done was last written; None when there is none."""
    newest: float | None = None
    for folder in (paths.logs_folder(), paths.messages_folder(), paths.state_folder(), paths.metrics_folder()):
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if not entry.name.startswith("."):
                        newest = max(newest or 0.0, entry.stat(follow_symlinks=False).st_mtime)
        except OSError:
            continue
    return newest
