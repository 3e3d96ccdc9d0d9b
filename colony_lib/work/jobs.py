"""From a unit of a run to a job: its command with every reference filled in, its environment, its context."""

from __future__ import annotations

import os
import sys

from colony_lib.base.errors import ColonyError
from colony_lib.store import config, env, paths, references, runs
from colony_lib.work import context
from colony_lib.work.engine import Schedule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Record = dict[str, Any]


class Jobs:
    """Makes the jobs of one run; what is the same for all jobs of an agent is worked out once."""

    def __init__(self, run: runs.Run, schedule: Schedule) -> None:
        self.run = run
        self.schedule = schedule
        self._base: dict[str | None, tuple[Record, Record]] = {}
        self._known: dict[str, str] | None = None
        self._shared = context.Shared(run)

    def make(self, name: str, batch: int | None, failure: Record | None = None) -> Record:
        """The job for the unit's next attempt. ColonyError when a reference or a variable has no value."""
        step = self.run.step(name)
        definition = step.definition
        scope = self.schedule.scope(definition, batch, failure)
        text, values = definition["run"] or "", dict[str, str]()
        if "{{" in text:
            from colony_lib.store import shellwords

            text, values = shellwords.command(text, scope)
        environment, secrets = self._environment(definition.get("agent"))
        environment = {**environment, **values}
        unit = step.unit(batch)
        environment["COLONY_STEP"] = name
        if batch is not None:
            environment["COLONY_BATCH_ID"] = str(batch)
        environment |= self._step_environment(definition, scope, environment)
        expect = (definition.get("expect") or {}).get("files") or []
        job = {
            "step": name,
            "batch": batch,
            "attempt": unit.attempts + 1,
            "agent": definition.get("agent"),
            "command": text,
            "env": environment,
            "secrets": secrets,
            "context": context.of(self.run, scope, batch),
            "folder": self._folder(definition.get("agent")),
            "timeout_seconds": definition.get("timeout_seconds"),
            "idempotent": definition.get("idempotent", True),
            "expect": [references.text(each, scope) for each in expect],
            "output_schema": definition.get("output_schema"),
        }
        if not definition["run"]:
            return self._for_agent(job, step, batch, scope)
        return job if batch is None else {**job, "shared": self._shared.file(name, job["context"])}

    def _for_agent(self, job: Record, step: runs.Step, batch: int | None, scope: references.Scope) -> Record:
        """The same job for a step that its agent does: its command is the program in which the agent works."""
        import shlex

        from colony_lib.work.agent import task

        given = task.make(self.run, step, batch, scope, self._agent(job["agent"]))
        program = os.path.join(os.path.dirname(os.path.realpath(sys.argv[0])), "colony-run-step")
        return {
            **job,
            "command": shlex.join([sys.executable, program, "--agent"]),
            "context": {**job["context"], **task.context(given), "task": given},
            "output_schema": given["schema"],
            "runner": given["runner"],
            # The agent's worktree is made by the agent's own process, when it has none yet.
            "folder": paths.root(),
            "worktree": paths.worktree_root(job["agent"]) if given["agent"]["worktree_branch"] else None,
        }

    def _step_environment(self, definition: Record, scope: references.Scope, known: Record) -> dict[str, str]:
        """The step's own `env`: $VAR from the caller's or the agent's environment, references from the scope; what
        either gives is not expanded again."""
        given = definition.get("env")
        if not given:
            return {}
        from colony_lib.store import variables

        known = {**env.environ(), **known}
        who, where = f"step '{definition['name']}'", f"{self.run.plan['file']}:{definition['line']}"

        def expand(text: str) -> str:
            return variables.expand(text, known, who=who, where=where)

        return {key: references.text(value, scope, expand) for key, value in given.items()}

    def _folder(self, agent: str | None) -> str:
        """Where a command works: in the agent's worktree, once a step of this run or of another has made it."""
        worktree = paths.worktree_root(agent) if agent else ""
        return worktree if agent and os.path.isdir(worktree) else paths.root()

    def _environment(self, agent: str | None) -> tuple[Record, Record]:
        """(what is added to the caller's environment, {NAME: value} of all that must be kept secret)."""
        if agent not in self._base:
            given, secrets = config.agent_env(None if agent is None else self._agent(agent))
            secrets = {**self._secrets_of_all(), **secrets}
            bin_folder = os.path.dirname(os.path.realpath(sys.argv[0]))
            path = given.get("PATH") or env.get("PATH") or os.defpath
            if bin_folder not in path.split(os.pathsep):
                path = bin_folder + os.pathsep + path
            added = {
                **given,
                "PATH": path,
                "COLONY_ROOT": paths.root(),
                "COLONY_RUN_ID": self.run.run_id,
                "COLONY_WORKFLOW": self.run.plan["name"],
                "COLONY_AGENT": agent or "",
                "COLONY_DATE": self.run.header["date"],
                "COLONY_BATCH_ID": "",
            }
            values = set(secrets.values())
            names = [name for name, value in {**env.environ(), **added}.items() if value in values]
            added["COLONY_SECRETS"] = ":".join(sorted(names))
            self._base[agent] = added, secrets
        return self._base[agent]

    def _agent(self, agent: str) -> Record:
        found: Record | None = self.run.header["agents"].get(agent)
        if found is None:
            raise ColonyError(f"the agent '{agent}' was not in colony.yml when the run was started")
        return found

    def _secrets_of_all(self) -> dict[str, str]:
        """The secrets of every agent as far as they are set now: a command sees the caller's whole environment."""
        if self._known is None:
            found: dict[str, str] = {}
            for agent in self.run.header["agents"].values():
                try:
                    found.update(config.agent_env(agent)[1])
                except ColonyError:
                    continue  # not set: there is no value to hide, and the error belongs to that agent's own step
            key = env.get("ANTHROPIC_API_KEY")
            self._known = {**found, "ANTHROPIC_API_KEY": key} if key else found
        return self._known
