"""The topics of `colony help`: exit statuses, environment, files, formats; each under 60 lines."""

from __future__ import annotations

EXIT_CODES = """\
0    done
1    the thing itself failed (a run, a validation, a check), or was not found
2    wrong usage, wrong configuration, bad input: nothing was changed
70   a bug in Colony
75   busy or rate-limited: try again later
130  interrupted (Ctrl-C); children ended, state recorded, resumable
143  terminated; the same
"""
# Every variable that some module reads, with what it is for; a test looks for those that are missing.
READ = {
    "COLONY_ROOT": "the colony's folder, instead of the nearest one above (also: colony -C DIR)",
    "COLONY_MODEL": "the model for every agent",
    "COLONY_DEBUG": "1: a traceback instead of one line",
    "COLONY_NOW": "the time that commands take for now, for tests",
    "COLONY_TRIGGER": "what a run says it was started by (manual unless set; cron sets it)",
    "NO_COLOR": "no colour on a terminal",
    "TERM": "dumb: no colour, no drawing",
    "PATH": "where colony-NAME, git and the steps' programs are found",
    "TZ": "the zone of schedules that name none",
    "TMPDIR": "where short-lived private folders are made",
    "HOME": "where 'claude' finds its login",
    "CLAUDE_CONFIG_DIR": "the same, elsewhere",
    "XDG_STATE_HOME": "where the logs of cron's jobs lie (~/.local/state)",
    "USER": "who approves a step, whose crontab it is",
    "LOGNAME": "the same, where USER is not set",
    "ANTHROPIC_API_KEY": "the key for steps that a model does",
    "ANTHROPIC_BASE_URL": "where the Messages API is, if not at api.anthropic.com",
    "GIT_SSH_COMMAND": "how git gets to a remote by ssh, for 'colony state sync'",
    "GIT_SSH": "the same",
    "OPENLINEAGE_URL": "where lineage events are posted too",
    "OPENLINEAGE_ENDPOINT": "the path there",
    "OPENLINEAGE_API_KEY": "the key for it",
    "OPENLINEAGE_DISABLED": "true: post nothing",
}
SET = {
    "COLONY_RUN_ID": "the run's id",
    "COLONY_WORKFLOW": "the workflow's name",
    "COLONY_STEP": "the step's name",
    "COLONY_AGENT": "the step's agent, if it has one",
    "COLONY_ATTEMPT": "which try this is, from 1",
    "COLONY_BATCH_ID": "which batch, from 0, in a step that runs in batches",
    "COLONY_DATE": "the run's day",
    "COLONY_OUTPUT": "a file: what is written there is the step's output, else standard output is",
    "COLONY_SECRETS": "names of the variables whose values are kept out of every file",
    "COLONY_LEASE": "what its task claims belong to: they end with the step",
    "COLONY_TOOL_KEY": "of an agent's own tool: the same for the same call, also when it is made again",
    "COLONY_REF_*": "values that {{references}} in `run:` stand for",
    "COLONY_TASK": "of 'state task claim -- COMMAND': the task's id",
    "COLONY_ALERT": "of an alert's command: failure, budget …",
    "COLONY_ALERT_TEXT": "of an alert's command: what to tell",
}
FILES = """\
colony.yml                   agents and settings
pipeline.yml                 the data: sources, datasets, warehouse ('colony help pipelines')
.colony/workflows/NAME.yaml  workflow definitions, versioned with the code ('colony help workflows')
.colony/models.json          prices of models that differ from the built-in ones, if there
.colony/schemas/             JSON Schemas for your editor
.colony/state/               tasks, memory, documents; 'colony state sync' shares them with other machines
  tasks.jsonl memory.jsonl   events, one a line; their meaning does not depend on their order
  NAME.json                  a document; .NAME.json.times and .claims.json go with them
.colony/runs/RUN/            one run: plan.json, journal.jsonl, and each attempt's streams and output in
                             steps/STEP/N/ ('colony workflow prune' removes old ones)
.colony/logs/AGENT.jsonl     log lines      .colony/metrics/NAME.jsonl   points
.colony/messages/            messages.jsonl .colony/lineage/             OpenLineage events
.colony/agents/              state of workers, a file each, and their inboxes
.colony/alerts/              which alerts were sent
.colony/schedules/           when each schedule was last looked at
.colony/spending/DAY.jsonl   what models cost
.colony/worktrees/AGENT      an agent's own checkout
.colony/locks/               lock files: empty or a note; being held is what counts, not being there
.colony/cache/               may be deleted at any time
staging: of pipeline.yml     s3://…, where other machines find the data: UNIT/NAME_DATE.json says which
                             objects in content/ are the files of raw, transformed, validation, load, daily
"""
FORMATS = """\
plain    columns for eyes, may change; one value prints bare; no colour and nothing cut in a pipe
--json   a promise: a list is JSON Lines, one object a line; a single thing is one object; no envelope.
         Keys stay, more may come; the shapes are in schemas/*.schema.json
times    UTC, ISO 8601 with milliseconds and Z: 2026-11-23T02:00:00.000Z
         given as that, or as how long ago: 90s, 30m, 2h, 7d
days     2013-02-08; also 'today' and 'yesterday'
*_seconds, *_usd, *_rows   numbers in the unit their name ends with
names    letters, digits, '.', '_' and '-', starting with a letter or digit, at most 128
.jsonl   a journal: only grows, each line has an id of its own; a line twice counts once;
         an unreadable line is reported with file and number, skipped, and kept
.json    a document: replaced whole, under a lock
text     UTF-8; lines end with \\n only; JSON has no NaN and no Infinity

colony logs --json --run latest | jq -r 'select(.level == "error") | .message'
colony workflow history --json | jq -s 'map(.duration_seconds) | max'
colony state task add - < tasks.jsonl
"""


def _variables(named: dict[str, str]) -> str:
    return "".join(f"  {name:<21} {meaning}\n" for name, meaning in named.items())


TOPICS = {
    "exit-codes": EXIT_CODES,
    "environment": f"read by Colony\n{_variables(READ)}set for a step's command and what it starts\n{_variables(SET)}",
    "files": FILES,
    "formats": FORMATS,
}
