"""`colony state`: hands its words to the module of the noun they are about."""

from __future__ import annotations

SUMMARY = "read and change the state that steps share: tasks, memory, documents"
EXAMPLES = [
    "colony state task add load-daily-data --blockers validate-daily-data",
    "colony state task list",
    "colony state memory add decision 'load by upsert'",
    "colony state set load_metadata last_load_time=2013-02-08",
    "colony state get load_metadata last_load_time",
    "colony state sync",
]
NOUNS = {
    "task": "the task list: who may do what next",
    "memory": "what the colony remembers",
    "get": "print a document, or one value of it",
    "set": "change a document, under its lock",
    "compact": "make the journals shorter, with nothing lost",
    "pull": "bring in what other machines have shared",
    "push": "share what is here with other machines",
    "sync": "both: bring in what others have shared, and share what is here",
}


def main(argv: list[str]) -> int:
    noun = argv[0] if argv else ""
    if noun == "task":
        from colony_lib.cli import state_task

        return state_task.main(argv[1:])
    if noun == "memory":
        from colony_lib.cli import state_memory

        return state_memory.main(argv[1:])
    if noun in ("get", "set"):
        from colony_lib.cli import state_document

        return state_document.main(noun, argv[1:])
    if noun == "compact":
        from colony_lib.cli import state_compact

        return state_compact.main(argv[1:])
    if noun in ("pull", "push", "sync"):
        from colony_lib.cli import state_sync

        return state_sync.main(noun, argv[1:])
    from colony_lib.cli import args

    parser = args.Parser("colony state", SUMMARY, EXAMPLES)
    nouns = parser.commands()
    for name, summary in NOUNS.items():
        nouns.add_parser(name, prog=f"colony state {name}", summary=summary, help=summary)
    parser.parse_args(argv)
    return 0
