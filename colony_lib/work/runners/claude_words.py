"""How Claude Code is called: its words, its environment, its permissions, and what it is told."""

from __future__ import annotations

import os
import sys

from colony_lib.base import files, jsontext
from colony_lib.base.text import cut
from colony_lib.store import env, paths
from colony_lib.work.agent import prompt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from colony_lib.work.agent.place import Place

    Record = dict[str, Any]

KEYS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN")
# What of our environment it gets by name: whom to ask, how to get there, in which language and time zone to speak.
_KEPT = (
    *KEYS, "ANTHROPIC_BASE_URL", "ANTHROPIC_CUSTOM_HEADERS", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy",
    "https_proxy", "no_proxy", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "SSL_CERT_DIR", "LANG", "LC_ALL", "LC_CTYPE",
    "TZ", "USER", "LOGNAME", "SHELL", "COLONY_ROOT", "COLONY_SECRETS",
)  # fmt: skip
_SETTINGS = {
    "DISABLE_AUTOUPDATER": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",  # they would be ended with it, half-done
    "CLAUDE_CODE_DISABLE_AUTO_MEMORY": "1",  # what one step has learned must not decide another
    "BASH_DEFAULT_TIMEOUT_MS": "600000",  # a load may take its time; the step's own timeout holds
    "BASH_MAX_TIMEOUT_MS": "7200000",
}
# Colony's names: Claude Code's tools, and the rule that stands for a pattern of them.
_TOOLS = {
    "bash": (["Bash"], "Bash({})"),
    "colony": (["Bash"], "Bash(colony {})"),
    "read_file": (["Read"], "Read({})"),
    "list_files": (["Glob", "Grep"], "Read({})"),
    "write_file": (["Write"], "Edit({})"),  # a rule for Edit counts for all tools that change files
    "edit_file": (["Edit"], "Edit({})"),
}
_FILES = ("read_file", "list_files", "write_file", "edit_file")
_CALL = 300  # characters of a call
_CALLS = 20

_NOTE = """
You do this step in Claude Code. Colony's own tools are not there: use yours, and where these rules speak of the
`colony` tool, run the program `colony` with Bash. Bash finds the variables COLONY_RUN_ID, COLONY_STEP and COLONY_DATE.
You may have fewer permissions than usual; what is denied stays denied, so do not look for ways around it.
Where there is a tool StructuredOutput, give the step's output by it, once, as the last thing that you do.
"""

INTERRUPTED = (
    "The process in which you worked was ended from outside, and this is the same conversation, as far as it was kept: "
    "its last part may be missing, and commands that were running were ended. A command or a change of which you have "
    "no result may have taken effect wholly, in part, or not at all: check before you rely on it or do it again. Then "
    "go on with the step."
)
GO_ON = "Go on with the step where you were."


def command(program: str, place: Place, session: str, *, resume: bool, system: str, most: Record) -> list[str]:
    """The words of one call; the prompt is its standard input. `most`: {turns, usd} that this call may use, or None."""
    task = place.task
    words = [program, "-p", "--output-format", "stream-json", "--verbose"]
    words += ["--resume" if resume else "--session-id", session, "--model", task["model"]["model"]]
    if most["turns"] is not None:
        words += ["--max-turns", str(int(most["turns"]))]
    if most["usd"] is not None:
        words += ["--max-budget-usd", f"{most['usd']:.6f}"]
    if isinstance(task["schema"], dict) and task["schema"].get("type") == "object":
        words += ["--json-schema", jsontext.dumps(task["schema"])]
    allowed, denied = rules(place)
    return [
        *words,
        *("--append-system-prompt", system),
        # Nothing but this decides what it may do: no settings, hooks, servers or CLAUDE.md of the user or the folder.
        *("--setting-sources", "", "--strict-mcp-config", "--disable-slash-commands"),
        *("--permission-mode", "dontAsk"),
        *("--settings", jsontext.dumps({"permissions": {"allow": allowed, "deny": denied}})),
        *("--tools", ",".join(tools(task["agent"]))),
    ]


def tools(agent: Record) -> list[str]:
    """Claude Code's tools that stand for the agent's."""
    found = [each for name in _named(agent) for each in _TOOLS[name][0]]
    if not {"bash", "colony"} & set(_named(agent)) and _scripts(agent):
        found.append("Bash")
    return list(dict.fromkeys(found + (["WebFetch"] if agent.get("network") else [])))


def _named(agent: Record) -> list[str]:
    """The agent's tools, `files` spelled out; scripts are no tools here."""
    given = agent.get("tools")
    names = ["bash", "files", "colony"] if given is None else given
    return [each for name in names for each in (_FILES if name == "files" else [name]) if each in _TOOLS]


def _scripts(agent: Record) -> list[Record]:
    given = agent.get("tools")
    return [script for script in agent.get("scripts") or [] if given is None or script["name"] in given]


