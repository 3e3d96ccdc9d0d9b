"""What the examples' tests share: clean copies of the examples, a shell as a reader of a README has it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from tests.conftest import REPOSITORY, Result, clean_environment

EXAMPLES = REPOSITORY / "examples"
_LEFT_BY_RUNS = {"staging", "reports", "metrics", "logs", "warehouse", "backups", "data", "dist", "__pycache__"}


def copy(name: str, target: Path) -> Path:
    """The example's tracked files in `target`, without what runs may have left in the checkout."""

    def left(folder: str, names: list[str]) -> set[str]:
        if Path(folder).name == ".colony":
            return set(names) - {"workflows", ".gitignore"}
        return _LEFT_BY_RUNS & set(names)

    shutil.copytree(EXAMPLES / name, target, ignore=left)
    return target


def shell(command: str, cwd: Path, env: dict[str, str] | None = None, timeout: float = 120) -> Result:
    """Run a line as a person would type it into sh, in `cwd`."""
    return Result(
        subprocess.run(
            ["sh", "-c", command],
            cwd=cwd,
            env=clean_environment(**(env or {})),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=timeout,
        )
    )


def commands(page: Path, language: str = "sh") -> list[str]:
    """The lines of a page's ```sh blocks, continued lines joined, comments left out."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").split("\n")
    return [line for line in lines if line.strip() and not line.startswith("#")]
