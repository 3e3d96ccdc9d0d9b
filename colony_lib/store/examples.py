"""The examples that `colony init --example` lays down: which there are, and the files of each."""

from __future__ import annotations

import os
import re

from colony_lib.base import files
from colony_lib.base.errors import USAGE, ColonyError, nearest
from colony_lib.base.text import escape

# Below an example's folder; pyproject.toml puts the same into the wheel. What runs leave in a checkout is elsewhere.
FOLDERS = ("", ".colony/workflows", "suite")
_OUTSIDE = re.compile(r"\[([^\]]*)\]\(\.\./[^)]*\)")  # a link to what is not laid down
_SCHEMA = re.compile(r"^(# yaml-language-server: \$schema=)[./]*/schemas/", re.MULTILINE)


def folder() -> str:
    """The checkout's examples/, else those installed with the package."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    checkout = os.path.join(os.path.dirname(package), "examples")
    if os.path.isfile(os.path.join(checkout, "hello", "colony.yml")):
        return checkout
    return os.path.join(package, "examples")


def names() -> list[str]:
    """The examples by name; [] where the package came without them."""
    place = folder()
    if not os.path.isdir(place):
        return []
    return sorted(name for name in os.listdir(place) if os.path.isfile(os.path.join(place, name, "colony.yml")))


def texts(name: str) -> dict[str, str]:
    """{path below a colony: text} of the example's files, which name the schemas where 'colony init' copies them;
    ColonyError (USAGE), with the names there are, for another."""
    known = names()
    if name not in known:
        what = f"there is no example '{escape(name)[:60]}'" if name else "no example is named"
        near = nearest(name, known) if name else None
        listed = "there is " + ", ".join(known) if known else "they are not installed"
        raise ColonyError(what, fix=f"{near} {listed}" if near else listed, code=USAGE)
    found = {}
    for below in FOLDERS:
        place = os.path.join(folder(), name, below)
        for entry in sorted(os.scandir(place), key=lambda entry: entry.name) if os.path.isdir(place) else []:
            if entry.is_file() and not entry.name.endswith((".pyc", ".tmp")):
                schemas = "../schemas/" if below == ".colony/workflows" else ".colony/schemas/"
                text = _SCHEMA.sub(rf"\g<1>{schemas}", files.read_text(entry.path))
                if entry.name.endswith(".md"):
                    text = _OUTSIDE.sub(lambda link: f"`examples/{link[1].removeprefix('../')}` of Colony", text)
                found[f"{below}/{entry.name}" if below else entry.name] = text
    return found


def first_commands(page: str) -> list[str]:
    """The first two lines of the shell blocks of an example's README, without their remarks."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return [line.split(" #")[0].rstrip() for line in "".join(blocks).splitlines() if line.strip()][:2]
