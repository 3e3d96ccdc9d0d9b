"""`colony-run-step`: one step of a run by itself; also how an attempt finishes whose supervisor died, and the process
in which an agent does its step, and the one that does attempts on a machine of a cluster."""

from __future__ import annotations

from colony_lib.base.errors import USAGE, ColonyError
from colony_lib.cli import args, show


def _parser() -> args.Parser:
    parser = args.Parser(
        prog="colony run-step",
        summary="do one step of a run by itself, as the engine would",
        examples=["colony run-step latest load-data", "colony run-step latest transform-data --batch 2"],
        details="What the step depends on must be completed, and nobody else may be running the run.\n"
        "A completed step is not done again. Prints the step's output.",
    )
    parser.add_argument("run", metavar="RUN", help="a run's id, a unique start of one, or 'latest'")
    parser.add_argument("step", metavar="STEP", help="the step's name")
    parser.add_argument("--batch", type=args.count, metavar="N", help="one batch of a parallel step, from 0")
    args.add_json(parser)
    return parser


def main(argv: list[str]) -> int:
    if argv[:1] == ["--finish"]:
        from colony_lib.work.command import finish_orphan

        if len(argv) != 3 or not argv[2].isdigit():
            raise ColonyError("--finish is for Colony's own use", code=USAGE)
        return finish_orphan(argv[1], int(argv[2]))
    if argv == ["--agent"]:
        from colony_lib.work.agent import program

        return program.main()
    if argv[:1] == ["--away"]:
        from colony_lib.work import away

        if len(argv) != 2:
            raise ColonyError("--away is for Colony's own use", code=USAGE)
        return away.main(argv[1])
    given = _parser().parse_args(argv)
    from colony_lib.work import launch

    run, status, code = launch.one_step(given.run, given.step, given.batch, _tell)
    if given.json:
        show.record(run.step_record(given.step))
    elif status == "completed":
        output = run.output(given.step)
        if given.batch is not None and isinstance(output, list):
            output = output[given.batch]
        if output is not None:
            show.value(output)
    return code


def _tell(step: str, status: str, seconds: float | None, error: str | None) -> None:
    from colony_lib.base.text import show_duration

    if status != "started":
        show.note(
            f"{step} {status}"
            + (f" in {show_duration(seconds)}" if seconds is not None else "")
            + (f": {error}" if error else "")
        )
