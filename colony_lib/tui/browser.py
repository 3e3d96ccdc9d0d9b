"""A run's report page in a browser, by the standard library's webbrowser in a process of its own."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from colony_lib.data import runreport
from colony_lib.store import env, paths
from colony_lib.tui import actions

_OPEN = "import sys, webbrowser; sys.exit(not webbrowser.open(sys.argv[1]))"


async def page(run_id: str, *, make: bool) -> tuple[str | None, str]:
    """(the page of the run, '') as it lies there, else made by `colony report`; (None, why) without one."""
    found = runreport.page_of(run_id)
    words = ["report", f"--run={run_id}"]
    if found is None and not make:
        return None, f"there is no page yet: {actions.shown(words)}"
    if found is None:
        outcome = await actions.run(words)
        found = runreport.page_of(run_id)
        if outcome.code:
            return None, outcome.said
        if found is None:  # of a run that has not ended the page is as old as its last look
            found = os.path.join(paths.root(), outcome.first.rpartition(".")[0] + ".html")
    return found, ""


async def show(path: str) -> bool:
    """Whether a browser was found for the file. Those that would draw on this very terminal are not taken: without TERM
    webbrowser does not know them. $BROWSER counts, as everywhere."""
    environment = {name: value for name, value in env.environ().items() if name != "TERM"}
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", _OPEN, Path(path).as_uri()),
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    return await child.wait() == 0
