"""The double as a process of its own: `python -m tests.fake_api --script FILE.json --log FILE.jsonl [--port N] [--until-eof]`.

The first line of its standard output is its URL. It serves until it is terminated or, with --until-eof, until its standard input
ends, as it does when whoever started it is gone.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path
from types import FrameType

from tests.fake_api.server import FakeAPI


def terminated(signum: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fake_api", description=__doc__)
    parser.add_argument("--script", type=Path, required=True, help="JSON: what is answered")
    parser.add_argument(
        "--log", type=Path, help="JSON Lines: what has come is added here, and read from here at the start"
    )
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--until-eof", action="store_true")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, terminated)
    signal.signal(signal.SIGINT, terminated)
    with FakeAPI(json.loads(given.script.read_text("utf-8")), log=given.log, port=given.port) as api:
        print(api.url, flush=True)
        if given.until_eof:
            sys.stdin.buffer.read()
        else:
            signal.pause()


main()
