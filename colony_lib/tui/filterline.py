"""The line in which a filter is typed: it narrows while one types, and is gone when Enter or Esc is pressed."""

from __future__ import annotations

from textual.message import Message
from textual.timer import Timer
from textual.widgets import Input

PAUSE = 0.15  # seconds without a key after which what has been typed counts


class FilterLine(Input):
    """Not seen until `ask`."""

    DEFAULT_CSS = "FilterLine { display: none; height: 1; border: none; padding: 0 1; background: $surface; }"

    class Narrowed(Message):
        """What is typed now; `done` when Enter was pressed."""

        def __init__(self, source: str, *, done: bool) -> None:
            super().__init__()
            self.source, self.done = source, done

    def __init__(self) -> None:
        super().__init__(id="filter", compact=True, placeholder="text, !text, level:error, agent:data-*, step:load*")
        self._waiting: Timer | None = None

    def ask(self, source: str) -> None:
        """Come up with that text."""
        self.value = source
        self.display = True
        self.focus()

    def close(self) -> None:
        self._hold()
        self.display = False

    def _hold(self) -> None:
        if self._waiting is not None:
            self._waiting.stop()
            self._waiting = None

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._hold()
        if self.display:
            told = self.Narrowed(event.value, done=False)
            self._waiting = self.set_timer(PAUSE, lambda: self.post_message(told) and None)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._hold()
        self.post_message(self.Narrowed(event.value, done=True))
