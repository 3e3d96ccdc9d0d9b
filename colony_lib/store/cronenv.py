"""What a job of cron finds in its environment, and what a workflow would miss there."""

from __future__ import annotations

import os

from colony_lib.base.errors import USAGE, ColonyError
from colony_lib.base.text import plural
from colony_lib.store import config, env, paths, schedule, variables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    Record = dict[str, Any]

PATH = "/usr/bin:/bin"


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """The environment of a job: cron's own four variables, and the settings that stand in the crontab above it."""
    user = env.get("LOGNAME") or env.get("USER") or ""
    return {"HOME": os.path.expanduser("~"), "LOGNAME": user, "SHELL": "/bin/sh", "PATH": PATH, **settings}


def refuse_missing(plan: Record, settings: Record, environ: Mapping[str, str]) -> None:
    """ColonyError (USAGE) that names whose variable it is, the variable, and what to write, for the first one that the
    workflow's agents and steps take and that they would not find under cron."""
    agents = {agent["id"]: agent for agent in settings["agents"]}
    try:
        kept = config.env_file_values(settings["env_file"])
    except ColonyError as error:
        raise ColonyError(error.what, where=error.where, fix=error.fix, code=USAGE) from None
    for step in [*plan["steps"], *plan["error_handling"]]:
        agent = agents.get(step["agent"])
        known = {**kept, **environ}
        if agent is not None:
            for name, text in agent["env"].items():
                where = f"{paths.shown(paths.config_file())}:{agent['env_lines'][name]}"
                _refuse(f"agent '{agent['id']}'", where, text, known, settings["env_file"])
            known |= agent["env"]
        for text in step["env"].values():
            where = f"{plan['file']}:{step['lines'].get('env', step['line'])}"
            names = [name for name in env.STEP_VARIABLES.values() if name != "COLONY_OUTPUT"]
            _refuse(f"step '{step['name']}'", where, text, known | dict.fromkeys(names, ""), settings["env_file"])


def _refuse(who: str, where: str, text: str, known: Mapping[str, str], env_file: str | None) -> None:
    for name in variables.names(text):
        if name not in known:
            fix = f"write {name}=… into the env_file '{env_file}'"
            if not env_file:
                fix = f"write {name}=… into a file .env, and 'env_file: .env' into colony.yml"
            raise ColonyError(
                f"the environment variable {name} is not set under cron, which {who} needs",
                where=where,
                fix=fix,
                code=USAGE,
            )


def warnings(plans: list[Record], settings: Record, environ: Mapping[str, str], own: str) -> Iterator[str]:
    """What may differ between a run by cron and one by hand, one line each. `own` is the folder of Colony's
    executables, which every step finds."""
    yield from _of_env_file(settings["env_file"])
    yield from _of_path(settings["env_file"], environ["PATH"], own)
    zone = env.get("TZ")
    local = [plan["name"] for plan in plans if plan["trigger"]["timezone"] is None]
    if zone and local and "TZ" not in environ and not _is_machines(zone):
        clock = schedule.zone_name(schedule.machine_zone())
        yield (
            f"TZ={zone} is set here, and cron goes by the machine's clock, {clock}: write 'timezone: {zone}' into the "
            f"trigger of '{local[0]}' if that is meant"
        )


def _is_machines(zone: str) -> bool:
    try:
        return schedule.is_machines(zone.removeprefix(":"))
    except ColonyError:
        return True  # not a name of a zone: what the machine makes of it is not known


def _of_env_file(env_file: str | None) -> Iterator[str]:
    if not env_file:
        return
    path = config.env_file_path(env_file)
    if not os.path.exists(path):
        yield f"the env_file '{env_file}' does not exist"
        return
    if os.stat(path).st_mode & 0o044 and config.env_file_values(env_file).keys() - {"PATH"}:
        yield f"the env_file '{env_file}' can be read by other users: chmod 600 {env_file}"


def _of_path(env_file: str | None, given: str, bin_folder: str) -> Iterator[str]:
    """A PATH of this shell that cron does not have; one of the env_file counts here and there alike."""
    own = config.env_file_values(env_file).get("PATH")
    if own is not None:
        if "$" in own:
            yield f"PATH in the env_file '{env_file}' holds a '$', and no variable is expanded there: write it out"
        return
    folders = (env.get("PATH") or "").split(os.pathsep)
    here = dict.fromkeys(folder for folder in folders if os.path.isabs(folder) and os.path.isdir(folder))
    more = [folder for folder in here if folder not in (bin_folder, *given.split(os.pathsep))]
    if more:
        value = os.pathsep.join(here)
        mark = "'" if "'" not in value else '"'
        line = f"PATH={mark}{value}{mark}" if set(value) & set(" \t#\"'$") else f"PATH={value}"
        where = f"write into '{env_file}'" if env_file else "write 'env_file: .env' into colony.yml and into .env"
        yield (
            f"cron's PATH is {given}, and this shell's has {plural(len(more), 'folder')} more; to have them there too, "
            f"{where}: {line}"
        )
