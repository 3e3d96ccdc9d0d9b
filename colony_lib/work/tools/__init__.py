"""What a model may do in a step: its tools by name, what each may have for effects, and each call with all checks on
its way.

A tool is a module: bash, files, colony, and scripts for what colony.yml declares. Nothing that a model gets wrong is an
exception: it gets a sentence that lets it do better.
"""

from __future__ import annotations

import time

from colony_lib.base import jsontext
from colony_lib.base.errors import ColonyError, nearest
from colony_lib.base.text import cut, escape
from colony_lib.work.tools import bash, colony, files, scripts
from colony_lib.work.tools.permissions import Permissions
from colony_lib.work.tools.setting import Call, Outcome, Setting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Record = dict[str, Any]

_SENTENCE = 2000  # characters of what is said of a call that cannot be made

__all__ = ["Outcome", "Setting", "Tools"]


class Tools:
    """The tools of one step."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._permissions = Permissions(setting.permissions.get("allow") or [], setting.permissions.get("deny") or [])
        self._scripts = {script["name"]: script for script in setting.scripts}
        wanted = setting.tools if setting.tools is not None else ["bash", "files", "colony", *self._scripts]
        names = [each for name in wanted for each in (files.NAMES if name == "files" else (name,))]
        # In one order, whatever the order in colony.yml: the prompt cache begins with them.
        order = [bash.NAME, *files.NAMES, colony.NAME, *self._scripts]
        self._names = [name for name in order if name in names and self._permissions.may_use(name)]
        self.definitions: list[Record] = [self._definition(name) for name in self._names]
        self._schemas = {each["name"]: each["input_schema"] for each in self.definitions}

    def _definition(self, name: str) -> Record:
        if name == bash.NAME:
            return bash.definition(self._setting)
        if name == colony.NAME:
            return colony.definition()
        return files.definition(name) if name in files.NAMES else scripts.definition(self._scripts[name])

    def effect(self, name: str, given: Any) -> str:
        """'read', 'idempotent' or 'write': whether the call can be made again when nobody knows whether it was made. A
        call that only gives an error has no effects."""
        if name not in self._names or not isinstance(given, dict):
            return "read"
        if name == bash.NAME:
            return bash.effect(given)
        if name == colony.NAME:
            return colony.effect(given)
        return files.effect(name) if name in files.NAMES else str(self._scripts[name].get("effect") or "write")

    def call(
        self, name: str, given: Any, *, key: str, deadline: float | None, started: Callable[[int], None],
        asked: Callable[[], bool],
    ) -> Outcome:  # fmt: skip
        """Make the call. `key`: the same for the same call in every process, $COLONY_TOOL_KEY for what it starts;
        `deadline` in monotonic seconds; `started` hears of the process group that it starts; it is ended when `asked`
        says so."""
        began = time.monotonic()
        wrong = self._problem(name, given)
        if wrong is not None:
            outcome = Outcome(wrong, is_error=True)
        else:
            outcome = self._do(name, given, Call(key, deadline, started, asked))
        outcome.content = self._setting.redact(outcome.content)
        if outcome.is_error and outcome.exit_status is None:
            outcome.content = cut(outcome.content, _SENTENCE)  # it may name what the model has given, at any length
        outcome.seconds = time.monotonic() - began
        return outcome

    def _problem(self, name: str, given: Any) -> str | None:
        if name not in self._names:
            near = nearest(name, self._names) or "there is " + ", ".join(self._names)
            return f"there is no tool '{escape(name)}'; {near}"
        try:
            jsontext.dumps(given)
        except ColonyError as error:
            return f"the input {error.what}"
        wrong = _mismatch(given, self._schemas[name])
        return wrong or self._permissions.problem(name, self._words(name, given))

    def _words(self, name: str, given: Record) -> str:
        """What the call asks for, as permissions see it."""
        if name == bash.NAME:
            return bash.words(given)
        if name == colony.NAME:
            return colony.words(given)
        return files.words(self._setting, given) if name in files.NAMES else jsontext.dumps(given)

    def _do(self, name: str, given: Record, how: Call) -> Outcome:
        if name == bash.NAME:
            return bash.call(self._setting, given, how, self._permissions)
        if name == colony.NAME:
            return colony.call(self._setting, given, how)
        if name in files.NAMES:
            return files.call(self._setting, name, given, how)
        return scripts.call(self._setting, self._scripts[name], given, how)


def _mismatch(given: Any, schema: Record) -> str | None:
    """Where the input does not meet the tool's schema, in words."""
    import jsonschema

    validator = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    error = jsonschema.exceptions.best_match(validator(schema).iter_errors(given))
    if error is None:
        return None
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
    return f"the input does not fit: {escape('input' + where)}: {escape(error.message)[:300]}"
