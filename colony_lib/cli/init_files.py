"""What `colony init` writes where no example is asked for: the text of each file."""

from __future__ import annotations

IGNORED = """\
# Made by 'colony init'. What runs leave behind stays out of the code's history; the definitions are part of it.
# state/ goes to a branch of its own: 'colony state sync'.
/*
!/.gitignore
!/models.json
!/schemas/
!/workflows/
"""

CONFIG = """\
# yaml-language-server: $schema=.colony/schemas/colony.schema.json
# The colony: who works here, and the settings they share. 'colony validate' checks this file.

name: {name}

# Where the state that agents share (.colony/state/) is kept besides this folder. With git-backed it also
# travels on a git branch of its own: 'colony state sync'.
shared_state:
  backend: files # or git-backed
  # location: in-repo # or the URL of a git remote

# NAME=value lines for what the environment does not hold, under cron for example. Keep it out of git. A PATH in it
# holds everywhere, so that steps find the same programs by cron and by hand.
# env_file: .env

# What every agent has unless it says otherwise.
# defaults:
#   model: claude-sonnet-5-5

# Who is told when a run fails, the quality gate warns, a limit is reached, a metric passes a threshold, once each.
# alerts:
#   - on: [failure, budget]
#     webhook: $SLACK_WEBHOOK # posts {{"text": ...}}; the URL stays in the environment, or the env_file
#   - metrics: {{data_quality_score: "< 0.95"}}
#     command: colony report --mail --run "$COLONY_RUN_ID" | mail -s "$COLONY_ALERT_TEXT" me@example.org

agents:
  - id: orchestrator
    role: Orchestrator
    model: claude-sonnet-5-5
    startup_prompt: |
      You coordinate the work of this colony: give out tasks, watch their progress, deal with failures.

  - id: worker
    role: Worker
    model: claude-sonnet-5-5
    # A value that begins with $ is taken from the environment when the agent is used. It is kept out of every
    # log, output and file.
    # env:
    #   API_KEY: $MY_API_KEY
    # A git worktree of its own, on this branch:
    # worktree_branch: colony/worker
    startup_prompt: |
      You do one task at a time, check your work, and say plainly what you did.
"""

WORKFLOW = """\
# yaml-language-server: $schema=../schemas/workflow.schema.json
# A first workflow: 'colony workflow run hello'. A step with `run:` is a shell command; no model is called.
workflow:
  name: hello
  description: Two commands, the second of which uses what the first one found
{trigger}
  steps:
    - name: look
      run: |
        printf '{"files": %s, "date": "%s"}\\n' "$(ls | wc -l)" "$COLONY_DATE"

    - name: greet
      depends_on: [look]
      run: echo "Hello from" {{workflow.name}} "on {{steps.look.output.date}}, {{steps.look.output.files}} files here"
"""


# With a time zone: what a schedule looks like.
TRIGGER = """
  # Every night at two; 'colony cron install' writes it into your crontab.
  # trigger: {{cron: "0 2 * * *", timezone: {zone}}}
"""