def rules(place: Place) -> tuple[list[str], list[str]]:
    """(what Claude Code may do, what it may not), as its settings spell it. A tool for which the agent's permissions
    allow patterns is held to these; the file tools are held to the folder and the shared paths in any case."""
    agent = place.task["agent"]
    given = agent.get("permissions") or {}
    patterns = [_split(each) for each in given.get("allow") or []]
    named = _named(agent)
    allowed = []
    for name in named:
        own = [_TOOLS[name][1].format(pattern) for tool, pattern in patterns if tool == name and pattern]
        allowed += own or _whole(name, place)
    for script in _scripts(agent):
        own = [pattern for tool, pattern in patterns if tool == script["name"]]
        allowed += [f"Bash({_fixed(script['command'])})"] if own or not patterns or "bash" not in named else []
    denied = [each for permission in given.get("deny") or [] for each in _denial(*_split(permission))]
    return list(dict.fromkeys(allowed + (["WebFetch"] if agent.get("network") else []))), list(dict.fromkeys(denied))


def _denial(name: str, pattern: str) -> list[str]:
    if name not in _TOOLS:
        return []
    whole, rule = _TOOLS[name]
    return [rule.format(pattern)] if pattern else ["Bash(colony *)"] if name == "colony" else whole


def _split(permission: str) -> tuple[str, str]:
    name, _, rest = permission.partition("(")
    return name, rest[:-1] if rest.endswith(")") else rest


def _whole(name: str, place: Place) -> list[str]:
    """The rules for a tool without patterns."""
    if name == "bash":
        return ["Bash"]
    if name == "colony":
        return ["Bash(colony *)"]
    rule = _TOOLS[name][1]
    shared = [os.path.realpath(os.path.join(paths.root(), each)) for each in place.task["shared_paths"]]
    return [rule.format("./**"), *(rule.format(f"/{each}/**") for each in shared)]


def _fixed(words: list[str]) -> str:
    """The rule for a script's command: as it stands up to its first value, and anything from there."""
    import shlex

    before: list[str] = []
    for word in words:
        if "{{" in word:
            return " ".join([*before, "*"])
        before.append(shlex.quote(word))
    return " ".join(before)


def environment(place: Place, given: Iterable[str], sessions: str | None) -> dict[str, str]:
    """Its environment, made from nothing. `sessions`: the folder where it keeps the conversation; None where it is to
    find its own login, in the user's home."""
    names = [*_KEPT, *given, *(name for name in env.STEP_VARIABLES.values() if name != "COLONY_OUTPUT")]
    found = {name: value for name in names if (value := env.get(name)) is not None}
    bin_folder = os.path.dirname(os.path.realpath(sys.argv[0]))
    found |= {**_SETTINGS, "PATH": env.get("PATH") or bin_folder, "HOME": place.home, "TMPDIR": place.home}
    found["CLAUDE_CODE_TMPDIR"] = place.home
    if sessions is None:
        found["HOME"] = env.get("HOME") or place.home
        if env.get("CLAUDE_CONFIG_DIR"):
            found["CLAUDE_CONFIG_DIR"] = env.get("CLAUDE_CONFIG_DIR") or ""
    else:
        found["CLAUDE_CONFIG_DIR"] = sessions
    shell = _shell(place)
    return found | ({"CLAUDE_CODE_SHELL_PREFIX": shell} if shell else {})


def _shell(place: Place) -> str | None:
    """A program through which Claude Code runs its commands, so that they do not have the key in their environment.
    None where the folder may hold no programs."""
    path = os.path.join(place.home, "shell")
    shell = "/bin/bash" if os.path.exists("/bin/bash") else "/bin/sh"
    files.write_text(path, f'#!/bin/sh\nunset {" ".join(KEYS)}\nexec {shell} -c "$1"\n', durable=False, mode=0o700)
    return path if os.access(path, os.X_OK) else None


def system(task: Record) -> str:
    """What is added to Claude Code's own system prompt."""
    text = prompt.system(task["agent"], task["shared_paths"]) + _NOTE
    lines = [f"- {_shown(script)}" for script in _scripts(task["agent"])]
    return text + ("\nCommands that are meant for your work:\n" + "\n".join(lines) + "\n" if lines else "")


def _shown(script: Record) -> str:
    import shlex

    said = f" ({script['description']})" if script.get("description") else ""
    return f"`{shlex.join(script['command'])}`{said}"


def interrupted(calls: list[Record], pending: str | None) -> str:
    """What is said first when a conversation goes on after its process was ended: `calls` are the last ones as
    `called` lists them."""
    text = INTERRUPTED
    if calls:
        text += "\n\nYour last calls, as they were seen from outside:\n" + "\n".join(listed(calls))
    return text + (f"\n\n{pending}" if pending else "")


def listed(calls: list[Record]) -> list[str]:
    """The last calls, a line each, with what is known of their outcome."""
    return [
        f"- {each['name']} {cut(jsontext.dumps(each['input']), _CALL)}: {each['ended']}" for each in calls[-_CALLS:]
    ]


def called(records: Iterable[Record]) -> list[Record]:
    """The tool calls among a transcript's events, in order: {id, name, input, ended}."""
    found: dict[str, Record] = {}
    for record in records:
        for block in record["content"] if record["type"] == "event" else ():
            if block.get("type") == "tool_use":
                found[block["id"]] = {**block, "ended": "its outcome is not known"}
            elif block.get("type") == "tool_result" and block.get("tool_use_id") in found:
                failed = block.get("is_error")
                found[block["tool_use_id"]]["ended"] = "it gave an error" if failed else "it was done"
    return list(found.values())
