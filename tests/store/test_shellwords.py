"""Values in shell commands: in every context exactly one word, whatever the value holds, in real shells."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from colony_lib.base.errors import ColonyError
from colony_lib.store import shellwords
from colony_lib.store.references import Scope

SHELLS = [shell for shell in ("dash", "bash") if shutil.which(shell)] or ["sh"]
# Prints how many words it got, then each, with a NUL behind all of them.
SHOW = 'show() { printf "%d\\0" $#; for colony_word; do printf "%s\\0" "$colony_word"; done; }\n'

HOSTILE = [
    "",
    "plain",
    " ",
    "two words  and\tmore ",
    "it's",
    "'",
    '"',
    "\"'\"'",
    "\\",
    "\\\\'",
    "$(touch pwned)",
    "`touch pwned`",
    "'; touch pwned; '",
    '"; touch pwned; "',
    "'$(touch pwned)'",
    "\n; touch pwned\n",
    "\n\n",
    "EOF\n)\n}\nEOF\n",
    "*",
    "[a-z]* ?",
    "~",
    "$HOME ${PATH} $$ $1",
    "${COLONY_REF_1}",
    "{{date}}",
    "-n",
    "--",
    "-e\\n",
    "%s%n%d",
    "a[$(touch pwned)]",
    "# no comment",
    "& | < > ( ) ; !",
    "!!",
    "{a,b}",
    "=",
    "ünïcode ✓ 漢字 \U0001f6a8",
    "\u0081\u0082\u0083\u0088\u00a0\u2028",
    "\x01\x02\x1b[31m\x7f",
    "\r\n",
    "x" * 100_000 + "'",
]

# A command that shows the value in some place, and the words that must arrive.
CONTEXTS: list[tuple[str, Callable[[str], list[str]]]] = [
    ("show {{input.v}}", lambda v: [v]),
    ("show a{{input.v}}b", lambda v: [f"a{v}b"]),
    ('show "{{input.v}}"', lambda v: [v]),
    ("show '{{input.v}}'", lambda v: [v]),
    ("show 'x {{input.v}} y'", lambda v: [f"x {v} y"]),
    ("show \"x '{{input.v}}' y\"", lambda v: [f"x '{v}' y"]),
    ("show 'x \"{{input.v}}\" y'", lambda v: [f'x "{v}" y']),
    ("show 'a'\"{{input.v}}\"'b'{{input.v}}", lambda v: [f"a{v}b{v}"]),
    ("show {{input.v}}{{input.v}} '{{input.v}}{{input.v}}'", lambda v: [v + v, v + v]),
    ("show {{input.v}} {{input.w}} {{input.v}}", lambda v: [v, "W", v]),
    ("show \"$(printf '%sX' {{input.v}})\"", lambda v: [v + "X"]),
    ('show "$(printf \'%sX\' "{{input.v}}")"', lambda v: [v + "X"]),
    ("show \"$(printf '%sX' '{{input.v}}')\"", lambda v: [v + "X"]),
    ('show "($(printf \'%s\' "$(printf %s "a {{input.v}}.")"))"', lambda v: [f"(a {v}.)"]),
    ('x={{input.v}}; show "$x"', lambda v: [v]),
    ('x="a{{input.v}}" y=\'{{input.v}}\'; show "$x$y"', lambda v: [f"a{v}{v}"]),
    ('export x={{input.v}}; show "$x"', lambda v: [v]),
    ("for i in {{input.v}} '{{input.v}}'; do :; done; show \"$i\"", lambda v: [v]),
    ("case {{input.v}} in {{input.v}}) show yes {{input.v}};; *) show no;; esac", lambda v: ["yes", v]),
    ("x=$(case a in a) printf '%sX' {{input.v}};; esac); show \"$x\"", lambda v: [v + "X"]),
    ("x=\"$(case a in (b|a) printf '%sX' '{{input.v}}';; c) ;; esac)\"; show \"$x\"", lambda v: [v + "X"]),
    ('f() { show "$1"; }; f {{input.v}}', lambda v: [v]),
    ("if true; then show {{input.v}}; else :; fi", lambda v: [v]),
    ("{ show {{input.v}}; }", lambda v: [v]),
    ("( show '{{input.v}}' )", lambda v: [v]),
    ("show {{input.v}} # it's a comment", lambda v: [v]),
    ("# don't \" stop\nshow {{input.v}}", lambda v: [v]),
    ("show a#{{input.v}}#'b'", lambda v: [f"a#{v}#b"]),
    ("show a\\ {{input.v}}", lambda v: [f"a {v}"]),
    ("show \\\\{{input.v}}", lambda v: [f"\\{v}"]),
    ("show '\\{{input.v}}'", lambda v: [f"\\{v}"]),
    ('show "\\\\{{input.v}}"', lambda v: [f"\\{v}"]),
    ('show "\\"{{input.v}}\\""', lambda v: [f'"{v}"']),
    ("show \\'{{input.v}}\\'", lambda v: [f"'{v}'"]),
    ("show \\\n  {{input.v}}", lambda v: [v]),
    ("true &&\\\n  show {{input.v}} ||\\\nfalse", lambda v: [v]),
    ('show "a\\\n{{input.v}}"', lambda v: [f"a{v}"]),
    ('show "$nothing{{input.v}}${nothing:-d}"', lambda v: [f"{v}d"]),
    ("show ${nothing:-'q}'}{{input.v}}", lambda v: ["q}" + v]),
    ("show $((1 + (2 * 3))){{input.v}}", lambda v: ["7" + v]),
    ("show `echo \\`echo b\\``{{input.v}}", lambda v: ["b" + v]),
    ("show $#{{input.v}}", lambda v: ["0" + v]),
    ('show "it\'s $(echo "it\'s") {{input.v}}"', lambda v: [f"it's it's {v}"]),
    ("cat <<'EOF' >/dev/null && show {{input.v}}\nit's \"$( `\nEOF", lambda v: [v]),
    ("cat <<EOF >/dev/null\nit's \"\nEOF\nshow '{{input.v}}'", lambda v: [v]),
    ('cat <<-EOF >/dev/null; show "{{input.v}}"\n\tit\'s\n\tEOF', lambda v: [v]),
    ("show \"$(cat <<'EOF'\nit's )\nEOF\n)\"{{input.v}}", lambda v: ["it's )" + v]),
    ("show {{input.v}}>&1 2>/dev/null", lambda v: [v]),
    ('set -- {{input.v}} "{{input.v}}"; show "$@"', lambda v: [v, v]),
    ('sh -c \'printf "%d\\0%s\\0" 1 "$1"\' sh {{input.v}}', lambda v: [v]),
    ('[ {{input.v}} = "{{input.v}}" ] && show {{input.v}}', lambda v: [v]),
    ('show \'{{"{{"}}{{input.v}}{{"}}"}}\'', lambda v: ["{{" + v + "}}"]),
    ("printf '%s' {{input.v}} | { IFS= read -r x; :; }; show {{input.v}}", lambda v: [v]),
]


def environment(values: dict[str, str]) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": "/nowhere", **values}


def run(shell: str, text: str, values: dict[str, str], folder: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [shell, "-c", text], env=environment(values), cwd=folder, capture_output=True, stdin=subprocess.DEVNULL
    )


def words(output: bytes) -> list[list[str]]:
    """What each call of `show` was given."""
    tokens = output.decode("utf-8").split("\0")[:-1]
    calls = []
    while tokens:
        count = int(tokens.pop(0))
        calls.append(tokens[:count])
        del tokens[:count]
    return calls


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: repr(value[:20]))
def test_in_every_context_exactly_the_value_arrives(shell: str, value: str, tmp_path: Path) -> None:
    (tmp_path / "a file").touch()
    scope = Scope({}, {"v": value, "w": "W"})
    commands = []
    values: dict[str, str] = {}
    for template, _ in CONTEXTS:
        text, env = shellwords.command(template, scope)
        commands.append(text)
        values |= env
    done = run(shell, SHOW + "\n".join(commands), values, tmp_path)
    assert done.stderr == b""
    calls = words(done.stdout)
    for (template, expected), call in zip(CONTEXTS, calls, strict=True):
        assert call == expected(value), template
    assert [path.name for path in tmp_path.iterdir()] == ["a file"]


class Generator:
    """Random words of a shell, with what must arrive; references wherever one may stand."""

    def __init__(self, seed: int, value: str) -> None:
        self.random = random.Random(seed)
        self.value = value

    def pick(self, *pieces: tuple[str, str]) -> tuple[str, str]:
        return self.random.choice(pieces)

    def word(self, depth: int) -> tuple[str, str]:
        parts = [self.piece(depth) for _ in range(self.random.randint(0, 4))]
        parts.insert(self.random.randint(0, len(parts)), ("{{input.v}}", self.value))
        return "".join(text for text, _ in parts), "".join(value for _, value in parts)

    def piece(self, depth: int) -> tuple[str, str]:
        reference = ("{{input.v}}", self.value)
        kind = self.random.randint(0, 6)
        if kind == 0:
            return self.pick(("a", "a"), ("b-1/x", "b-1/x"), ("x=", "x="), ("%", "%"), ("é", "é"), ("]", "]"))
        if kind == 1:
            return self.pick(("\\ ", " "), ("\\'", "'"), ('\\"', '"'), ("\\\\", "\\"), ("\\$", "$"), ("\\\n", ""))
        if kind == 2:
            text, value = self.pick(("", ""), ("a $x `", "a $x `"), ('"', '"'), ("#", "#"), ("\n", "\n"), ("\\", "\\"))
            return f"'{text}{{{{input.v}}}}'", value + self.value
        if kind == 3:
            parts = [self.quoted(depth) for _ in range(self.random.randint(0, 3))]
            return '"' + "".join(text for text, _ in parts) + '"', "".join(value for _, value in parts)
        if kind == 4 and depth:
            text, value = self.substitution(depth)
            return f'"{text}"', value
        return reference

    def quoted(self, depth: int) -> tuple[str, str]:
        kind = self.random.randint(0, 4)
        if kind == 0:
            return self.pick(("it's ", "it's "), ("# ", "# "), ("(", "("), (")", ")"), ("\n", "\n"), ("{ ;", "{ ;"))
        if kind == 1:
            return self.pick(('\\"', '"'), ("\\\\", "\\"), ("\\$", "$"), ("\\`", "`"), ("\\n", "\\n"), ("\\\n", ""))
        if kind == 2 and depth:
            return self.substitution(depth)
        return "{{input.v}}", self.value

    def substitution(self, depth: int) -> tuple[str, str]:
        text, value = self.word(depth - 1)
        before = self.random.choice(["", "# it's )\n", "true && ", "x='('; ", "cat <<'E' >/dev/null\n')\nE\n"])
        if self.random.random() < 0.3:
            return f"$({before}case a in (a) printf '%s.' {text};; *) ;; esac)", value + "."
        return f"$({before}printf '%s.' {text})", value + "."


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("seed", range(60))
def test_random_nests_of_quotes_and_substitutions_give_exactly_the_value(shell: str, seed: int, tmp_path: Path) -> None:
    value = random.Random(seed).choice([v for v in HOSTILE if len(v) < 1000])
    generator = Generator(seed, value)
    made = [generator.word(3) for _ in range(4)]
    template = "\n".join(f"show {text}" for text, _ in made)
    text, env = shellwords.command(template, Scope({}, {"v": value}))
    done = run(shell, SHOW + text, env, tmp_path)
    assert (done.stderr, words(done.stdout)) == (b"", [[expected] for _, expected in made]), template
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        ("cat <<EOF\n{{date}}\nEOF", "in a here-document"),
        ("cat <<'EOF'\n'{{date}}'\nEOF", "in a here-document"),
        ("cat <<-EOF\n\t{{date}}\n\tEOF", "in a here-document"),
        ("cat <<EOF\n{{date}}", "in a here-document"),
        ("cat <<A <<B\na\nA\n{{date}}\nB", "in a here-document"),
        ("x=$(cat <<EOF\n{{date}}\nEOF\n)", "in a here-document"),
        ("cat <<{{date}}\n", "as a here-document's delimiter"),
        ("true # {{date}}", "in a comment"),
        ("# it's {{date}}", "in a comment"),
        ("true;# {{date}}", "in a comment"),
        ("x=$(true # {{date}}\n)", "in a comment"),
        ("echo \\{{date}}", "after a backslash"),
        ('echo "\\{{date}}"', "after a backslash"),
        ("echo `echo {{date}}`", "in `…`"),
        ("echo \"`echo '{{date}}'`\"", "in `…`"),
        ("echo $(({{date}} + 1))", "in arithmetic"),
        ("echo $((1 + $(echo {{date}})))", "in arithmetic"),
        ("(( {{date}} > 1 ))", "in arithmetic"),
        ("for ((i=0; i<{{date}}; i++)); do :; done", "in arithmetic"),
        ("echo ${x:-{{date}}}", "in ${…}"),
        ('echo "${x#{{date}}}"', "in ${…}"),
        ("echo ${x:-$(echo {{date}})}", "in ${…}"),
        ("echo ${x:-'{{date}}'}", "in ${…}"),
        ("echo ${{date}}", "directly after a '$'"),
        ('echo "${{date}}"', "directly after a '$'"),
        ("echo $'{{date}}'", "in $'…'"),
        ('echo $"{{date}}"', 'in $"…"'),
        ("echo 'a {{date}}", "in a quote that is not closed"),
        ("eval {{date}}", "in the code that 'eval' runs"),
        ('x=1 command eval "echo {{date}}"', "in the code that 'eval' runs"),
        ("trap 'echo {{date}}' EXIT", "in the code that 'trap' runs"),
        ("let x={{date}}", "in the code that 'let' runs"),
        ("sh -c 'echo {{date}}'", "in the code that 'sh -c' runs"),
        ('find . | xargs /bin/bash -ec "echo {{date}}"', "in the code that 'bash -c' runs"),
        ("[[ {{date}} -eq 1 ]]", "in [[ … ]]"),
        ("a[{{date}}]=1", "in an array's index"),
        ("for {{date}} in a; do :; done", "as the name of a variable"),
        ("echo $[1 + {{date}}]", "after '$[' or a '$' at a line's end, which shells read differently"),
        ("echo $'it\\'s' {{date}}", "after a $'…' with a quote in it, which shells read differently"),
        ('echo "${x:-\'}" {{date}}', 'after a single quote in "${…}", which shells read differently'),
        ("((echo it's); echo) {{date}}", "after '((', which shells read differently"),
        ("true &\\\n& echo {{date}}", "after an operator that is broken over two lines, which shells read differently"),
    ],
)
def test_where_no_one_word_can_be_the_reference_is_refused(run: str, reason: str) -> None:
    assert [found for _, found in shellwords.refusals(run)] == [reason]
    with pytest.raises(ColonyError) as caught:
        shellwords.check(run, "w.yaml:4")
    assert caught.value.what == f"'{{{{date}}}}' stands {reason}, where it cannot be one word of the shell"
    assert (caught.value.where, caught.value.code) == ("w.yaml:4", 2)
    assert caught.value.fix
    with pytest.raises(ColonyError):
        shellwords.command(run, Scope({"date": "2013-02-08"}))


def test_only_the_references_that_cannot_be_words_are_refused() -> None:
    run = "echo {{date}} # {{run.id}}\necho '{{yesterday}}' `{{workflow.name}}`"
    assert [reference.text for reference, _ in shellwords.refusals(run)] == ["{{run.id}}", "{{workflow.name}}"]


def test_a_value_is_passed_by_environment_once() -> None:
    scope = Scope({"date": "2013-02-08", "id": "r1"})
    text, env = shellwords.command("echo {{date}} \"{{date}}\" '{{run.id}}'", scope)
    assert text == 'echo "${COLONY_REF_1}" "${COLONY_REF_1}" \'\'"${COLONY_REF_2}"\'\''
    assert env == {"COLONY_REF_1": "2013-02-08", "COLONY_REF_2": "r1"}


def test_an_object_is_one_word_of_compact_json() -> None:
    _, env = shellwords.command("jq . {{input}}", Scope({}, {"a": [1, None, True], "é": "x"}))
    assert env == {"COLONY_REF_1": '{"a":[1,null,true],"é":"x"}'}


def test_a_command_without_references_is_left_as_it_is() -> None:
    run = "awk '{ print $1 }' <<EOF\n${x} `y` \\\nEOF\n"
    assert shellwords.command(run, Scope({})) == (run, {})
    assert shellwords.refusals(run) == []


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("a\0b", "holds a NUL character"),
        ("é" * 61_441, "is 122,882 bytes, more than one word of a command can be"),
    ],
)
def test_what_no_word_can_hold_is_an_error_that_points_to_standard_input(value: str, what: str) -> None:
    with pytest.raises(ColonyError) as caught:
        shellwords.command("echo {{input.v}}", Scope({}, {"v": value}))
    assert what in caught.value.what
    assert caught.value.fix == "read it from standard input, which holds the step's context as JSON"
    assert caught.value.code == 1


def test_many_large_values_together_are_refused_too() -> None:
    run = "echo " + " ".join(f"{{{{input.{i}}}}}" for i in range(12))
    with pytest.raises(ColonyError, match="too many for its environment"):
        shellwords.command(run, Scope({}, {str(i): "x" * 100_000 for i in range(12)}))


def test_a_command_too_long_for_a_shell_is_refused() -> None:
    shellwords.check_size("x" * 1000)
    with pytest.raises(ColonyError, match="longer than"):
        shellwords.check_size("x" * 200_000)
