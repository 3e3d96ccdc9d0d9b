"""colony.yml: reads it once, checked, and answers what agents are, run with, and keep secret."""

from __future__ import annotations

import os

from colony_lib import __version__
from colony_lib.base import files
from colony_lib.base.errors import USAGE, ColonyError, unknown
from colony_lib.store import env, paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

LIMIT = 1024 * 1024
# The modules whose text decides what a configuration is: another version of one makes another.
_COMPILER = ("agent_rules", "alert_rules", "config_rules", "executor_rules", "yamltext")
# What `load` gave for which text, in this process.
_loaded: tuple[str, str, dict[str, Any]] | None = None


def load() -> dict[str, Any]:
    """The checked configuration, all defaults filled in:

    {v, name, shared_state: {backend, location, branch}, defaults, limits: {usd_per_day, tokens_per_day}, aliases,
    env_file, shared_paths, durability,
    alerts: [{on: [failure|warn|budget], metrics: {name: condition}, workflows: [name], command, webhook,
    timeout_seconds}],
    executors: [{name, type, address, scheduler_file, deploy, adapt, resources, max_parallel,
    connect_timeout_seconds}],
    agents: [{id, role, description, model, runner, command, worktree_branch, startup_prompt,
    limits: {turns, tool_calls, tokens, usd, time_seconds, usd_per_day, tokens_per_day},
    tools: [name] | None, scripts: [{name, description, command, input, effect, network, writes, timeout_seconds}],
    permissions: {allow: [pattern], deny: [pattern]}, network, max_output_tokens, env, env_file, line, env_lines}]}.
    `env` holds the texts as written ($VAR is taken by `agent_env`), `defaults.env` merged in; a limit that counts for
    nobody is None; `files` in `tools` stands for the four tools of files, in permissions it is spelled out.

    ColonyError (USAGE) with file and line when there is no colony.yml or anything is wrong in it. A compiled copy
    under .colony/cache/ is used when it was made from this very text, by this very code.
    """
    global _loaded
    path = paths.config_file()
    source = _source(path)
    if _loaded is not None and _loaded[:2] == (path, source):
        return _loaded[2]
    stamp = _compiler()
    cache = paths.cache("colony")
    config = _cached(cache, source, stamp)
    if config is None:
        from colony_lib.store import config_rules

        config, wrong = config_rules.checked(source, paths.shown(path), _default_name(path))
        if wrong:
            raise _first(wrong)
        _keep(cache, source, stamp, config)
    _loaded = (path, source, config)
    return config


def may_share() -> bool:
    """Whether colony.yml may say git-backed: a look at its text, for those who cannot pay for reading it."""
    try:
        text = files.read_bytes(paths.config_file(), limit=LIMIT)
    except (ColonyError, OSError):
        return False
    return b"git-backed" in text and any(b"git-backed" in line.split(b"#")[0] for line in text.split(b"\n"))


def problems() -> list[ColonyError]:
    """Everything that is wrong with colony.yml, in the order of the file; [] for a good one."""
    from colony_lib.store import config_rules

    path = paths.config_file()
    try:
        return config_rules.checked(_source(path), paths.shown(path), _default_name(path))[1]
    except ColonyError as error:
        return [error]


