"""Turns a `run` text with references into a shell command in which each value is exactly one word, whatever it holds.

No value ever becomes shell text: it goes into an environment variable, and the reference becomes the expansion of that
variable in the quoting that its place needs. What a place needs is what `shelltext` finds out.
"""

from __future__ import annotations

from colony_lib.base.errors import FAILED, USAGE, ColonyError
from colony_lib.base.text import escape
from colony_lib.store import references, shelltext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from colony_lib.store.references import Reference, Scope

VARIABLE = "COLONY_REF_"
LARGEST = 120 * 1024  # bytes of one value: Linux takes at most 128 KiB in one argument or variable
LARGEST_TOGETHER = 1024 * 1024  # bytes of all values: arguments and environment share about 2 MiB
_FORMS = {"bare": '"${%s}"', "double": "${%s}", "single": "'\"${%s}\"'"}
# What to write instead, by a part of the reason; the first that fits.
_ADVICE = (
    ("after a '$'", "leave the '$' out"),
    ("backslash", "leave the backslash out"),
    ("comment", "leave the braces out of the comment"),
    ("here-document", "print it instead: printf '%s\\n' {{…}}"),
    ("arithmetic", "calculate with: expr {{…}} + 1"),
    ("[[", "use [ … ], which takes it as a word"),
    ("`…`", "write $(…)"),
    ("-c' runs", "give it as an argument: sh -c '… \"$1\" …' sh {{…}}"),
    ("not closed", "close the quote"),
)
_STDIN = "read it from standard input, which holds the step's context as JSON"


def refusals(run: str) -> list[tuple[Reference, str]]:
    """The references that stand where no word can be, each with the reason in words ('in a here-document')."""
    return shelltext.read(run, references.find(run)).refused if "{{" in run else []


def check_size(run: str) -> None:
    """ColonyError (USAGE) for a text that a shell cannot be given."""
    if "\0" in run or len(run.encode("utf-8")) > LARGEST:
        what = "holds a NUL character" if "\0" in run else f"is longer than {LARGEST:,} bytes"
        raise ColonyError(f"the command {what}", fix="put it in a script and run that", code=USAGE)


def check(run: str, where: str | None = None) -> None:
    """ColonyError (USAGE) for the first reference that cannot be one word."""
    for reference, reason in refusals(run):
        raise refused(reference, reason, where)


def refused(reference: Reference, reason: str, where: str | None = None) -> ColonyError:
    """The error for one refusal."""
    what = f"'{escape(reference.text)}' stands {reason}, where it cannot be one word of the shell"
    fix = next((advice for part, advice in _ADVICE if part in reason), "put it in a variable first: x={{…}}")
    return ColonyError(what, where=where, fix=fix.replace("{{…}}", escape(reference.text)), code=USAGE)


def command(run: str, scope: Scope) -> tuple[str, dict[str, str]]:
    """The text for `sh -c`, and the environment variables that hold the values.

    ColonyError (USAGE) where `check` would have refused; (FAILED) for a missing value, and for one that cannot be in
    the environment: with a NUL, or too large.
    """
    if "{{" not in run:
        return run, {}
    reading = shelltext.read(run, references.find(run))
    for reference, reason in reading.refused:
        raise refused(reference, reason)
    names: dict[str, str] = {}
    env: dict[str, str] = {}
    parts: list[str] = []
    end = 0
    for reference, quoting in reading.found:
        parts.append(run[end : reference.start])
        end = reference.end
        if reference.root == "literal":
            parts.append(reference.name)
            continue
        name = names.get(reference.text)
        if name is None:
            name = names[reference.text] = f"{VARIABLE}{len(names) + 1}"
            env[name] = _checked(reference, references.show(references.resolve(reference, scope)))
        parts.append(_FORMS[quoting] % name)
    parts.append(run[end:])
    together = sum(len(value.encode("utf-8")) for value in env.values())
    if together > LARGEST_TOGETHER:
        raise ColonyError(
            f"the references of this command are {together:,} bytes together, too many for its environment",
            fix=_STDIN,
            code=FAILED,
        )
    return "".join(parts), env


def _checked(reference: Reference, value: str) -> str:
    size = len(value.encode("utf-8", "surrogatepass"))
    if size > LARGEST:
        what = f"'{escape(reference.text)}' is {size:,} bytes, more than one word of a command can be"
        raise ColonyError(what, fix=_STDIN, code=FAILED)
    if "\0" in value:
        what = f"'{escape(reference.text)}' holds a NUL character, which no word of a command can"
        raise ColonyError(what, fix=_STDIN, code=FAILED)
    return value
