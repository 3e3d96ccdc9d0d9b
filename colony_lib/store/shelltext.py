"""Reads POSIX shell text as far as needed to say in what quoting each place of it stands.

A lexer with the little grammar that quoting hangs on: `$(…)` may hold a `case` whose patterns end in ')', a
here-document begins at the next line end, '#' begins a comment only where a word would begin. It follows sh, and bash
where bash knows more. Where dash and bash would read a text differently, every later reference is refused: the
caller must be able to rely on "exactly one word" in both.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from colony_lib.store.references import Reference

_PLAIN = re.compile(r"[A-Za-z0-9_./,:=+@%^~*?!{}\[\]-]")
_INDEX = re.compile(r"[A-Za-z_]\w*\[[^\]]*\Z")
_SPECIAL = frozenset("@*#?-$!0123456789")
_HEREDOC = "in a here-document"
_BACKTICKS = "in `…`"
_ARITHMETIC = "in arithmetic"
# After these, as after a line end, a reserved word can stand.
_BEFORE_COMMANDS = frozenset("if then elif else while until do done fi ! { } time".split())
_SHELLS = frozenset("sh bash dash ash ksh mksh zsh su runuser flock script".split())
# Words that may stand before the name of the command that is run.
_PREFIXES = frozenset("command builtin exec env nohup sudo nice".split())
_REDIRECTION = re.compile(r"<<<|<<-|<<|<&|<>|>>|>&|>\||<|>")


class Reading:
    """What `read` found: `found` [(reference, 'bare' | 'double' | 'single')] in order, `refused` [(reference, reason)]."""

    __slots__ = ("found", "refused")

    def __init__(self) -> None:
        self.found: list[tuple[Reference, str]] = []
        self.refused: list[tuple[Reference, str]] = []


class _Frame:
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


class _Lexer:
    def __init__(self, text: str, references: Sequence[Reference]) -> None:
        self.text = text
        self.spans = {reference.start: reference for reference in references}
        self.reading = Reading()
        self.stack = [_Frame("code", nested=False)]
        self.doubt: tuple[int, str] | None = None
        self.steps = {
            "code": self.code,
            "double": self.double,
            "brace": self.brace,
            "arithmetic": self.arithmetic,
            "document": self.document,
        }

    def run(self) -> Reading:
        i = 0
        while i < len(self.text):
            frame = self.stack[-1]
            reference = self.spans.get(i)
            if reference is not None:
                self.place(reference, "double" if frame.kind == "double" else "bare", frame.forbidden)
                i = reference.end
            else:
                i = self.steps[frame.kind](frame, i)
        if len(self.stack) == 1:
            self.finish_word(self.stack[0])
        self.reading.found.sort(key=lambda pair: pair[0].start)
        return self.reading

    def innermost_code(self) -> _Frame:
        return next((frame for frame in reversed(self.stack) if frame.kind == "code"), self.stack[0])

    def doubtful(self, at: int, what: str) -> None:
        if self.doubt is None:
            self.doubt = (at, f"after {what}, which shells read differently")

    def place(self, reference: Reference, quoting: str, forbidden: str) -> None:
        """Take note of a reference that was reached at its place."""
        self.reading.found.append((reference, quoting))
        code = self.innermost_code()
        self.touch(code, plain=False).append("\0")
        if reference.root == "literal":
            return
        if not forbidden and self.doubt is not None:
            forbidden = self.doubt[1]
        if forbidden:
            self.refuse(reference, forbidden)
        else:
            code.word_refs.append(reference)

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
    def touch(frame: _Frame, plain: bool = True) -> list[str]:
        """The word that goes on or begins here."""
        if frame.word is None:
            frame.word = []
            frame.plain = True
            frame.word_refs = []
        frame.plain = frame.plain and plain
        return frame.word

    # ── code ────────────────────────────────────────────────────────────────────────────────────────────────────

    def code(self, frame: _Frame, i: int) -> int:
        character = self.text[i]
        if _PLAIN.match(character):
            self.touch(frame).append(character)
            return i + 1
        if character in " \t":
            self.finish_word(frame)
            return i + 1
        if character == "\n":
            return self.line_end(frame, i)
        if character == "#" and frame.word is None:
            end = self.text.find("\n", i)
            return self.opaque(i, len(self.text) if end < 0 else end, "in a comment")
        if character in ";&|()<>":
            return self.operator(frame, i, character)
        return self.quoting(frame, i, character)

    def quoting(self, frame: _Frame, i: int, character: str) -> int:
        if character == "\\":
            if self.text.startswith("\n", i + 1):
                return i + 2
            return self.backslash(frame, i)
        if character == "'":
            return self.single(frame, i)
        if character == '"':
            self.touch(frame, plain=False)
            self.stack.append(_Frame("double", frame.forbidden))
            return i + 1
        if character == "`":
            return self.backticks(i)
        if character == "$":
            return self.dollar(frame, i)
        self.touch(frame).append(character)
        return i + 1

    def backslash(self, frame: _Frame, i: int) -> int:
        following = self.spans.get(i + 1)
        self.touch(self.innermost_code(), plain=False).append(self.text[i + 1 : i + 2])
        if following is None:
            return i + 2
        self.refuse(following, "after a backslash")
        return i + 1

    def single(self, frame: _Frame, i: int) -> int:
        end = self.text.find("'", i + 1)
        word = self.touch(frame, plain=False)
        if end < 0:
            return self.opaque(i, len(self.text), "in a quote that is not closed", "single")
        word.append(self.text[i + 1 : end])
        for at, reference in self.spans.items():
            if i < at < end:
                self.place(reference, "single", frame.forbidden)
        return end + 1

    def backticks(self, i: int) -> int:
        self.expansion(i)
        end = i + 1
        while end < len(self.text) and self.text[end] != "`":
            end += 2 if self.text[end] == "\\" else 1
        return self.opaque(i, min(end + 1, len(self.text)), _BACKTICKS)

    def expansion(self, i: int) -> None:
        """An expansion begins at i: the word it stands in is no reserved word and no plain delimiter."""
        code = self.innermost_code()
        self.touch(code, plain=False).append("\0")
        if code.expect.startswith("heredoc"):
            self.doubtful(i, "a here-document whose delimiter is an expansion")

    def dollar(self, frame: _Frame, i: int) -> int:
        following = self.text[i + 1 : i + 2]
        quoted = frame.kind in ("double", "document") or frame.quoted
        self.expansion(i)
        if i + 1 in self.spans:
            self.reading.refused.append((self.spans[i + 1], "directly after a '$'"))
            return i + 1
        if following == "(":
            if self.text.startswith("(", i + 2):
                self.stack.append(_Frame("arithmetic", _ARITHMETIC, quoted=quoted))
                return i + 3
            self.stack.append(_Frame("code", frame.forbidden))
            return i + 2
        if following == "{":
            self.stack.append(_Frame("brace", "in ${…}", quoted=quoted))
            return i + 2
        if following == "[" or self.text.startswith("\\\n", i + 1):
            self.doubtful(i, "'$[' or a '$' at a line's end")
            return i + 1
        if following == "'" and not quoted:
            return self.ansi(i)
        if following == '"' and not quoted:
            self.stack.append(_Frame("double", 'in $"…"'))
            return i + 2
        return i + 2 if following in _SPECIAL and following else i + 1

    def ansi(self, i: int) -> int:
        """$'…' ends for bash at the first quote without a backslash, for dash at the first quote."""
        end = i + 2
        while end < len(self.text) and self.text[end] != "'":
            end += 2 if self.text[end] == "\\" else 1
        if end != self.text.find("'", i + 2):
            self.doubtful(i, "a $'…' with a quote in it")
        return self.opaque(i, min(end + 1, len(self.text)), "in $'…'")

    # ── words and commands ──────────────────────────────────────────────────────────────────────────────────────

    def operator(self, frame: _Frame, i: int, character: str) -> int:
        if character in "<>":
            return self.redirection(frame, i, character)
        if self.text.startswith("\\\n", i + 1):
            self.doubtful(i, "an operator at a line's end")
        if character == "(":
            return self.open(frame, i)
        self.finish_word(frame)
        if character == ")":
            return self.close(frame, i)
        end = i + 1
        while end < len(self.text) and self.text[end] in ";&|" and end not in self.spans:
            end += 1
        if self.text.startswith(";;", i) or self.text.startswith(";&", i):
            if frame.opens and frame.opens[-1] == "case:body":
                frame.opens[-1] = "case:pattern"
                frame.start_of_pattern = True
        self.next_command(frame)
        return end

    def next_command(self, frame: _Frame) -> None:
        frame.start = True
        frame.words = []
        frame.expect = ""

    def redirection(self, frame: _Frame, i: int, character: str) -> int:
        if frame.word is not None and frame.plain and "".join(frame.word).isdigit():
            frame.word = None  # the number of a descriptor, not a word
        self.finish_word(frame)
        match = _REDIRECTION.match(self.text, i)
        sign = match.group() if match else character
        if self.text.startswith("\\\n", i + len(sign)):
            self.doubtful(i, "an operator at a line's end")
        frame.expect = {"<<": "heredoc", "<<-": "heredoc-"}.get(sign, "redirect")
        if sign in "<>" and self.text.startswith("(", i + 1):
            frame.expect = ""
        return i + len(sign)

    def open(self, frame: _Frame, i: int) -> int:
        if self.text.startswith("(", i + 1) and frame.word is None and not frame.words and (
            frame.start or frame.expect == "name"
        ):
            self.check_double_parenthesis(i)
            self.stack.append(_Frame("arithmetic", _ARITHMETIC, quoted=False))
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

    def close(self, frame: _Frame, i: int) -> int:
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

    def finish_word(self, frame: _Frame) -> None:
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

    def keyword(self, frame: _Frame, word: str) -> bool:
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

    def check_word(self, frame: _Frame, word: str, references: list[Reference]) -> None:
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

    # ── here-documents ──────────────────────────────────────────────────────────────────────────────────────────

    def line_end(self, frame: _Frame, i: int) -> int:
        self.finish_word(frame)
        if any(outer.pending for outer in self.stack[:-1]):
            self.doubtful(i, "a here-document that begins inside another command")
        end = i + 1
        for delimiter, quoted, tabs in frame.pending:
            end = self.here_document(end, delimiter, quoted, tabs)
        frame.pending = []
        if not (frame.opens and frame.opens[-1] in ("case:word", "case:in")):
            self.next_command(frame)
        return end

    def here_document(self, start: int, delimiter: str, quoted: bool, tabs: bool) -> int:
        """Pass over a here-document's body; returns where the text goes on."""
        at, continued = start, ""
        while at < len(self.text):
            end = self.text.find("\n", at)
            end = len(self.text) if end < 0 else end
            line = self.text[at:end].lstrip("\t") if tabs else self.text[at:end]
            if continued and delimiter in (line, continued + line):
                self.doubtful(start, "a here-document's delimiter after a backslash at a line's end")
            elif line == delimiter:
                if not quoted:
                    self.check_expansions(start, at)
                return self.opaque(start, min(end + 1, len(self.text)), _HEREDOC)
            backslashes = len(line) - len(line.rstrip("\\"))
            continued = continued + line[:-1] if not quoted and backslashes % 2 else ""
            at = end + 1
        return self.opaque(start, len(self.text), _HEREDOC)

    def check_expansions(self, start: int, end: int) -> None:
        """In a body with expansions, dash looks for the delimiter only outside of them."""
        inner = _Lexer(self.text[start:end], ())
        inner.stack = [_Frame("document", _HEREDOC, nested=False)]
        inner.run()
        if len(inner.stack) > 1 or inner.doubt:
            self.doubtful(start, "a here-document with an expansion that is not closed in it")

    # ── the other contexts ──────────────────────────────────────────────────────────────────────────────────────

    def document(self, frame: _Frame, i: int) -> int:
        character = self.text[i]
        if character == "$":
            return self.dollar(frame, i)
        if character == "`":
            if self.text.find("`", i + 1) < 0:
                self.doubtful(i, "a '`' that is not closed")
            return self.backticks(i)
        return i + 2 if character == "\\" else i + 1

    def double(self, frame: _Frame, i: int) -> int:
        character = self.text[i]
        if character == '"':
            self.stack.pop()
            return i + 1
        if character == "\\":
            if self.text.startswith("\n", i + 1):
                return i + 2
            return self.backslash(frame, i)
        if character == "`":
            return self.backticks(i)
        if character == "$":
            return self.dollar(frame, i)
        self.touch(self.innermost_code(), plain=False).append(character)
        return i + 1

    def brace(self, frame: _Frame, i: int) -> int:
        character = self.text[i]
        if character == "}":
            self.stack.pop()
        elif character == "\\":
            return i + 2 if i + 1 not in self.spans else i + 1
        elif character == "'":
            if frame.quoted:
                self.doubtful(i, "a single quote in \"${…}\"")
            else:
                end = self.text.find("'", i + 1)
                return self.opaque(i, len(self.text) if end < 0 else end + 1, "in ${…}")
        elif character == '"':
            self.stack.append(_Frame("double", frame.forbidden))
        elif character == "`":
            return self.backticks(i)
        elif character == "$":
            return self.dollar(frame, i)
        return i + 1

    def arithmetic(self, frame: _Frame, i: int) -> int:
        character = self.text[i]
        if character == "(":
            frame.depth += 1
        elif character == ")":
            frame.depth -= 1
            if frame.depth == 1 and not self.text.startswith(")", i + 1):
                self.doubtful(i, "'$((' without '))'")  # bash then takes it for `$( (…) …)`, dash does not
            if frame.depth == 0:
                self.stack.pop()
        elif character in "'\"\\":
            self.doubtful(i, "a quote in arithmetic")
        elif character == "`":
            return self.backticks(i)
        elif character == "$":
            return self.dollar(frame, i)
        return i + 1


def read(text: str, references: Sequence[Reference]) -> Reading:
    """Say of each reference of a shell text in what quoting it stands, and which cannot be one word."""
    return _Lexer(text, references).run()
