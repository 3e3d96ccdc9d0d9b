"""Every key, spelled once: what it does, in which tabs, and the shell command that it stands for."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

TABS = ("Agents", "Tasks", "Messages", "Workflow", "Metrics", "Logs")


class Key:
    """`keys` as Textual names them, with commas; `shown` as people write them; `tabs`: where it counts (none: all)."""

    __slots__ = ("action", "changes", "command", "footer", "keys", "label", "meaning", "shown", "tabs")

    def __init__(
        self,
        keys: str,
        shown: str,
        action: str,
        label: str,
        meaning: str,
        tabs: Sequence[str] = (),
        *,
        command: str = "",
        changes: bool = False,
        footer: bool = True,
    ) -> None:
        self.keys, self.shown, self.action, self.label, self.meaning = keys, shown, action, label, meaning
        self.tabs, self.command, self.changes, self.footer = tuple(tabs), command, changes, footer

    def counts_in(self, tab: str) -> bool:
        return not self.tabs or tab in self.tabs


KEYS = (
    Key("question_mark,f1", "?", "help", "Help", "what each key does here"),
    Key("q,ctrl+q", "q", "quit", "Quit", "leave; nothing that runs is touched"),
    Key("slash", "/", "filter", "Filter", "show only what matches; Esc shows all again"),
    # -- what changes something: capitals, and a question first
    Key("R", "R", "do('rerun')", "Re-run", "go on with the run, or do it (or from this step) again", ("Workflow",),
        command="colony workflow resume | rerun RUN", changes=True),
    Key("X", "X", "do('cancel')", "Cancel", "end the run and everything it started", ("Workflow",),
        command="colony workflow cancel RUN", changes=True),
    Key("A", "A", "do('approve')", "Approve", "let the step that waits go on, or refuse it", ("Workflow",),
        command="colony workflow approve | reject RUN STEP", changes=True),
    Key("S", "S", "do('start')", "Start", "start the agent's worker", ("Agents",), command="colony start AGENT",
        changes=True),
    Key("X", "X", "do('stop')", "Stop", "stop the agent's worker", ("Agents",), command="colony stop AGENT",
        changes=True),
    Key("a", "a", "do('add')", "Add", "add a task", ("Tasks",), command="colony state task add TITLE", changes=True),
    Key("C", "C", "do('complete')", "Complete", "say that the task is done", ("Tasks",),
        command="colony state task complete REF", changes=True),
    Key("R", "R", "do('reopen')", "Reopen", "put the task back, to be claimed again", ("Tasks",),
        command="colony state task update REF ready", changes=True),
    Key("X", "X", "do('cancel')", "Cancel", "say that the task will not be done", ("Tasks",),
        command="colony state task cancel REF", changes=True),
    # -- looking closer
    Key("d", "d", "do('chain')", "Chain", "what the task waits for, down to the root", ("Tasks",),
        command="colony state task show REF"),
    Key("l", "l", "do('logs')", "Logs", "the log of the agent or step", ("Agents", "Tasks", "Workflow"),
        command="colony logs AGENT --step STEP"),
    Key("v", "v", "do('view')", "View", "bars, graph, or list", ("Workflow",), command="colony workflow status RUN"),
    Key("h", "h", "do('history')", "History", "choose another run", ("Workflow",), command="colony workflow history"),
    Key("o", "o", "do('open')", "Report", "the run's report, as a page in a browser", ("Workflow",),
        command="colony report --run RUN"),
    Key("left_square_bracket", "[", "do('older_attempt')", "", "the log of the attempt before", ("Workflow",),
        footer=False),
    Key("right_square_bracket", "]", "do('newer_attempt')", "", "the log of the attempt after", ("Workflow",),
        footer=False),
    Key("plus,equals_sign", "+", "do('longer')", "Longer", "look further back: 24 h, 7 d, 30 d", ("Metrics",),
        command="colony metrics show NAME --hours 168"),
    Key("minus", "-", "do('shorter')", "Shorter", "look less far back", ("Metrics",)),
    Key("v", "v", "do('level')", "Level", "show from debug, info, warn or error on", ("Logs",),
        command="colony logs --level LEVEL"),
    Key("w", "w", "do('wrap')", "Wrap", "break long lines, or not", ("Logs", "Workflow"), footer=False),
    Key("t", "t", "do('times')", "Time", "show times, or not", ("Logs", "Workflow"), footer=False),
    Key("left", "←", "do('left')", "", "the beginning of long lines", ("Logs",), footer=False),
    Key("right", "→", "do('right')", "", "the rest of long lines", ("Logs",), footer=False),
    Key("n", "n", "do('next_problem')", "", "the next warning or error", ("Logs",), footer=False),
    Key("N", "N", "do('last_problem')", "", "the warning or error before", ("Logs",), footer=False),
    Key("f", "f", "do('full')", "Full", "the log (or the chart) alone on the screen", ("Logs", "Workflow", "Metrics")),
    Key("z", "z", "do('hide')", "Hide done", "hide what is finished", ("Tasks", "Workflow"), footer=False),
    Key("e", "e", "problem", "Problem", "go to the next thing that is wrong, wherever it is"),
    # -- speaking
    Key("m", "m", "do('message')", "Message", "send a message to one agent", ("Agents", "Messages"),
        command="colony messages send AGENT TEXT", changes=True),
    Key("b", "b", "broadcast", "Broadcast", "send a message to all agents", command="colony broadcast TEXT",
        changes=True),
    # -- the rest
    Key("y", "y", "copy", "", "copy the id under the cursor", footer=False),
    Key("Y", "Y", "copy_line", "", "copy the whole line under the cursor", footer=False),
    Key("colon,ctrl+p", ":", "commands", "Commands", "all that can be done here, by name"),
    Key("percent_sign", "%", "mouse", "", "give the mouse to the terminal, or take it back",
        footer=False),
    Key("ctrl+l", "Ctrl-L", "redraw", "", "draw the screen anew", footer=False),
    Key("L", "L", "light", "", "dark or light", footer=False),
    Key("tab", "Tab", "next_tab(1)", "", "the next tab", footer=False),
    Key("shift+tab", "Shift-Tab", "next_tab(-1)", "", "the tab before", footer=False),
    Key("escape", "Esc", "leave", "", "leave the panel, then the filter, then the chosen run", footer=False),
)  # fmt: skip
MOVES = (
    ("↑ ↓  k j", "move by one"),
    ("PgUp PgDn", "move by a screen"),
    ("g G  Home End", "the first, the last; in a log the last line follows what comes"),
    ("Enter", "open what is under the cursor"),
    ("1 … 6", "the tabs"),
)


def of_tab(tab: str) -> list[Key]:
    """The keys that count in a tab, in the order of importance."""
    return [key for key in KEYS if key.counts_in(tab)]
