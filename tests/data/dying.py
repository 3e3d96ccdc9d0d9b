"""Commands that are killed at one of the moments in which files, and objects on S3, come and go."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.conftest import REPOSITORY, clean_environment

_KILLED = """\
import os, signal, sys
left = int(sys.argv[1])
def dying(act):
    def done(*given, **named):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return act(*given, **named)
    return done
os.replace, os.rename, os.unlink = dying(os.replace), dying(os.rename), dying(os.unlink)
if "AWS_ENDPOINT_URL" in os.environ:
    from botocore.client import BaseClient
    BaseClient._make_api_call = dying(BaseClient._make_api_call)
from colony_lib import cli
sys.exit(cli.run(sys.argv[2], sys.argv[3:]))
"""


def killed(folder: Path, point: int, *words: str, **environment: str) -> int:
    """The exit status of `colony WORDS…` in that folder, killed before its `point`-th rename or unlink (or call of S3,
    where the environment leads to one) if it has one."""
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, str(point), *words],
        cwd=folder, env=clean_environment(PYTHONPATH=str(REPOSITORY), **environment), capture_output=True,
    )  # fmt: skip
    return done.returncode
