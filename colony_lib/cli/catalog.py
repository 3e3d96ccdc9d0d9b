"""The commands that there are, and the topics that are not a command: what `colony help` lists."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

TOPICS = {
    "exit-codes": """\
0    done
1    the thing itself failed (a run, a validation, a check), or was not found
2    wrong usage, wrong configuration, bad input: nothing was changed
70   a bug in Colony
75   busy or rate-limited: try again later
130  interrupted (Ctrl-C); children ended, state recorded, resumable
143  terminated; the same
""",
    "environment": """\
read by every command
  COLONY_ROOT     the colony's folder, instead of the nearest one above (also: colony -C DIR)
  COLONY_DEBUG=1  a traceback instead of one line
  NO_COLOR        no colour on a terminal
  COLONY_MODEL    the model for every agent
set for a step's command
  COLONY_ROOT COLONY_RUN_ID COLONY_WORKFLOW COLONY_STEP COLONY_AGENT COLONY_ATTEMPT
  COLONY_BATCH_ID COLONY_DATE
  COLONY_OUTPUT   a file: what is written there is the step's output, else standard output is
  COLONY_SECRETS  names of the variables whose values Colony keeps out of every file
""",
    "files": """\
colony.yml                   agents and settings
.colony/workflows/NAME.yaml  workflow definitions, versioned with the code
.colony/state/               tasks, memory, documents; 'colony state sync' shares them with other machines
.colony/runs/RUN/            one run: its plan, its journal, and each attempt's streams and output
                             ('colony workflow prune' removes old ones)
.colony/logs/AGENT.jsonl     log lines      .colony/metrics/NAME.jsonl   points
.colony/messages/            messages       .colony/lineage/             OpenLineage events
.colony/locks/               lock files: empty or a note; being held is what counts, not being there
.colony/cache/               may be deleted at any time
""",
}


def commands(folder: str) -> Iterator[tuple[str, str]]:
    """(name, summary) of the executables in the folder; a summary is the line `# Summary: …`."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    for file in names:
        path = os.path.join(folder, file)
        if file.startswith("colony-") and os.access(path, os.X_OK) and os.path.isfile(path):
            summary = ""
            with open(path, "rb") as opened:
                for line in opened.read(400).split(b"\n")[:3]:
                    if line.startswith(b"# Summary: "):
                        summary = line[11:].decode("utf-8", "replace").strip()
            yield file.removeprefix("colony-"), summary


def own() -> dict[str, str]:
    """{command: what it does} of the executables that came with this one."""
    return dict(commands(os.path.dirname(os.path.realpath(sys.argv[0]))))
