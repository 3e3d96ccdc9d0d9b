"""Reads POSIX shell text as far as needed to say in what quoting each place of it stands.

It follows sh, and bash where bash knows more. Where dash and bash would read a text differently, every later reference
is refused: the caller must be able to rely on "exactly one word" in both.
"""

from __future__ import annotations

import re

from colony_lib.store.shellcode import ARITHMETIC, Commands, Frame, Reading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from colony_lib.store.references import Reference

_PLAIN = re.compile(r"[A-Za-z0-9_./,:=+@%^~*?!{}\[\]-]")
_SPECIAL = frozenset("@*#?-$!0123456789")
_HEREDOC = "in a here-document"
_BACKTICKS = "in `…`"


class _Lexer(Commands):
    def __init__(self, text: str, references: Sequence[Reference]) -> None:
        super().__init__(text, references)
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

    def innermost_code(self) -> Frame:
        return next((frame for frame in reversed(self.stack) if frame.kind == "code"), self.stack[0])

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

    # ── code ────────────────────────────────────────────────────────────────────────────────────────────────────

    def code(self, frame: Frame, i: int) -> int:
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

    def quoting(self, frame: Frame, i: int, character: str) -> int:
        if character == "\\":
            if self.text.startswith("\n", i + 1):
                return i + 2
            return self.backslash(frame, i)
        if character == "'":
            return self.single(frame, i)
        if character == '"':
            self.touch(frame, plain=False)
            self.stack.append(Frame("double", frame.forbidden))
            return i + 1
        if character == "`":
            return self.backticks(i)
        if character == "$":
            return self.dollar(frame, i)
        self.touch(frame).append(character)
        return i + 1

    def backslash(self, frame: Frame, i: int) -> int:
        following = self.spans.get(i + 1)
        self.touch(self.innermost_code(), plain=False).append(self.text[i + 1 : i + 2])
        if following is None:
            return i + 2
        self.refuse(following, "after a backslash")
        return i + 1

    def single(self, frame: Frame, i: int) -> int:
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

    def dollar(self, frame: Frame, i: int) -> int:
        following = self.text[i + 1 : i + 2]
        quoted = frame.kind in ("double", "document") or frame.quoted
        self.expansion(i)
        if i + 1 in self.spans:
            self.reading.refused.append((self.spans[i + 1], "directly after a '$'"))
            return i + 1
        if following == "(":
            if self.text.startswith("(", i + 2):
                self.stack.append(Frame("arithmetic", ARITHMETIC, quoted=quoted))
                return i + 3
            self.stack.append(Frame("code", frame.forbidden))
            return i + 2
        if following == "{":
            self.stack.append(Frame("brace", "in ${…}", quoted=quoted))
            return i + 2
        if following == "[" or self.text.startswith("\\\n", i + 1):
            self.doubtful(i, "'$[' or a '$' at a line's end")
            return i + 1
        if following == "'" and not quoted:
            return self.ansi(i)
        if following == '"' and not quoted:
            self.stack.append(Frame("double", 'in $"…"'))
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

    # ── here-documents ──────────────────────────────────────────────────────────────────────────────────────────

    def line_end(self, frame: Frame, i: int) -> int:
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
        inner.stack = [Frame("document", _HEREDOC, nested=False)]
        inner.run()
        if len(inner.stack) > 1 or inner.doubt:
            self.doubtful(start, "a here-document with an expansion that is not closed in it")

    # ── the other contexts ──────────────────────────────────────────────────────────────────────────────────────

    def document(self, frame: Frame, i: int) -> int:
        character = self.text[i]
        if character == "$":
            return self.dollar(frame, i)
        if character == "`":
            if self.text.find("`", i + 1) < 0:
                self.doubtful(i, "a '`' that is not closed")
            return self.backticks(i)
        return i + 2 if character == "\\" else i + 1

    def double(self, frame: Frame, i: int) -> int:
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

    def brace(self, frame: Frame, i: int) -> int:
        character = self.text[i]
        if character == "}":
            self.stack.pop()
        elif character == "\\":
            return i + 2 if i + 1 not in self.spans else i + 1
        elif character == "'":
            if frame.quoted:
                self.doubtful(i, 'a single quote in "${…}"')
            else:
                end = self.text.find("'", i + 1)
                return self.opaque(i, len(self.text) if end < 0 else end + 1, "in ${…}")
        elif character == '"':
            self.stack.append(Frame("double", frame.forbidden))
        elif character == "`":
            return self.backticks(i)
        elif character == "$":
            return self.dollar(frame, i)
        return i + 1

    def arithmetic(self, frame: Frame, i: int) -> int:
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
