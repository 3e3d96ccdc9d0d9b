"""Writes the command reference of README.md from what `--help` says: `make docs`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent
BEGIN, END = "<!-- reference: made by 'make docs' from --help -->\n", "<!-- end of reference -->\n"


def help_of(*words: str) -> str:
    """What `colony WORDS… --help` prints."""
    environment = {**os.environ, "PATH": f"{REPOSITORY / 'bin'}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "100"}
    done = subprocess.run(["colony", *words, "--help"], capture_output=True, text=True, env=environment, check=True)
    return done.stdout


def verbs_of(text: str) -> list[str]:
    """The names of the commands that a help text lists."""
    if "\ncommands:\n" not in text:
        return []
    return re.findall(r"^ {4}(\S+)", text.split("\ncommands:\n", 1)[1].split("\n\n", 1)[0], re.MULTILINE)


def usage_of(text: str) -> str:
    """The usage lines of a help text as one line, without the common options."""
    usage = text.split("\nusage: ", 1)[1].split("\n\n", 1)[0]
    return re.sub(r" \[(?:-h|--json|--lock-timeout T)\]", "", " ".join(usage.split()))


def entries(*words: str) -> list[tuple[str, str]]:
    """(usage, summary) of a command, or of each of its verbs."""
    text = help_of(*words)
    verbs = verbs_of(text)
    if verbs:
        return [entry for verb in verbs for entry in entries(*words, verb)]
    return [(usage_of(text), text.split("\n", 1)[0])]


def reference() -> str:
    """The section as Markdown: a table for each executable."""
    names = [path.name.removeprefix("colony-") for path in (REPOSITORY / "bin").iterdir() if path.name != "colony"]
    listed = subprocess.run(
        [REPOSITORY / "bin" / "colony", "help"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PATH": os.environ["PATH"]},
    ).stdout
    ordered = [
        line.split()[0] for line in listed.splitlines() if re.match(r"  [a-z]", line) and line.split()[0] in names
    ]
    parts = ["| command | |\n| --- | --- |\n"]
    for name in ordered:
        for usage, summary in entries(name):
            parts.append(f"| `{usage.replace('|', chr(92) + '|')}` | {summary} |\n")
    return "".join(parts)


def replaced(readme: str) -> str:
    """The README's text with the section made anew."""
    head, rest = readme.split(BEGIN)
    return head + BEGIN + reference() + END + rest.split(END)[1]


if __name__ == "__main__":
    path = REPOSITORY / "README.md"
    path.write_text(replaced(path.read_text(encoding="utf-8")), encoding="utf-8")
    sys.exit(0)
