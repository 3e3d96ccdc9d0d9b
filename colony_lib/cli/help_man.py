"""Manual pages in roff, made from the parsers: one for each executable, its verbs as sections of it."""

from __future__ import annotations

from colony_lib import __version__
from colony_lib.cli import grammar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


_WIDTH = 76  # characters of a line of running text; some take two bytes and more


def page(name: str, summary: str, exit_codes: str) -> str:
    """The page of `colony-NAME`; `exit_codes` is the topic of that name."""
    found = list(grammar.commands(name))
    leaves = [command for command in found if not command.verbs]
    lines = [_head(f"colony-{name}", summary), ".SH SYNOPSIS"]
    for command in leaves:
        words = " ".join(command.parser.format_usage().removeprefix("usage: ").split())
        bold = command.parser.prog
        lines += [".PP", f"\\fB{_text(bold)}\\fR{_text(words.removeprefix(bold))}"]
    first = found[0]
    lines += [".SH DESCRIPTION", _sentence(first.parser.summary), *_details(first)]
    if first.verbs:
        lines.append(".SH COMMANDS")
        for command in leaves:
            lines += [f".SS {_text(command.parser.prog)}", _sentence(command.parser.summary)]
            lines += [*_details(command), *_options(command), *_examples(command)]
    elif options := list(_options(first)):
        lines += [".SH OPTIONS", *options]
    if examples := list(_examples(first)):
        lines += [".SH EXAMPLES", *examples]
    lines += [".SH EXIT STATUS", *_table(exit_codes), ".SH SEE ALSO", "\\fBcolony\\fR(1)"]
    return _joined(lines)


def overview(names: dict[str, str], topics: dict[str, str]) -> str:
    """The page of `colony` itself: its commands and the topics."""
    lines = [_head("colony", "data pipelines done by agents and commands that meet in plain files")]
    lines += [".SH SYNOPSIS", "\\fBcolony\\fR [\\-C DIR] COMMAND [ARGUMENTS ...]", ".SH COMMANDS"]
    for name, summary in names.items():
        lines += [".TP", f"\\fBcolony\\-{_text(name)}\\fR(1)", _text(summary)]
    for title, text in topics.items():
        title = {"exit-codes": "exit status"}.get(title, title)
        lines += [f".SH {title.upper()}", *_verbatim(text)]
    return _joined(lines)


def help_page(summary: str, topics: list[str]) -> str:
    """The page of `colony-help`, which reads its words without a parser."""
    lines = [_head("colony-help", summary), ".SH SYNOPSIS"]
    lines += ["\\fBcolony help\\fR [COMMAND [VERB] | TOPIC]", ".PP", "\\fBcolony help\\fR \\-\\-man DIR"]
    lines += [
        ".SH DESCRIPTION",
        "Without a word: the list of commands. The topics are " + _text(", ".join(topics)) + ".",
    ]
    lines += ["A COMMAND alone is shown as its manual page on a terminal, and as its help text elsewhere."]
    lines += [
        ".SH OPTIONS",
        ".TP",
        "\\fB\\-\\-man\\fR DIR",
        "Write all pages into the folder.",
    ]
    return _joined([*lines, ".SH SEE ALSO", "\\fBcolony\\fR(1)"])


def _joined(lines: list[str]) -> str:
    """The page of the lines: a paragraph is not begun where a section has just begun one, and long lines of running
    text are broken, as mandoc -T lint asks."""
    found: list[str] = []
    filled = True
    for text in "\n".join(lines).split("\n"):
        if text == ".PP" and found[-1].startswith((".SH ", ".SS ", ".PP")):
            continue
        filled = text == ".fi" or (filled and text != ".nf")
        while filled and len(text.encode()) > _WIDTH and not text.startswith("."):
            place = text.rfind(" ", 0, _WIDTH)
            while place > 0 and text[place + 1] in ".'":  # a request to roff, where it begins a line
                place = text.rfind(" ", 0, place)
            if place <= 0:
                break
            found.append(text[:place])
            text = text[place + 1 :]
        found.append(text)
    return "\n".join(found) + "\n"


def _head(name: str, summary: str) -> str:
    # No date: the same version gives the same page.
    title = f'.TH {_text(name.upper())} 1 "" "Colony {__version__}" "Colony"'
    return f"{title}\n.SH NAME\n{_text(name)} \\- {_text(summary)}"


def _text(text: str) -> str:
    """Text that roff shows as it is."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join(f"\\&{line}" if line.startswith((".", "'")) else line for line in text.split("\n"))


def _sentence(text: str) -> str:
    return _text(text[:1].upper() + text[1:].rstrip(".") + ".")


def _verbatim(text: str) -> list[str]:
    return [".PP", ".nf", *(_text(line) or "\\&" for line in text.strip("\n").split("\n")), ".fi"]


def _details(command: grammar.Command) -> list[str]:
    text = command.parser.epilog or ""
    if not text or any(line.startswith(" ") for line in text.split("\n")):
        return _verbatim(text) if text else []
    return [".PP", *(_text(line) or ".PP" for line in text.strip("\n").split("\n"))]


def _examples(command: grammar.Command) -> list[str]:
    return _verbatim("\n".join(command.parser.examples)) if command.parser.examples else []


def _options(command: grammar.Command) -> Iterator[str]:
    for action in command.parser._actions:
        value = str(action.metavar or "")
        if not value and action.nargs != 0:
            value = "{" + ",".join(map(str, action.choices)) + "}" if action.choices else action.dest.upper()
        names = ", ".join(f"\\fB{_text(name)}\\fR" for name in action.option_strings)
        shown = f"{names} {_text(value)}".strip() if names else f"\\fI{_text(value)}\\fR"
        yield from (".TP", shown, _text(grammar.line(action.help)) or "\\&")


def _table(text: str) -> Iterator[str]:
    for line in text.strip().split("\n"):
        key, _, meaning = line.partition(" ")
        yield from (".TP", f"\\fB{_text(key)}\\fR", _text(meaning.strip()))
