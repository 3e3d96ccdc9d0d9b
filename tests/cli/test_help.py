"""`colony help`: manual pages that say what the parsers say, and topics that say what the code reads."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from colony_lib.base import errors
from colony_lib.cli import grammar, help, help_topics, help_writing
from colony_lib.store import shellwords
from tests.conftest import BIN, Colony, clean_environment
from tests.terminals import terminal

MAN = shutil.which("man")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("man1")
    subprocess.run([BIN / "colony", "help", "--man", folder], check=True, env=clean_environment())
    return folder


def plain(roff: str) -> str:
    """What a page says, without the marks of roff."""
    return re.sub(r"\\f[BIR]|\\&", "", roff).replace("\\-", "-").replace("\\e", "\\")


def test_there_is_a_page_for_every_executable(pages: Path) -> None:
    assert sorted(path.stem for path in pages.iterdir()) == sorted(path.name for path in BIN.iterdir())
    overview = plain((pages / "colony.1").read_text(encoding="utf-8"))
    for path in BIN.iterdir():
        assert path.name in overview or path.name == "colony-help"


@pytest.mark.parametrize("name", [path.name for path in sorted(BIN.iterdir()) if path.name[6:] not in ("", "-help")])
def test_a_page_holds_every_verb_option_and_help_of_its_parser(pages: Path, name: str) -> None:
    page = plain((pages / f"{name}.1").read_text(encoding="utf-8"))
    for command in grammar.commands(name.removeprefix("colony-")):
        if command.verbs:
            continue
        assert command.parser.prog in page
        for action in command.parser._actions:
            names = ", ".join(action.option_strings) or str(action.metavar)
            assert f"\n{names}" in page and grammar.line(action.help) in grammar.line(page), f"{command.path} {names}"


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="mandoc is not installed")
def test_mandoc_finds_nothing_in_the_pages_but_that_they_have_no_date(pages: Path) -> None:
    lines = []
    for page in sorted(pages.iterdir()):
        done = subprocess.run(["mandoc", "-T", "lint", page], capture_output=True, text=True)
        lines += (done.stdout + done.stderr).splitlines()
    assert len(lines) == len(list(pages.iterdir()))  # the same version gives the same page, so that there is no date
    assert [line for line in lines if "missing date" not in line] == []


@pytest.mark.skipif(MAN is None, reason="man is not installed")
def test_man_reads_every_page_without_a_warning(pages: Path) -> None:
    done = subprocess.run(
        [str(MAN), "--warnings=w", "-P", "cat", "-l", *sorted(map(str, pages.iterdir()))],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env=clean_environment(MANWIDTH="80"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("SYNOPSIS") == len(list(pages.iterdir()))


@pytest.mark.skipif(MAN is None, reason="man is not installed")
def test_help_of_a_command_is_its_page_on_a_terminal_and_its_help_text_in_a_pipe(colony: Colony) -> None:
    assert colony("help", "logs").out == colony("logs", "--help").out
    shown, code = terminal(colony, "help", "logs", env={"MANPAGER": "cat", "PAGER": "cat"})
    assert code == 0
    words = re.sub(".\x08", "", shown)  # bold is a letter struck twice
    assert "COLONY-LOGS(1)" in words and "SEE ALSO" in words


def test_pages_go_only_into_a_folder_that_is_there(colony: Colony) -> None:
    for words in (["--man"], ["--man", "nowhere"], ["--man", "a", "b"]):
        result = colony("help", *words, check=False)
        assert (result.code, result.out) == (2, "") and len(result.err.splitlines()) == 1


LIBRARY = BIN.parent / "colony_lib"


def constants(tree: ast.AST) -> set[str]:
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def read_variables() -> set[str]:
    """Names that the library asks the environment for as they stand, and every COLONY_NAME that it spells."""
    found = set()
    for path in LIBRARY.rglob("*.py"):
        if path.stem == "help_topics":
            continue
        text = path.read_text(encoding="utf-8")
        found |= set(re.findall(r"""(?:\benv|environ)(?:\.get\(|\[)["']([A-Z_]+)["']""", text))
        found |= {word for word in constants(ast.parse(text)) if re.fullmatch(r"COLONY_[A-Z_]*[A-Z]", word)}
    return found


def test_the_topic_environment_names_every_variable_that_is_read_and_no_other() -> None:
    known = {*help_topics.READ, *help_topics.SET}
    found = read_variables()
    assert {"COLONY_ROOT", "COLONY_OUTPUT", "TZ"} <= found
    assert found - known == set()
    assert known - found == {"COLONY_REF_*"}  # made from this beginning in store/shellwords.py
    assert shellwords.VARIABLE == "COLONY_REF_"


def test_the_topic_files_names_every_folder_and_journal_that_paths_spells() -> None:
    tree = ast.parse((LIBRARY / "store" / "paths.py").read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "inside"]
    folders = {call.args[0].value for call in calls if isinstance(call.args[0], ast.Constant)}
    assert len(folders) > 12
    assert [name for name in sorted(folders) if f".colony/{name}" not in help_topics.FILES] == []
    journals = {call.args[1].value for call in calls if len(call.args) > 1 and isinstance(call.args[1], ast.Constant)}
    kept = {name for name in journals if str(name).endswith(".jsonl")}
    assert {name for name in kept if name not in help_topics.FILES} <= {"alerts.jsonl"}


def test_the_topic_exit_codes_names_every_status(colony: Colony) -> None:
    codes = {value for name, value in vars(errors).items() if name.isupper() and type(value) is int}
    assert len(codes) >= 7
    listed = {int(line.split()[0]) for line in colony("help", "exit-codes").out.splitlines()}
    assert codes == listed


@pytest.mark.parametrize("name", list(help.TOPICS))
def test_a_topic_fits_a_screenful_or_two(colony: Colony, name: str) -> None:
    shown = colony("help", name).out.splitlines()
    assert len(shown) < 60 and max(map(len, shown)) <= 110


def test_the_workflow_of_the_topic_runs_as_it_stands(colony: Colony) -> None:
    assert help_writing.WORKFLOW in colony("help", "workflows").out
    colony.write(".colony/workflows/sizes.yaml", help_writing.WORKFLOW)
    assert colony("workflow", "validate", "sizes").out == "ok: 1 workflow\n"
    colony("workflow", "run", "sizes", "--date", "2013-02-08")
    steps = colony.json("workflow", "status", "--json")["steps"]
    lines = (colony.root / "colony.yml").read_text(encoding="utf-8").count("\n")
    assert [step["output"] for step in steps] == [["colony.yml"], [lines], f"[{lines}] lines on 2013-02-08"]


def test_the_pipeline_of_the_topic_goes_from_a_file_into_the_warehouse(colony: Colony) -> None:
    assert help_writing.PIPELINE in colony("help", "pipelines").out
    colony.write("pipeline.yml", help_writing.PIPELINE)
    colony.write("inbox/orders_2026-11-26.csv", "Order ID,Ordered at,Amount,Country\n1,26/11/2026,120,FR\n2,,7,DE\n")
    for tool in ("fetch", "transform", "validate-data", "load"):
        colony(tool, "--date", "2026-11-26", check=False)
    (row, *_) = json.loads((colony.root / "staging/transformed/orders_2026-11-26.json").read_text())["data"]
    assert row == {"order_id": 1, "ordered_at": "2026-11-26", "amount": 120.0, "country": "FR", "large": True}


@pytest.mark.parametrize(
    ("topic", "kind", "parts"),
    [
        ("workflows", "workflow", ["workflow", "trigger", "step", "limits", "retry"]),
        ("pipelines", "pipeline", ["source", "dataset", "load", "thresholds", "aggregate"]),
    ],
)
def test_a_topic_on_a_file_names_every_key_of_its_schema(
    colony: Colony, topic: str, kind: str, parts: list[str]
) -> None:
    schema = json.loads((BIN.parent / "schemas" / f"{kind}.schema.json").read_text(encoding="utf-8"))
    keys = {key for part in parts for key in schema["$defs"][part]["properties"]} | set(schema.get("properties", ()))
    named = set(re.findall(r"[a-z0-9_]+", colony("help", topic).out))
    assert keys - named == {"type", "description"} - named


def test_what_is_no_command_and_near_to_none_leads_to_the_list(colony: Colony) -> None:
    assert colony("zzz", check=False).err == "colony: unknown command 'zzz'; 'colony help' lists them\n"
    near = colony("help", "pipeline", check=False).err
    assert near == "colony: unknown command 'pipeline'; did you mean 'pipelines'?\n"


def test_a_wheel_holds_the_pages_that_its_own_sources_say(pages: Path, tmp_path: Path) -> None:
    setuptools = pytest.importorskip("setuptools")
    if int(setuptools.__version__.split(".")[0]) < 77:
        pytest.skip("setuptools is older than what pyproject.toml asks for")
    source = tmp_path / "source"
    for name in ("bin", "colony_lib", "schemas", "examples"):
        shutil.copytree(BIN.parent / name, source / name, ignore=shutil.ignore_patterns("__pycache__", ".colony"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(BIN.parent / name, source / name)
    build = "from setuptools import setup; setup()"
    words = [sys.executable, "-c", build, "-q", "bdist_wheel", "--dist-dir", str(tmp_path)]
    done = subprocess.run(words, cwd=source, env=clean_environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        found = {name: file.read(name) for name in file.namelist() if "/share/man/man1/" in name}
    assert {name.rpartition("/")[2]: text for name, text in found.items()} == {
        page.name: page.read_bytes() for page in pages.iterdir()
    }
