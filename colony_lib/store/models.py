"""Which model an agent gets today: overrides, aliases, and successors of models that are retired."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEFAULT = "claude-sonnet-5-5"

# Short names that always mean today's model of the family.
FAMILIES = {
    "sonnet": "claude-sonnet-5-5",
    "opus": "claude-opus-5-5",
    "haiku": "claude-haiku-5-5",
    "fable": "claude-fable-5-1",
}

# Model, or the beginning of its dated names: the day from which the API answers 404 ('' where only "before
# now" is known), and the family that took its place. From the maker's list of deprecations.
RETIRED = {
    "claude-sonnet-4-5": ("2026-11-30", "sonnet"),
    "claude-sonnet-4-20250514": ("2026-06-15", "sonnet"),
    "claude-sonnet-4-0": ("2026-06-15", "sonnet"),
    "claude-opus-4-20250514": ("2026-06-15", "opus"),
    "claude-opus-4-0": ("2026-06-15", "opus"),
    "claude-opus-4-1": ("", "opus"),
    "claude-3-7-sonnet": ("", "sonnet"),
    "claude-3-5-sonnet": ("", "sonnet"),
    "claude-3-5-haiku": ("", "haiku"),
    "claude-3-sonnet": ("", "sonnet"),
    "claude-3-opus": ("", "opus"),
    "claude-3-haiku": ("", "haiku"),
    "claude-2": ("", "sonnet"),
    "claude-instant": ("", "haiku"),
}


def resolve(
    agent: dict[str, Any] | None, config: dict[str, Any], override: str | None = None, today: str | None = None
) -> dict[str, Any]:
    """{model, asked, source, warning}: what to call, what was written and where, and a warning or None.

    COLONY_MODEL (`override`, default the environment's) wins over the agent's own model, which wins over
    `defaults.model`; then aliases of colony.yml and the families' names are followed, and a retired model
    becomes `defaults.model`, or without one its family's model of today. Nothing is replaced without a warning.
    """
    from colony_lib.base import clock
    from colony_lib.store import env

    override = override or env.get("COLONY_MODEL")
    default = config.get("defaults", {}).get("model")
    own = (agent or {}).get("model")
    asked, source = (
        (override, "COLONY_MODEL")
        if override
        else (own, "agent")
        if own
        else (default, "defaults")
        if default
        else (DEFAULT, "built in")
    )
    aliases = config.get("aliases", {})
    model = follow(asked, aliases)
    warning = None
    gone = retired(model, today or clock.now()[:10])
    if gone:
        day, family = gone
        instead = follow(default, aliases) if default else ""
        if not instead or retired(instead, today or clock.now()[:10]):
            instead = FAMILIES[family]
        whose = f"agent '{agent['id']}': " if agent else ""
        warning = f"{whose}the model '{model}' is retired{' since ' + day if day else ''}; '{instead}' is used instead"
        model = instead
    return {"model": model, "asked": asked, "source": source, "warning": warning}


def follow(model: str, aliases: dict[str, str]) -> str:
    """The model that a name stands for; a circle of aliases (refused by store.config) ends where it began."""
    seen = set()
    while model not in seen and (model in aliases or model in FAMILIES):
        seen.add(model)
        model = aliases.get(model) or FAMILIES[model]
    return model


def retired(model: str, today: str) -> tuple[str, str] | None:
    """(day, family) of a model that is retired on the day `today` (YYYY-MM-DD), else None."""
    for start, (day, family) in RETIRED.items():
        if today >= day and (model == start or model.startswith((start + "-", start + "."))):
            return day, family
    return None
