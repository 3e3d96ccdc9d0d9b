"""A run's time as rows of cells: one bar an attempt, on an axis that covers work and cuts out long pauses."""

from __future__ import annotations

from colony_lib.base.text import show_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from colony_lib.tui.paint import Line
    from colony_lib.tui.runview import Attempt, RunView

PAUSE = 600.0  # seconds without any attempt from which on the axis is cut
_CUT = "pauses are cut"
_LEAST = 0.2  # seconds that the axis covers at least
_KEPT = 30.0  # seconds that a pause which is cut still takes on the axis
_STEPS = (
    0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400, 172800, 604800,
)  # fmt: skip
_ROLES = {
    "completed": "ok", "failed": "bad", "running": "run", "busy": "warn", "interrupted": "warn", "limited": "warn",
    "cancelled": "dim",
}  # fmt: skip
_FILLS = {"completed": "━", "running": "━"}  # all others were in vain


class Axis:
    """Where moments lie in so many columns; long pauses are cut, and marked in `cuts` (columns)."""

    def __init__(self, attempts: Iterable[Attempt], now: float, columns: int, end: float | None = None) -> None:
        spans = sorted((one.started, now if one.ended is None else one.ended) for one in attempts)
        self.columns = max(columns, 1)
        self._pieces: list[tuple[float, float, float]] = []  # start, end, seconds of work before the start
        work = 0.0
        for start, stop in spans:
            if self._pieces and start <= self._pieces[-1][1] + PAUSE:
                first, last, before = self._pieces[-1]
                self._pieces[-1] = (first, max(last, stop), before)
            else:
                if self._pieces:
                    first, last, before = self._pieces[-1]
                    work = before + last - first + _KEPT
                self._pieces.append((start, max(stop, start), work))
        if self._pieces and end is not None:
            first, last, before = self._pieces[-1]
            self._pieces[-1] = (first, max(last, end), before)
        self.start = self._pieces[0][0] if self._pieces else now
        first, last, before = self._pieces[-1] if self._pieces else (now, now, 0.0)
        self.length = max(before + last - first, _LEAST)
        self.cuts = [self._column(before) for _, _, before in self._pieces[1:]]

    def _column(self, seconds: float) -> int:
        return min(int(seconds / self.length * self.columns), self.columns - 1)

    def place(self, moment: float) -> int:
        """The moment's column."""
        for start, stop, before in self._pieces:
            if moment <= stop:
                return self._column(before + max(moment - start, 0.0))
        return self.columns - 1

    def ruler(self) -> str:
        """Marks of time along the axis: 0, 5m, 10m …; without cuts only, for they would lie."""
        text = [" "] * self.columns
        step = next((each for each in _STEPS if each / self.length * self.columns >= 8), _STEPS[-1])
        at = 0.0
        while at <= self.length and not self.cuts:
            label, column = _short(round(at, 1)), int(at / self.length * self.columns)
            if column + len(label) <= self.columns:
                text[column : column + len(label)] = label
            at += step
        if self.cuts and len(_CUT) < self.cuts[0]:
            text[: len(_CUT)] = _CUT
        for cut in self.cuts:
            text[cut] = "╎"
        return "".join(text[: self.columns])


def _short(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:g}s" if seconds else "0"
    if seconds < 3600:
        return f"{seconds / 60:g}m"
    return f"{seconds / 3600:g}h" if seconds < 86400 else f"{seconds / 86400:g}d"


def short(seconds: float) -> str:
    """A limit as it was written: 10m and not 10m00s."""
    text = show_duration(seconds)
    for zeros, unit in (("00s", "m"), ("00m", "h"), ("00h", "d")):
        if text.endswith(unit + zeros):
            return text.removesuffix(zeros)
    return text.replace(".0s", "s")


def bars(view: RunView, name: str, axis: Axis) -> Line:
    """The step's row on the axis: its attempts, and for a running one until when its limit lets it run."""
    cells = [" "] * axis.columns
    roles = [""] * axis.columns
    attempts = view.attempts.get(name, [])
    running = [one for one in attempts if one.ended is None]
    limit = view.limit(name)
    if running and limit:
        first, last = axis.place(view.now), axis.place(min(one.started for one in running) + limit)
        for column in range(first, last + 1):
            cells[column], roles[column] = ("┤" if column == last else "─"), "faint"
    for one in attempts:
        first, last = axis.place(one.started), axis.place(view.now if one.ended is None else one.ended)
        for column in range(first, last + 1):
            role = _ROLES.get(one.status, "text")
            # Attempts that share a column: what went wrong is not to be painted over.
            if roles[column] not in ("bad", "warn"):
                cells[column], roles[column] = _FILLS.get(one.status, "╌"), role
        if one.ended is not None and one.status not in _FILLS:
            cells[last], roles[last] = ("✗" if one.status == "failed" else "!"), _ROLES.get(one.status, "text")
        elif one.ended is None:
            cells[last] = "●"
    line: Line = []
    for cell, role in zip(cells, roles):
        if line and line[-1][1] == role:
            line[-1] = (line[-1][0] + cell, role)
        else:
            line.append((cell, role))
    return line


def axis_of(view: RunView, columns: int) -> Axis:
    """The axis of the whole run; of one that runs it goes on to where its running attempts' limits end, if that is
    not far, so that the room left is seen."""
    every = [one for attempts in view.attempts.values() for one in attempts]
    limits = [
        one.started + (view.limit(name) or 0.0)
        for name, attempts in view.attempts.items()
        for one in attempts
        if one.ended is None
    ]
    end = max(limits, default=0.0)
    first = min((one.started for one in every), default=view.now)
    far = first + 2.5 * max(view.now - first, 1.0)
    return Axis(every, view.now, columns, min(end, far) if end else None)


def took(view: RunView, name: str) -> Line:
    """'6m52s/10m', in colours that say how near the limit is."""
    seconds, limit = view.took(name), view.limit(name)
    step = view.step(name)
    most = f"/{short(limit)}" if limit else ""
    if seconds is None:
        return [(most or "-", "faint")]
    share = seconds / limit if limit else 0.0
    running = step is not None and step["status"] in ("running", "retrying")
    role = "bad" if share >= 1 else "warn" if share >= 0.8 else "run" if running else "text"
    usual = view.usual.get(name)
    if role == "text" and usual and seconds > 2 * usual and seconds - usual > 5:
        role = "warn"
    return [(show_duration(seconds), role), (most, "faint")]
