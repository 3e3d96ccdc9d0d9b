"""What every tab is: a place for one kind of thing, that is given snapshots and a filter, and does what keys ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from textual.containers import Vertical

from colony_lib.tui import dialogs, paint
from colony_lib.tui.feed import Snapshot
from colony_lib.tui.filters import Filter
from colony_lib.tui.rows import Rows

if TYPE_CHECKING:
    from colony_lib.tui.app import ColonyApp


class Tab(Vertical):
    """A method `do_NAME` is what a key does here (colony_lib.tui.keys)."""

    name_of = ""

    def __init__(self) -> None:
        super().__init__(id=f"tab-{self.name_of.lower()}")
        self.filter = Filter()
        self.found = Snapshot()

    @property
    def unread(self) -> int:
        """How many things have come that nobody has seen."""
        return 0

    @property
    def colony(self) -> ColonyApp:
        return cast("ColonyApp", self.app)

    def show(self, found: Snapshot) -> None:
        """Take the new snapshot; what is seen follows at once when the tab is seen."""
        self.found = found
        if self.display:
            self.draw()

    def draw(self) -> None:
        """Show what the snapshot and the filter say."""
        raise NotImplementedError

    def main(self) -> Rows:
        """The list that has the keys."""
        return self.query(Rows).first()

    def narrow(self, chosen: Filter) -> str:
        """Show only what the filter lets through; in words how much that is."""
        self.filter = chosen
        self.main().narrowed = bool(chosen)
        self.draw()
        return ""

    def next_problem(self, *, anew: bool = False) -> bool:
        """Move to the next thing that is wrong here (`anew`: the first); whether there is one."""
        return self.step_on(self.wrong(), anew=anew)

    def wrong(self) -> list[str]:
        """The names of the rows that are wrong, in the order in which they are shown."""
        return []

    def step_on(self, names: list[str], *, anew: bool) -> bool:
        """Put the cursor on the name after the one it is on; whether there is one."""
        place = names.index(self.main().key or "") + 1 if not anew and self.main().key in names else 0
        return place < len(names) and self.main().put_on(names[place])

    def give_up(self) -> bool:
        """End a search that takes long; whether there was one."""
        return False

    def back(self) -> bool:
        """Leave what is open in the tab; whether there was anything."""
        return False

    def copied(self, whole: bool) -> str | None:
        """What is to be copied: the id under the cursor, or the whole line."""
        rows = self.colony.focused
        rows = rows if isinstance(rows, Rows) else self.main()
        if rows.key is None:
            return None
        return paint.plain(rows.line(rows.cursor, rows.size.width)).strip() if whole else rows.key

    # -- what several tabs do

    def ask(self, screen: dialogs.Choose | dialogs.Form) -> None:
        """Put the question, and run the command that is its answer."""
        self.colony.ask(screen)

    def show_logs(self, source: str) -> None:
        self.colony.open_logs(source)

    def say_to(self, agent: str) -> None:
        def make(texts: list[str]) -> list[str] | None:
            return ["messages", "send", texts[0], "--", texts[1]] if all(texts) else None

        fields = [("To", agent, "an agent"), ("Message", "", "what it is to know; it reads it at its next turn")]
        self.ask(dialogs.Form("Message to an agent", fields, make))


def one_line(text: Any) -> str:
    """Text of several lines as one."""
    return " ".join(str(text).split())
