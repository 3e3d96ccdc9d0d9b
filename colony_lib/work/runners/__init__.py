"""How an agent does a step: one small module a runner, found by the name that colony.yml gives it.

A runner's module has `missing(known) -> ColonyError | None`, asked before a run is begun, with the agent's environment,
what it needs and does not find; and `perform(place, context) -> Ending`. That is called in a process of its own, which
the attempt's shell started (`colony-run-step --agent`), in the folder where the agent works; what it prints on standard
error is the agent's log. Whatever kills the process, the next attempt gets the same step again, and `place.before` to
go on from.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

# Name in colony.yml: module. `PAID` runners call a model.
_MODULES = {"api": "api", "claude-code": "claude_code", "command": "command"}
PAID = ("api", "claude-code")


def get(name: str) -> ModuleType:
    """The runner's module. KeyError for a name that colony.yml does not allow."""
    import importlib

    return importlib.import_module(f"colony_lib.work.runners.{_MODULES[name]}")
