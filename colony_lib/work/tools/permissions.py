"""What an agent may do with its tools: the patterns of `permissions:` in colony.yml.

A pattern is a tool's name, or `name(glob)`, matched against what the tool is asked to do: the command of bash, the
words of colony, the path of a file tool, a script's input as compact JSON. `deny` wins. Where `allow` names anything,
only what it names is allowed. A glob on a shell command holds for one plain command only, which is then run without a
shell, so that nothing can be appended to it; what `deny` says of bash is a reminder to the model and no barrier, for a
shell has many ways to say the same. The barrier is confinement (work/confine.py).
"""

from __future__ import annotations

import fnmatch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_FILES = ("read_file", "list_files", "write_file", "edit_file")
_SHELL = set(";&|<>`$\n\r")  # what a shell makes more of than words


class Permissions:
    """The patterns of one agent."""

    def __init__(self, allow: Iterable[str], deny: Iterable[str]) -> None:
        self._allow = [each for pattern in allow for each in _parsed(pattern)]
        self._deny = [each for pattern in deny for each in _parsed(pattern)]

    def may_use(self, tool: str) -> bool:
        """Whether there is anything that the agent may do with the tool."""
        if any(name == tool and glob is None for name, glob in self._deny):
            return False
        return not self._allow or any(name == tool for name, _ in self._allow)

    def problem(self, tool: str, text: str) -> str | None:
        """Why the tool may not be used for that; None when it may."""
        for name, glob in self._deny:
            if name == tool and (glob is None or _matches(text, glob)):
                return f"not permitted: {name}{'' if glob is None else f'({glob})'} is denied to this agent"
        if not self._allow or any(name == tool and glob is None for name, glob in self._allow):
            return None
        globs = [glob for name, glob in self._allow if name == tool and glob is not None]
        if any(_matches(text, glob) for glob in globs):
            return None
        allowed = ", ".join(f"{tool}({glob})" for glob in globs) or "another tool"
        return f"not permitted: this agent may use {allowed}"

    def wants_words(self, tool: str) -> bool:
        """Whether the tool's commands are held to globs, so that each must be plain words."""
        ours = [glob for name, glob in self._allow if name == tool]
        return bool(ours) and None not in ours


def is_plain(command: str) -> bool:
    """Whether the command is words and nothing that a shell would do more with."""
    return not _SHELL & set(command)


def split(command: str) -> list[str]:
    """The words of a plain command, as a shell would read its quotes. ValueError when these are not closed."""
    import shlex

    return shlex.split(command)


def _parsed(pattern: str) -> list[tuple[str, str | None]]:
    """(tool, glob) of a pattern: `files` stands for the four."""
    name, bracket, rest = pattern.partition("(")
    glob = rest.removesuffix(")") if bracket else None
    return [(each, glob) for each in (_FILES if name == "files" else (name,))]


def _matches(text: str, glob: str) -> bool:
    return fnmatch.fnmatchcase(text, glob) or (glob.endswith(" *") and text == glob[:-2])
