"""The commands of a shell text: words, operators and keywords, as far as the quoting of what follows hangs on them.

A `case` inside `$(…)` has patterns that end in ')', a word after `<<` is a here-document's delimiter, and some words
are code that another shell will read.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from colony_lib.store.references import Reference

ARITHMETIC = "in arithmetic"
_INDEX = re.compile(r"[A-Za-z_]\w*\[[^\]]*\Z")
# After these, as after a line end, a reserved word can stand.
_BEFORE_COMMANDS = frozenset(
    ("if", "then", "elif", "else", "while", "until", "do", "done", "fi", "!", "{", "}", "time")
)
_SHELLS = frozenset(("sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "su", "runuser", "flock", "script"))
# Words that may stand before the name of the command that is run.
_PREFIXES = frozenset(("command", "builtin", "exec", "env", "nohup", "sudo", "nice"))
_REDIRECTION = re.compile(r"<<<|<<-|<<|<&|<>|>>|>&|>\||<|>")


class Reading:
    """What was found: `found` [(reference, 'bare' | 'double' | 'single')] in order, `refused` [(reference, reason)]."""

    __slots__ = ("found", "refused")

    def __init__(self) -> None:
        self.found: list[tuple[Reference, str]] = []
        self.refused: list[tuple[Reference, str]] = []


class Frame:
    """One level of nesting: 'code', 'double' quotes, a 'brace' expansion, 'arithmetic', a here-'document'."""

    __slots__ = (
        "bracket",
        "depth",
        "expect",
        "forbidden",
        "kind",
        "nested",
        "opens",
        "pending",
        "plain",
        "quoted",
        "start",
        "start_of_pattern",
        "word",
        "word_refs",
        "words",
    )

    def __init__(self, kind: str, forbidden: str = "", nested: bool = True, quoted: bool = False) -> None:
        self.kind = kind
        self.forbidden = forbidden  # why no reference may stand here; inherited by what is inside
        self.nested = nested  # closed by ')', not by the end of the text
        self.quoted = quoted  # inside double quotes somewhere further out
        self.depth = 2  # open parentheses of arithmetic
        self.opens: list[str] = []  # '(' and 'case:…' that are open in this code, outermost first
        self.start = True  # a reserved word may stand here
        self.start_of_pattern = False
        self.bracket = False  # in [[ … ]]
        self.expect = ""  # what the next word is: '', 'redirect', 'heredoc', 'heredoc-', 'name'
        self.pending: list[tuple[str, bool, bool]] = []  # here-documents to come: delimiter, quoted, tabs stripped
        self.word: list[str] | None = None  # the word so far, quotes removed; None between words
        self.plain = True  # the word so far has no quote and no expansion
        self.word_refs: list[Reference] = []
        self.words: list[str] = []  # the finished words of the simple command


class Commands:
    """The state of reading a text, and the part of it that knows words and commands; shelltext has the rest."""

    def __init__(self, text: str, references: Sequence[Reference]) -> None:
        self.text = text
        self.spans = {reference.start: reference for reference in references}
        self.reading = Reading()
        self.stack = [Frame("code", nested=False)]
        self.doubt: tuple[int, str] | None = None

    def doubtful(self, at: int, what: str) -> None:
        if self.doubt is None:
            self.doubt = (at, f"after {what}, which shells read differently")

    def refuse(self, reference: Reference, reason: str) -> None:
        if reference.root != "literal" and all(other is not reference for other, _ in self.reading.refused):
            self.reading.refused.append((reference, reason))

    def opaque(self, start: int, end: int, reason: str, quoting: str = "bare") -> int:
        """Pass over a stretch of text in which references are refused for that reason."""
        for at, reference in self.spans.items():
            if start <= at < end:
                self.reading.found.append((reference, quoting))
                self.refuse(reference, reason)
        return end

    @staticmethod
    def touch(frame: Frame, plain: bool = True) -> list[str]:
        """The word that goes on or begins here."""
        if frame.word is None:
            frame.word = []
            frame.plain = True
            frame.word_refs = []
        frame.plain = frame.plain and plain
        return frame.word

    def operator(self, frame: Frame, i: int, character: str) -> int:
        if character in "<>":
            return self.redirection(frame, i, character)
        if character in "()":
            self.check_broken(i + 1)
        if character == "(":
            return self.open(frame, i)
        self.finish_word(frame)
        if character == ")":
            return self.close(frame, i)
        end = i + 1
        while end < len(self.text) and self.text[end] in ";&|" and end not in self.spans:
            end += 1
        self.check_broken(end)
        if self.text.startswith((";;", ";&"), i) and frame.opens and frame.opens[-1] == "case:body":
            frame.opens[-1] = "case:pattern"
            frame.start_of_pattern = True
        self.next_command(frame)
        return end

    def check_broken(self, i: int) -> None:
        """A line that is continued in the middle of an operator (`&\\` `&`) is not read the same by all shells."""
        if re.match(r"(?:\\\n)+[;&|<>()-]", self.text[i : i + 100]):
            self.doubtful(i, "an operator that is broken over two lines")

    def next_command(self, frame: Frame) -> None:
        frame.start = True
        frame.words = []
        frame.expect = ""

    def redirection(self, frame: Frame, i: int, character: str) -> int:
        if frame.word is not None and frame.plain and "".join(frame.word).isdigit():
            frame.word = None  # the number of a descriptor, not a word
        self.finish_word(frame)
        match = _REDIRECTION.match(self.text, i)
        sign = match.group() if match else character
        self.check_broken(i + len(sign))
        frame.expect = {"<<": "heredoc", "<<-": "heredoc-"}.get(sign, "redirect")
        if sign in "<>" and self.text.startswith("(", i + 1):
            frame.expect = ""
        return i + len(sign)

    def open(self, frame: Frame, i: int) -> int:
        if (
            self.text.startswith("(", i + 1)
            and frame.word is None
            and not frame.words
            and (frame.start or frame.expect == "name")
        ):
            self.check_double_parenthesis(i)
            self.stack.append(Frame("arithmetic", ARITHMETIC))
            frame.expect = ""
            frame.words.append("\0")
            return i + 2
        pattern = bool(frame.opens) and frame.opens[-1] == "case:pattern"
        begun = frame.word is not None
        self.finish_word(frame)
        if pattern and not begun and frame.start_of_pattern:
            return i + 1  # the optional '(' before a pattern
        frame.opens.append("(")
        self.next_command(frame)
        return i + 1

    def check_double_parenthesis(self, i: int) -> None:
        """`((` is arithmetic for bash and two subshells for dash: the same stretch of text only when simple."""
        depth, end = 0, i
        while end < len(self.text):
            depth += {"(": 1, ")": -1}.get(self.text[end], 0)
            end += 1
            if depth == 0:
                break
        if re.search(r"['\"\\`#]|<<|\bcase\b", self.text[i:end]):
            self.doubtful(i, "'(('")

    def close(self, frame: Frame, i: int) -> int:
        if frame.opens and frame.opens[-1] == "case:pattern":
            frame.opens[-1] = "case:body"
            self.next_command(frame)
        elif frame.opens:
            if frame.opens.pop() != "(":
                self.doubtful(i, "a ')' that closes nothing")
            self.next_command(frame)
        elif frame.nested:
            if frame.pending or frame.expect:
                self.doubtful(i, "a here-document that has no line of its own")
            self.stack.pop()
        else:
            self.doubtful(i, "a ')' that closes nothing")
        return i + 1

    def finish_word(self, frame: Frame) -> None:
        """A word has ended, if one had begun: it may be a keyword, a delimiter, a name, or part of a command."""
        if frame.word is None:
            return
        word, plain, references = "".join(frame.word), frame.plain, frame.word_refs
        frame.word, frame.word_refs = None, []
        expect, frame.expect = frame.expect, ""
        if expect.startswith("heredoc"):
            for reference in references:
                self.refuse(reference, "as a here-document's delimiter")
            frame.pending.append((word, not plain, expect.endswith("-")))
            return
        if expect == "redirect":
            return
        if expect == "name":
            for reference in references:
                self.refuse(reference, "as the name of a variable")
            return
        if not self.keyword(frame, word if plain else ""):
            self.check_word(frame, word, references)
            frame.words.append(word)
            frame.start = False

    def keyword(self, frame: Frame, word: str) -> bool:
        """Whether the word (empty when quoted) belongs to the grammar here rather than to a simple command."""
        state = frame.opens[-1] if frame.opens else ""
        if state == "case:word":
            frame.opens[-1] = "case:in"
            return True
        if state == "case:in":
            if word == "in":
                frame.opens[-1] = "case:pattern"
                frame.start_of_pattern = True
            return True
        if state == "case:pattern":
            if word == "esac" and frame.start_of_pattern:
                frame.opens.pop()
                self.next_command(frame)
            frame.start_of_pattern = False
            return True
        if not frame.start or not word:
            return False
        if word == "case":
            frame.opens.append("case:word")
            return True
        if word == "esac" and state == "case:body":
            frame.opens.pop()
            return True
        if word in ("for", "select", "function"):
            frame.expect = "name"
            return True
        if word == "[[":
            frame.bracket = True
        return word in _BEFORE_COMMANDS

    def check_word(self, frame: Frame, word: str, references: list[Reference]) -> None:
        """Refuse references in words that a command takes for code of its own."""
        if frame.bracket:
            for reference in references:
                self.refuse(reference, "in [[ … ]]")
            frame.bracket = word != "]]"
        if not references:
            return
        before = [other.rsplit("/", 1)[-1] for other in frame.words]
        while before and (before[0] in _PREFIXES or re.match(r"\w+\+?=", before[0])):
            before.pop(0)
        reason = ""
        if _INDEX.match(word.split("\0")[0]) and "]" in word:
            reason = "in an array's index"
        elif before[:1] and before[0] in ("eval", "trap", "let"):
            reason = f"in the code that '{before[0]}' runs"
        elif before and re.fullmatch(r"-[A-Za-z]*c", before[-1]):
            shell = next((name for name in before if name in _SHELLS), None)
            if shell:
                reason = f"in the code that '{shell} -c' runs"
        for reference in references:
            if reason:
                self.refuse(reference, reason)
