"""The checks of `colony health` for what agents need: variables, models, a key, and the bounds around their tools."""

from __future__ import annotations

import os

from colony_lib.base import landlock, seal
from colony_lib.base.errors import ColonyError, nearest
from colony_lib.base.text import plural
from colony_lib.store import env
from colony_lib.store.health import finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Record = dict[str, Any]


def settings_or_none() -> Record | None:
    """The configuration, when it is valid; what is wrong with it is said by another check."""
    from colony_lib.store import config

    try:
        return config.load()
    except ColonyError:
        return None


def _agents() -> Iterator[Record]:
    """What each agent needs: its variables, its runner's key or program."""
    from colony_lib.store import config, models

    settings = settings_or_none()
    if settings is None:
        return
    fine = True
    for agent in settings["agents"]:
        try:
            config.agent_env(agent)
        except ColonyError as error:
            fine = False
            yield finding("agents", "warn", f"{error.what} at {error.where}" if error.where else error.what, error.fix)
    for warning in {models.resolve(agent, settings)["warning"] for agent in settings["agents"]} - {None}:
        fine = False
        yield finding("agents", "warn", str(warning), "write a model of today in colony.yml, or set COLONY_MODEL")
    if fine:
        yield finding("agents", "ok", f"{plural(len(settings['agents']), 'agent')}; all variables are set")
    yield from _priced(settings)
    yield from _runners(settings)


def _priced(settings: Record) -> Iterator[Record]:
    """Models of which nothing is known: what they cost is not either, so that no limit in dollars holds for them."""
    from colony_lib.store import models

    agents = [agent for agent in settings["agents"] if agent["runner"] == "api"]
    asked = {models.resolve(agent, settings)["model"]: agent["id"] for agent in reversed(agents)}
    for model, agent in asked.items():
        if not models.fact(model):
            near = nearest(model, models.facts()["models"])
            message = f"agent '{agent}': nothing is known of the model '{model}': a limit in usd refuses its steps"
            fix = f"{near} Or write its prices" if near else "write its prices"
            yield finding("model", "warn", message, f"{fix} into .colony/models.json")
    if asked and all(models.fact(model) for model in asked):
        yield finding("model", "ok", ", ".join(sorted(asked)))


def _runners(settings: Record) -> Iterator[Record]:
    from shutil import which

    used = {agent["runner"] for agent in settings["agents"]}
    if "api" in used:
        yield _key({agent["id"] for agent in settings["agents"] if agent["runner"] == "api"})
    if "claude-code" in used and which("claude") is None:
        yield finding(
            "claude", "warn", "the 'claude' command is not found", "install Claude Code, or use the runner 'api'"
        )


def _wanted(asking: set[str]) -> str | None:
    """What one of these agents does with a model, or would by a running worker; None where none is asked."""
    from colony_lib.store import agents, workflow

    for name in workflow.names():
        try:
            plan = workflow.load(name)
        except ColonyError:
            continue  # another check says why
        if any(not step["run"] and step["agent"] in asking for step in [*plan["steps"], *plan["error_handling"]]):
            return f"the workflow '{plan['name']}'"
    return next((f"the worker of '{agent}'" for agent in sorted(asking) if agents.worker_pid(agent)), None)


def _key(asking: set[str]) -> Record:
    """The key of the environment or the env_file, as runs take it; nothing is asked with it, and it is not shown."""
    from colony_lib.store import config

    settings = settings_or_none() or {}
    try:
        kept = config.env_file_values(settings.get("env_file"))
    except ColonyError:
        kept = {}  # the check of the env_file says why
    own = env.get("ANTHROPIC_API_KEY")
    key, place = (own, "") if own else (kept.get("ANTHROPIC_API_KEY"), " in the env_file")
    if not key:
        wanted = _wanted(asking)
        if wanted is None:
            return finding("key", "ok", "ANTHROPIC_API_KEY is not set, and no workflow asks a model")
        fix = "export ANTHROPIC_API_KEY=…, or write it into the env_file of colony.yml; steps with 'run:' need none"
        return finding("key", "warn", f"ANTHROPIC_API_KEY is not set, and {wanted} asks a model", fix)
    if key != key.strip() or not key.isprintable() or not key.isascii() or " " in key or key[0] in "\"'$":
        message = "ANTHROPIC_API_KEY holds a space, a quotation mark, a '$' or a line break: it was not copied whole"
        return finding("key", "fail", message + place, "set it anew, with nothing around it")
    if own and kept.get("ANTHROPIC_API_KEY") not in (None, own):
        message = "ANTHROPIC_API_KEY is one here and another in the env_file, which cron takes"
        return finding("key", "warn", message, "take it out of one of them")
    return finding("key", "ok", f"ANTHROPIC_API_KEY is set{place}")


def _confinement() -> Iterator[Record]:
    """What of the bounds around agents' tools this machine cannot hold."""
    settings = settings_or_none()
    if settings is None or all(agent["runner"] != "api" for agent in settings["agents"]):
        return
    version = landlock.abi()
    fine = True
    if version == 0:
        fine = False
        message = (
            "this kernel has no Landlock: what agents' tools write and read is checked by Colony's own tools only, and "
            "a command that an agent runs in bash can do what you can, and see your processes' environment"
        )
        fix = (
            "use a kernel from 5.13 on with 'landlock' in its lsm= list, or give agents no bash: tools: [files, colony]"
        )
        yield finding("confinement", "warn", message, fix)
    if not _network_can_be_closed():
        fine = False
        left = "may use UDP all the same" if version >= 4 else "have it all the same"
        fix = "allow seccomp or user namespaces, or run Colony where there is no network"
        yield finding("confinement", "warn", f"agents' tools without 'network: true' {left}", fix)
    if 0 < version < 6:
        fine = False
        message = f"Landlock is of ABI {version}, before 6: agents' tools can send signals to your other processes"
        yield finding("confinement", "warn", message, "use a kernel from 6.12 on")
    if fine:
        message = f"Landlock ABI {version}: agents' tools are kept to their folders, and from the network"
        yield finding("confinement", "ok", message)


def _network_can_be_closed() -> bool:
    """Tried in another process, for it is for good."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            seal.no_new_privileges()
            code = 0 if seal.no_network() else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


CHECKS = (_agents, _confinement)
