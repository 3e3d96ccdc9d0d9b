"""What the tests of the screen share: a colony with runs of every kind, and the app driven by its own pilot."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from textual.pilot import Pilot

from colony_lib.store import paths
from colony_lib.tui.app import ColonyApp
from tests.conftest import Colony

NIGHTLY = """\
steps:
  - {name: extract, agent: worker, run: "echo 'WARN slow answer' >&2", timeout: 30s}
  - name: clean
    agent: worker
    run: "test $COLONY_ATTEMPT = 2 || { echo 'ERROR connection reset' >&2; exit 1; }"
    depends_on: [extract]
    retry: {max_attempts: 2, delay: 10ms}
  - {name: load, agent: orchestrator, run: "echo 'ERROR [bold]no[/bold] warehouse' >&2; exit 3", depends_on: [clean]}
  - {name: report, run: "true", depends_on: [load]}
"""
WAITING = """\
steps:
  - {name: collect, run: "true"}
  - {name: publish, agent: worker, run: "touch published", depends_on: [collect], approval: true}
"""
LONG = """\
steps:
  - {name: endless, agent: worker, run: "echo begun >&2; sleep 300", timeout: 10m}
  - {name: after, run: "true", depends_on: [endless]}
"""

Body = Callable[[ColonyApp, "Pilot[None]"], Awaitable[None]]


def failed_run(colony: Colony) -> str:
    """The id of a run of NIGHTLY: `clean` succeeded at its second attempt, `load` failed."""
    colony.workflow("nightly", NIGHTLY)
    return colony("workflow", "run", "nightly", check=False).out.split("\n")[0]


def drive(colony: Colony, body: Body, *, size: tuple[int, int] = (100, 30), **settings: Any) -> None:
    """Run the app on the colony's files, and `body(app, pilot)` with it."""
    paths.use(str(colony.root))

    async def run() -> None:
        app = ColonyApp(**settings)
        async with app.run_test(size=size) as pilot:
            await until(app, pilot, lambda: app.found.name != "")
            await body(app, pilot)

    asyncio.run(run())


def seen(app: ColonyApp) -> str:
    """The text of the screen, a line for each row."""
    update = app.screen._compositor.render_full_update()
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in update.strips)  # type: ignore[attr-defined]


async def until(app: ColonyApp, pilot: Pilot[None], holds: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until it holds; what the screen shows is the reason when it never does."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, seen(app)
        await pilot.pause(0.02)


async def until_seen(app: ColonyApp, pilot: Pilot[None], *texts: str) -> None:
    """Wait until the screen shows all of the texts."""
    await until(app, pilot, lambda: all(text in seen(app) for text in texts))


async def answer(app: ColonyApp, pilot: Pilot[None], key: str) -> None:
    """Press the key in the question that is up, when it takes keys."""
    await until(app, pilot, lambda: len(app.screen_stack) > 1 and app.screen._is_awake())  # type: ignore[attr-defined]
    await pilot.press(key)
    await until(app, pilot, lambda: len(app.screen_stack) == 1)
