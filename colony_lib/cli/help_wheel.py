"""Building a wheel of Colony: puts the manual pages, made anew, into its share/man (pyproject.toml names the class)."""

from __future__ import annotations

import glob
import os
import subprocess
import sys

from setuptools.command.build_py import build_py

FOLDER = os.path.join("build", "man1")


class BuildWithPages(build_py):  # type: ignore[misc]
    """`build_py` that has `colony help --man` write the pages of these very sources; they are installed as data."""

    def run(self) -> None:
        super().run()
        os.makedirs(FOLDER, exist_ok=True)
        for page in glob.glob(os.path.join(FOLDER, "*")):
            os.unlink(page)  # of a command that is no more
        subprocess.run([sys.executable, os.path.join("bin", "colony-help"), "--man", FOLDER], check=True)
        pages = sorted(glob.glob(os.path.join(FOLDER, "*.1")))
        self.distribution.data_files = [("share/man/man1", pages)]