def executor(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The executor of that name, as `load` gives it; 'local' is always there. ColonyError (USAGE) when it is not."""
    for found in config["executors"]:
        if found["name"] == name:
            return dict(found)
    if name == "local":
        return {"name": name, "type": name, "resources": {}, "max_parallel": None}
    known = [found["name"] for found in config["executors"]]
    if known:
        raise unknown("executor", name, ["local", *known], code=USAGE)
    entry = f"{{name: {name}, type: dask, address: tcp://HOST:8786}}"
    raise ColonyError(
        f"unknown executor '{name}'", fix=f"colony.yml has no executors yet: add 'executors: [{entry}]'", code=USAGE
    )


def agent(config: Mapping[str, Any], agent_id: str) -> dict[str, Any]:
    """The agent of that id; ColonyError (FAILED) with the nearest ids when there is none."""
    for candidate in config["agents"]:
        if candidate["id"] == agent_id:
            found: dict[str, Any] = candidate
            return found
    raise unknown("agent", agent_id, [candidate["id"] for candidate in config["agents"]])


def agent_env(
    agent: Mapping[str, Any] | None, environ: Mapping[str, str] | None = None
) -> tuple[dict[str, str], dict[str, str]]:
    """(env, secrets): what the agent's commands get besides the caller's environment, and {NAME: value} to redact.

    `environ` is the caller's environment (default: this process's); variables of `env_file` that it lacks are part of
    `env`, and of the secrets with all the file's others. A PATH of the file wins over the caller's, and is no secret.
    An `env` value that takes a variable is a secret under its own name; where it is only part of the value, what was
    taken is one too. For None: the env_file alone.
    ColonyError (USAGE) that names the agent and the variable, with file and line, when one is not set.
    """
    environ = env.environ() if environ is None else environ
    env_file = agent["env_file"] if agent is not None else load()["env_file"]
    kept = env_file_values(env_file)
    # Every caller has a PATH, and cron another than people: were theirs to win, a run would find other programs by cron
    # than by hand, whatever the file says.
    path = {name: value for name, value in kept.items() if name == "PATH"}
    known = {**kept, **environ, **path}
    result = {name: value for name, value in kept.items() if name not in environ} | path
    secrets: dict[str, str] = {}
    parts: dict[str, str] = {}
    for name, text in (agent or {}).get("env", {}).items():
        assert agent is not None
        if "$" not in text:
            result[name] = text
            continue
        from colony_lib.store import variables

        where = f"{paths.shown(paths.config_file())}:{agent['env_lines'][name]}"
        result[name] = variables.expand(text, known, who=f"agent '{agent['id']}'", where=where, fix=_advice(env_file))
        taken = variables.names(text)
        if taken:
            secrets[name] = result[name]
        if "$" + "".join(taken) != text and "${" + "".join(taken) + "}" != text:
            parts |= {variable: known[variable] for variable in taken}
    for name, value in [*parts.items(), *((name, known[name]) for name in kept if name not in path)]:
        if value not in secrets.values():
            secrets[name if name not in secrets else f"{name}_TAKEN"] = value
    return result, {name: value for name, value in secrets.items() if value}


def _advice(env_file: str | None) -> str | None:
    if not env_file:
        return None
    missing = "" if os.path.exists(env_file_path(env_file)) else ", which does not exist"
    return f"export it, or write it into the env_file '{env_file}'{missing}"


def env_file_values(env_file: str | None) -> dict[str, str]:
    """{name: value} of the env_file that colony.yml names; {} without one, or while it does not exist."""
    if not env_file:
        return {}
    from colony_lib.store import variables, yamltext

    path = env_file_path(env_file)
    try:
        return variables.parse_file(yamltext.read_source(path, file=env_file), env_file)
    except FileNotFoundError:
        return {}


def env_file_path(env_file: str) -> str:
    """Where the env_file that colony.yml names lies."""
    return os.path.join(paths.root(), os.path.expanduser(env_file))


def _source(path: str) -> str:
    try:
        data = files.read_bytes(path, limit=LIMIT)
    except FileNotFoundError:
        other = os.path.splitext(path)[0] + ".yaml"
        fix = "rename colony.yaml to colony.yml" if os.path.exists(other) else "run 'colony init' to make one"
        raise ColonyError(f"no colony.yml in '{os.path.dirname(path)}'", fix=fix, code=USAGE) from None
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ColonyError(
            "not UTF-8 text", where=f"{paths.shown(path)}:{line}", fix="save the file as UTF-8", code=USAGE
        ) from None


def _default_name(path: str) -> str:
    return os.path.basename(os.path.dirname(path)) or "colony"


def _first(wrong: list[ColonyError]) -> ColonyError:
    first = wrong[0]
    if len(wrong) == 1:
        return first
    more = f"'colony validate' shows {len(wrong) - 1} more"
    return ColonyError(
        first.what, where=first.where, fix=f"{first.fix}; {more}" if first.fix else more, code=first.code
    )


def _compiler() -> list[Any]:
    """What a compiled copy depends on besides the text: another version of the rules makes another copy."""
    from colony_lib.store import schema

    here = os.path.dirname(os.path.abspath(__file__))
    found: list[Any] = [__version__]
    for file in (*(os.path.join(here, name + ".py") for name in _COMPILER), schema.file("colony")):
        state = os.stat(file)
        found += [state.st_size, state.st_mtime_ns]
    return found


def _cached(cache: str, source: str, stamp: list[Any]) -> dict[str, Any] | None:
    try:
        kept = files.read_json(cache, None, follow=False)
    except ColonyError:
        return None  # damaged: made anew
    if not isinstance(kept, dict) or kept.get("source") != source or kept.get("compiler") != stamp:
        return None
    config = kept.get("config")
    return config if isinstance(config, dict) else None


def _keep(cache: str, source: str, stamp: list[Any], config: dict[str, Any]) -> None:
    try:
        files.write_json(
            cache, {"v": 1, "source": source, "compiler": stamp, "config": config}, indent=None, durable=False
        )
    except ColonyError:
        return  # a full disk or a read-only colony makes the next start slower, not this one wrong
