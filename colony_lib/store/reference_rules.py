"""Which references and conditions of a workflow can have a value: of steps that come before, of what is there."""

from __future__ import annotations

from colony_lib.base.errors import ColonyError, nearest
from colony_lib.base.text import escape
from colony_lib.store import condition, dag, references, shellwords

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from colony_lib.store.references import Reference
    from colony_lib.store.workflow_rules import Path, Rules, Step

_EVERYWHERE = ("date", "yesterday", "run.id", "workflow.name")


class ReferenceRules:
    """Checks every text of every step; problems go to `rules`."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.outputs = {
            step.given["output"]: step for step in reversed(rules.steps) if isinstance(step.given.get("output"), str)
        }
        in_order = set(dag.order(rules.depends))
        # Steps in a circle come before nothing and after nothing: that is said once, for the circle.
        self.before = dag.ancestors({name: rules.depends[name] for name in rules.depends if name in in_order})

    def check(self) -> None:
        for step in [*self.rules.steps, *self.rules.handlers]:
            self._run(step)
            self._when(step)
            self._for_each(step)
            for path, text in step.texts():
                self._text(step, path, text, batch=True)

    def _text(self, step: Step, path: Path, text: str, batch: bool) -> list[Reference]:
        wrong: list[ColonyError] = []
        found = references.find(text, None, wrong)
        for error in wrong:
            shown = error.what.split("'")[1]
            self.rules.add(error.what, path, error.fix, needle=shown)
        for reference in found:
            self._reference(step, path, reference, batch)
        return found

    def _run(self, step: Step) -> None:
        run = step.given.get("run")
        path = (*step.path, "run")
        if not isinstance(run, str):
            return
        wrong: list[ColonyError] = []
        references.find(run, None, wrong)  # what is no reference at all is said below
        for reference, reason in [] if wrong else shellwords.refusals(run):
            error = shellwords.refused(reference, reason)
            self.rules.add(error.what, path, error.fix, needle=reference.text)
        try:
            shellwords.check_size(run)
        except ColonyError as error:
            self.rules.add(error.what, path, error.fix)
        self._text(step, path, run, batch=True)

    def _when(self, step: Step) -> None:
        when = step.given.get("when")
        path = (*step.path, "when")
        if not isinstance(when, (str, bool)):
            return
        try:
            tree = condition.parse(when)
        except ColonyError as error:
            self.rules.add(error.what, path, error.fix)
            return
        for reference in condition.refs(tree):
            self._reference(step, path, reference, batch=False, bare=reference.text not in str(when))

    def _for_each(self, step: Step) -> None:
        given = step.given.get("for_each")
        path = (*step.path, "for_each")
        if isinstance(given, str):
            whole = references.pattern().fullmatch(given.strip())
            found = self._text(step, path, given, batch=False)
            if not whole and found:
                self.rules.add("for_each must be a list, or one reference to a list and nothing else", path)
            elif not found and "{{" not in given:
                fix = f"write [{escape(given)[:40]}], or {{{{steps.NAME.output}}}}"
                self.rules.add(f"for_each must be a list, and '{escape(given)[:60]}' is text", path, fix)
        for index, text in _texts(given) if isinstance(given, list) else ():
            self._text(step, (*path, *index), text, batch=False)

    # ── one reference ───────────────────────────────────────────────────────────────────────────────────────────

    def _reference(self, step: Step, path: Path, reference: Reference, batch: bool, bare: bool = False) -> None:
        """Add a problem if the reference can have no value in that text. `batch`: is the text asked once a batch;
        `bare`: the reference was written without braces."""
        text = reference.text[2:-2] if bare else reference.text
        wrong = self._wrong(step, reference, batch, bare)
        if wrong:
            what, fix = wrong
            self.rules.add(f"'{escape(text)}' {what}", path, fix, needle=text)

    def _wrong(self, step: Step, reference: Reference, batch: bool, bare: bool) -> tuple[str, str | None] | None:
        root = reference.root
        if root == "steps":
            owner = self.rules.by_name.get(reference.name)
            if owner is None:
                return self._unknown_step(step, reference)
            return self._not_before(step, owner) or self._not_a_list(owner, reference)
        if root == "name":
            owner = self.outputs.get(reference.name)
            if owner is None:
                return self._unknown_name(step, reference, bare)
            return self._not_before(step, owner) or self._not_a_list(owner, reference)
        if root == "failure" and not step.handles:
            return "is known only to the steps of error_handling", None
        if root == "input":
            return self._unknown_input(reference)
        if root in ("item", "batch_id", "batch_count"):
            return self._no_batch(step, root, batch)
        return None

    def _unknown_step(self, step: Step, reference: Reference) -> tuple[str, str | None]:
        if any(handler.name == reference.name for handler in self.rules.handlers):
            return "refers to a step of error_handling, which runs after all others", None
        names = [name for name in self.rules.by_name if name != step.name]
        fix = nearest(reference.name, names) or ("there is " + ", ".join(f"'{name}'" for name in names[:6]))
        return f"refers to the step '{escape(reference.name)}', which is not there", fix if names else None

    def _unknown_name(self, step: Step, reference: Reference, bare: bool) -> tuple[str, str | None]:
        name = reference.name
        if name in self.rules.by_name:
            return "is a step's name and no reference", f"did you mean {{{{steps.{name}.output}}}}?"
        if bare and not reference.path:
            near = nearest(name, [*self.outputs, *references.ROOTS])
            return "is no value", near or f'put it in quotes if it is text: "{escape(name)}"'
        known = [*(name for name in self.outputs if name not in references.RESERVED), *_EVERYWHERE]
        if step.given.get("for_each") is not None:
            known.append("item")
        if step.batched():
            known += ["batch_id", "batch_count"]
        if step.handles:
            known += ["failure.step", "failure.error"]
        near = nearest(".".join([name, *reference.path]), known) or nearest(name, [*known, *references.ROOTS])
        return "is not a known reference", near or "there is " + ", ".join(f"'{each}'" for each in known)

    def _not_before(self, step: Step, owner: Step) -> tuple[str, str | None] | None:
        if step.handles or step.name not in self.before or owner.name not in self.before:
            return None
        if owner.name == step.name:
            return "refers to the step itself", None
        if owner.name not in self.before[step.name]:
            if step.name in self.before[owner.name]:
                return f"refers to the step '{escape(owner.name)}', which comes after this one", None
            what = f"refers to the step '{escape(owner.name)}', which does not come before this one"
            return what, f"add '{escape(owner.name)}' to the depends_on of '{escape(step.name)}'"
        return None

    @staticmethod
    def _not_a_list(owner: Step, reference: Reference) -> tuple[str, str | None] | None:
        if not owner.batched() or not reference.path or reference.field == "status":
            return None
        first = reference.path[0]
        if first.isascii() and first.isdigit():
            return None
        what = f"asks for '{escape(first)}', but '{escape(owner.name)}' has a list of outputs, one a batch"
        head = reference.text[2:-2].strip().removesuffix("." + ".".join(reference.path))
        return what, f"write {{{{{head}.0.{'.'.join(reference.path)}}}}} for the first"

    def _unknown_input(self, reference: Reference) -> tuple[str, str | None] | None:
        schema = self.rules.body.get("input")
        if not isinstance(schema, dict) or not reference.path:
            return None
        known = schema.get("properties")
        open_to_more = ("additionalProperties", "patternProperties", "$ref", "allOf", "anyOf", "oneOf", "if")
        if not isinstance(known, dict) or any(schema.get(key) for key in open_to_more) or reference.path[0] in known:
            return None
        fix = nearest(reference.path[0], known) or "there is " + ", ".join(f"'{name}'" for name in known)
        return f"refers to the input '{escape(reference.path[0])}', which is not among its properties", fix

    @staticmethod
    def _no_batch(step: Step, root: str, batch: bool) -> tuple[str, str | None] | None:
        if root == "item" and step.given.get("for_each") is None:
            return "is known only to a step with 'for_each'", None
        if not step.batched():
            return "is known only to a step with 'parallel' or 'for_each'", None
        if not batch:
            return "is not known yet: this is asked once for the whole step", None
        return None


def _texts(value: Any, path: Path = ()) -> list[tuple[Path, str]]:
    """The texts in a list or object, by path."""
    if isinstance(value, str):
        return [(path, value)]
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, item in items for found in _texts(item, (*path, key))]
