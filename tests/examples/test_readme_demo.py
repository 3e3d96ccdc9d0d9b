"""The transcript in README.md is what the demo says, but for times, ports and how often the API made it wait."""

from __future__ import annotations

import re

from tests.conftest import REPOSITORY
from tests.examples.conftest import Demo


def told(text: str) -> list[str]:
    """The lines on days and steps, without what differs from run to run."""
    lines = [line for line in text.split("\n") if re.match(r"  [✓!✗] |[A-Z][a-z]+day ", line)]
    lines = [re.sub(r"\s+\d+\.\d+s  ", "  ", line) for line in lines]
    return [re.sub(r"(, \d+ (?:tried again|waited as told))+$", "", line) for line in lines]


def test_the_transcript_in_the_readme_is_what_the_demo_says(demo: Demo) -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    shown = readme.split("<!-- demo: made by running it -->")[1].split("<!-- end of demo -->")[0]
    assert len(told(shown)) == 18
    assert told(shown) == told(demo.said)
