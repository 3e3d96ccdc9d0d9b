"""`colony state pull`, `push` and `sync`: the command line of the state that several machines share by git."""

from __future__ import annotations

from colony_lib.base.errors import OK
from colony_lib.cli import args, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LEFT_OUT_SHOWN = 20
SUMMARIES = {
    "pull": "bring in what other machines have shared; what is here stays here until a push",
    "push": "share what is here with other machines; the files here stay as they are",
    "sync": "pull and push: afterwards this machine and the branch have the same",
}
EXAMPLES = {
    "pull": ["colony state pull && colony state task list"],
    "push": ["colony state task complete load-daily-data && colony state push"],
    "sync": ["colony state sync", "*/5 * * * * colony -C ~/pipeline state sync", "git -C .colony/state log --oneline"],
}
DETAILS = """\
colony.yml says where to: shared_state: {backend: git-backed, location: in-repo}. The tasks, the memory and the
documents of .colony/state/ go to a branch of their own (colony/state) at the repository's remote; checkout, index,
stash and hooks are not touched, and nothing is forced. Events of both sides are kept; of a document's fields the
newest write counts. Who loses a task to another machine's claim gets a message. A remote that cannot be reached:
exit 1, and the state is as it was. Other machines that are always faster, or another sync here: exit 75."""


def main(verb: str, argv: list[str]) -> int:
    parser = args.Parser(f"colony state {verb}", SUMMARIES[verb], EXAMPLES[verb], DETAILS)
    parser.add_argument("--json", action="store_true", help="print what came of it as one object")
    args.add_lock_timeout(parser)
    given = parser.parse_args(argv)
    from colony_lib.store import progress, statesync

    with progress.working():
        result, refusal = statesync.run(verb)
    _tell(result, refusal is None)
    if given.json:
        show.record(result)
    if refusal is not None:
        raise refusal
    return OK


def _tell(result: dict[str, Any], done: bool) -> None:
    from colony_lib.store import statewords

    for found in result["left_out"][:LEFT_OUT_SHOWN]:
        show.warn(f"'{found['name']}' is not shared: {found['why']}", "state")
    if len(result["left_out"]) > LEFT_OUT_SHOWN:
        show.warn(f"{len(result['left_out']) - LEFT_OUT_SHOWN:,} more are not shared; --json names them", "state")
    came, went = statewords.words(result["received"]), statewords.words(result["sent"])
    if came:
        show.note(f"received {came}")
    for loss in result["lost"]:
        show.warn(loss["text"], "state")
    if went:
        show.note(f"sent {went}")
    if result["remote"] is None:
        show.note("committed here only: the repository has no remote (git remote add origin URL)")
    elif done and not came and not went:
        show.note("sent" if result["pushed"] else "unchanged")
