"""Facts about models, and which model an agent gets today: overrides, aliases, successors of models that are retired.

The facts are data: models.json beside this module, and what the colony's `.colony/models.json` says of a model
by its id, key by key (schemas/models.schema.json). They are read when first asked for.
"""

from __future__ import annotations

import os

from colony_lib.base.errors import USAGE, ColonyError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Record = dict[str, Any]

PACKAGED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "models.json")
_read: dict[str | None, Record] = {}  # by the colony's file


def facts() -> Record:
    """{default, families: {name: model}, models: {id: {id, family, retired, context, max_output, prices}}}; keys of a
    model are absent where nothing is known. ColonyError (USAGE) when .colony/models.json is not what it must be."""
    from colony_lib.store import paths

    own = paths.models_file() if paths.root_or_none() is not None else None
    if own not in _read:
        from colony_lib.base import files

        found = _by_id(files.read_json(PACKAGED))
        if own is not None and os.path.lexists(own):
            _add(found, _checked(own))
        _read[own] = found
    return _read[own]


def _by_id(value: Record) -> Record:
    return {**value, "models": {model["id"]: model for model in value["models"]}}


def _checked(path: str) -> Record:
    from colony_lib.base import files
    from colony_lib.store import paths, schema

    shown = paths.shown(path)
    try:
        value = files.read_json(path)
    except ColonyError as error:
        raise ColonyError(error.what, where=error.where, fix=error.fix, code=USAGE) from None
    for problem in schema.problems(value, "models", file=shown):
        raise problem
    found: Record = value
    families = {*_by_id(files.read_json(PACKAGED))["families"], *found.get("families", {})}
    for model in found.get("models", []):
        if model.get("family", "sonnet") not in families:
            from colony_lib.base.errors import unknown

            raise unknown("family", model["family"], families, where=shown, code=USAGE)
    return found


def _add(found: Record, own: Record) -> None:
    """Take in what the colony's file says, key by key."""
    found["default"] = own.get("default", found["default"])
    found["families"] = {**found["families"], **own.get("families", {})}
    for model in own.get("models", []):
        found["models"][model["id"]] = {**found["models"].get(model["id"], {}), **model}


def default() -> str:
    """The model of agents for which nobody names one."""
    return str(facts()["default"])


def fact(model: str) -> Record:
    """What is known of a model, by its name or the dated form of it (claude-haiku-4-5-20251001); {} for another."""
    known: dict[str, Record] = facts()["models"]
    base, _, date = model.rpartition("-")
    if model not in known and len(date) == 8 and date.isdigit():
        model = base
    return known.get(model, {})


def resolve(agent: Record | None, config: Record, override: str | None = None, today: str | None = None) -> Record:
    """{model, asked, source, warning}: what to call, what was written and where, and a warning or None.

    COLONY_MODEL (`override`, default the environment's) wins over the agent's own model, which wins over
    `defaults.model`; then aliases of colony.yml and the families' names are followed, and a retired model
    becomes `defaults.model`, or without one its family's model of today. Nothing is replaced without a warning.
    """
    from colony_lib.base import clock
    from colony_lib.store import env

    override = override or env.get("COLONY_MODEL")
    ours = config.get("defaults", {}).get("model")
    own = (agent or {}).get("model")
    asked, source = (
        (override, "COLONY_MODEL")
        if override
        else (own, "agent")
        if own
        else (ours, "defaults")
        if ours
        else (default(), "built in")
    )
    aliases = config.get("aliases", {})
    model = follow(asked, aliases)
    warning = None
    gone = retired(model, today or clock.now()[:10])
    if gone:
        day, family = gone
        instead = follow(ours, aliases) if ours else ""
        if not instead or retired(instead, today or clock.now()[:10]):
            instead = facts()["families"][family]
        whose = f"agent '{agent['id']}': " if agent else ""
        warning = f"{whose}the model '{model}' is retired{' since ' + day if day else ''}; '{instead}' is used instead"
        model = instead
    return {"model": model, "asked": asked, "source": source, "warning": warning}


def follow(model: str, aliases: dict[str, str]) -> str:
    """The model that a name stands for; a circle of aliases (refused by store.config) ends where it began."""
    families: dict[str, str] = facts()["families"]
    seen = set()
    while model not in seen and (model in aliases or model in families):
        seen.add(model)
        model = aliases.get(model) or families[model]
    return model


def retired(model: str, today: str) -> tuple[str, str] | None:
    """(day, family) of a model that is retired on the day `today` (YYYY-MM-DD), else None. What is said of a model
    counts for the longer names that begin with its own, unless they are known by themselves."""
    known: dict[str, Record] = facts()["models"]
    name = model if model in known else max((each for each in known if _begins(model, each)), key=len, default="")
    found = known.get(name, {})
    day = found.get("retired")
    return (day, found.get("family", "sonnet")) if day is not None and today >= day else None


def _begins(model: str, start: str) -> bool:
    return model.startswith((start + "-", start + "."))
