"""colony.yml: what it may say, what it is refused for and where, and what agents get from it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from colony_lib.base import files
from colony_lib.base.errors import FAILED, USAGE, ColonyError
from colony_lib.store import config, models, paths, variables

SEED = Path(__file__).resolve().parents[1] / "data" / "seed_colony.yml"
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".colony").mkdir()
    monkeypatch.chdir(tmp_path)
    paths.use(str(tmp_path))
    return tmp_path


def write(root: Path, text: str) -> None:
    (root / "colony.yml").write_text(text, encoding="utf-8")


def loaded(root: Path, text: str) -> dict[str, Any]:
    write(root, text)
    return config.load()


def refused(root: Path, text: str) -> list[str]:
    write(root, text)
    found = config.problems()
    assert found
    with pytest.raises(ColonyError) as caught:
        config.load()
    assert caught.value.code == USAGE
    assert caught.value.what == found[0].what
    return [str(problem) for problem in found]


def test_the_seeds_own_file_loads_as_it_stands(root: Path) -> None:
    settings = loaded(root, SEED.read_text(encoding="utf-8"))
    assert config.problems() == []
    assert settings["name"] == "data-pipeline-colony"
    assert settings["shared_state"] == {"backend": "git-backed", "location": "in-repo", "branch": "colony/state"}
    ids = ["orchestrator", "data-fetcher", "data-transformer", "data-validator", "data-loader", "reporter"]
    assert [agent["id"] for agent in settings["agents"]] == ids
    fetcher = config.agent(settings, "data-fetcher")
    assert fetcher["role"] == "Data Fetcher"
    assert fetcher["worktree_branch"] == "pipeline/fetcher"
    assert fetcher["env"] == {"API_KEY": "$DATA_API_KEY", "RATE_LIMIT": "100"}
    assert fetcher["startup_prompt"].startswith("You are responsible for fetching data")
    assert fetcher["startup_prompt"].endswith("- Data corruption: Flag for manual review\n")
    env, secrets = config.agent_env(fetcher, {"DATA_API_KEY": "k-123456"})
    assert env == {"API_KEY": "k-123456", "RATE_LIMIT": "100"}
    assert secrets == {"API_KEY": "k-123456"}
    assert models.resolve(fetcher, settings, today="2026-11-23") == {
        "model": "claude-sonnet-5-5",
        "asked": "claude-sonnet-4-20250514",
        "source": "agent",
        "warning": "agent 'data-fetcher': the model 'claude-sonnet-4-20250514' is retired since 2026-06-15; "
        "'claude-sonnet-5-5' is used instead",
    }


def test_what_is_not_said_has_its_default(root: Path) -> None:
    settings = loaded(root, "agents:\n  - id: a\n")
    assert settings == {
        "v": 1,
        "name": root.name,
        "shared_state": {"backend": "files", "location": "in-repo", "branch": "colony/state"},
        "defaults": {},
        "limits": {"usd_per_day": None, "tokens_per_day": None},
        "aliases": {},
        "env_file": None,
        "shared_paths": ["staging", "reports", "metrics", "logs"],
        "durability": "process",
        "alerts": [],
        "executors": [],
        "agents": [
            {
                "id": "a",
                "role": "",
                "description": "",
                "model": None,
                "runner": "api",
                "command": None,
                "worktree_branch": None,
                "startup_prompt": "",
                "limits": {
                    "turns": 50,
                    "tool_calls": 200,
                    "tokens": None,
                    "usd": None,
                    "time_seconds": None,
                    "usd_per_day": None,
                    "tokens_per_day": None,
                },
                "tools": None,
                "scripts": [],
                "permissions": {"allow": [], "deny": []},
                "network": False,
                "max_output_tokens": 16000,
                "env": {},
                "env_file": None,
                "line": 2,
                "env_lines": {},
            }
        ],
    }


def test_defaults_fill_what_agents_leave_out(root: Path) -> None:
    settings = loaded(
        root,
        "defaults: {model: opus, env: {A: '1', B: '2'}, runner: command, command: [cat]}\n"
        "agents:\n  - {id: a, env: {B: '3'}}\n  - {id: b, runner: api, model: m}\n",
    )
    a, b = settings["agents"]
    assert (a["model"], a["runner"], a["command"], a["env"]) == ("opus", "command", ["cat"], {"A": "1", "B": "3"})
    assert (b["model"], b["runner"], b["command"]) == ("m", "api", None)


AGENT = """\
limits: {usd_per_day: 20}
defaults:
  limits: {turns: 10, usd: 0.5}
  scripts:
    - {name: look, command: [ls, -l, 010], effect: read}
    - {name: fetch_day, command: [false]}
  permissions: {allow: ["bash(git status)"], deny: ["bash(rm *)"]}
  max_output_tokens: 4000
agents:
  - id: a
    limits: {time: 1h30m, turns: 20, tokens_per_day: 1000}
    tools: [bash, files, fetch_day, look]
    scripts:
      - name: fetch_day
        description: Fetch one day
        command: [colony, fetch, --date, "{{ date }}", "--out={{date}}.json"]
        input: {properties: {date: {type: string}}, required: [date]}
        network: true
        writes: [warehouse]
        timeout: 90s
    permissions: {deny: ["files(.env)", colony, "bash(rm *)"]}
    network: true
  - id: b
"""


def test_what_an_agent_may_use_is_filled_in_from_the_defaults(root: Path) -> None:
    settings = loaded(root, AGENT)
    a, b = settings["agents"]
    assert settings["limits"] == {"usd_per_day": 20, "tokens_per_day": None}
    assert a["limits"] == {
        "turns": 20,
        "tool_calls": 200,
        "tokens": None,
        "usd": 0.5,
        "time_seconds": 5400.0,
        "usd_per_day": None,
        "tokens_per_day": 1000,
    }
    assert (a["tools"], a["network"], a["max_output_tokens"]) == (["bash", "files", "fetch_day", "look"], True, 4000)
    look = {
        "name": "look",
        "description": "",
        "command": ["ls", "-l", "010"],
        "input": {"type": "object"},
        "effect": "read",
        "network": False,
        "writes": [],
        "timeout_seconds": 600.0,
    }
    fetch = {
        "name": "fetch_day",
        "description": "Fetch one day",
        "command": ["colony", "fetch", "--date", "{{ date }}", "--out={{date}}.json"],
        "input": {"type": "object", "properties": {"date": {"type": "string"}}, "required": ["date"]},
        "effect": "write",
        "network": True,
        "writes": ["warehouse"],
        "timeout_seconds": 90.0,
    }
    assert a["scripts"] == [look, fetch]
    assert a["permissions"] == {
        "allow": ["bash(git status)"],
        "deny": [
            "bash(rm *)",
            "read_file(.env)",
            "list_files(.env)",
            "write_file(.env)",
            "edit_file(.env)",
            "colony",
        ],
    }
    assert (b["tools"], b["network"], b["limits"]["turns"]) == (None, False, 10)
    assert [script["command"] for script in b["scripts"]] == [["ls", "-l", "010"], ["false"]]


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        ("limits: {turns: 0}", "'agents[0].limits.turns' must be at least 1, not 0"),
        ("limits: {turn: 5}", "unknown key 'turn' in 'agents[0].limits'"),
        ("limits: {usd: 0}", "'agents[0].limits.usd' must be more than 0, not 0"),
        ("limits: {usd: $5}", "'agents[0].limits.usd' must be a number, not '$5'"),
        ("limits: {tokens: 1.5}", "'agents[0].limits.tokens' must be a whole number, not 1.5"),
        ("limits: {time: 10 minutes}", "'agents[0].limits.time' must be a duration such as 30s, 10m or 1h30m"),
        ("limits: {time: 9000d}", "'9000d' is not a duration at colony.yml:3; write it like 30s"),
        ("tools: [bash, shell]", "unknown tool 'shell' at colony.yml:3; there is 'bash', 'files', 'colony'"),
        ("tools: [bahs]", "unknown tool 'bahs' at colony.yml:3; did you mean 'bash'?"),
        ("tools: [bash, bash]", "'agents[0].tools' has an item twice"),
        (
            "permissions: {allow: ['bash(']}",
            "'bash(' is not the form of a permission at colony.yml:3; write a tool's name",
        ),
        ("permissions: {allow: ['bash()']}", "'bash()' is not the form of a permission"),
        ("permissions: {allow: ['*']}", "'*' is not the form of a permission"),
        ("permissions: {deny: ['fetch(x)']}", "the permission is for an unknown tool 'fetch' at colony.yml:3"),
        ("permissions: {allow: ['Bash(x)']}", "unknown tool 'Bash' at colony.yml:3; did you mean 'bash'?"),
        ("scripts: [{name: bash, command: [x]}]", "'bash' is a tool of Colony's own at colony.yml:3"),
        ("scripts: [{name: a b, command: [x]}]", "'agents[0].scripts[0].name' must be letters, digits, '_' and '-'"),
        (
            "scripts: [{name: s, command: [x]}, {name: s, command: [y]}]",
            "the script 's' is there twice (first in line 3)",
        ),
        ("scripts: [{name: s}]", "'agents[0].scripts[0]' has no 'command' at colony.yml:3; add 'command:'"),
        ("scripts: [{name: s, command: x}]", "'agents[0].scripts[0].command' must be a list, not 'x'"),
        ("scripts: [{name: s, command: ['{{a}}']}]", "the script 's' does not say which program it runs"),
        (
            "scripts: [{name: s, command: [x, '-{{dya}}'], input: {properties: {day: {}}}}]",
            "the script 's' takes '{{dya}}', which its input does not declare at colony.yml:3; did you mean 'day'?",
        ),
        ("scripts: [{name: s, command: [x, '{{a}}']}]", "does not declare at colony.yml:3; add it to input.properties"),
        ("scripts: [{name: s, command: [x], input: {type: array}}]", "the input of the script 's' is no object"),
        ("scripts: [{name: s, command: [x], input: {type: objekt}}]", "the input of the script 's': not a JSON Schema"),
        ("scripts: [{name: s, command: [x], input: {$ref: 'http://h/x'}}]", "refers to 'http://h/x', outside itself"),
        ("scripts: [{name: s, command: [x], effect: reads}]", "must be 'read' or 'idempotent' or 'write', not 'reads'"),
        ("scripts: [{name: s, command: [x], writes: [../up]}]", "the script 's' writes '../up', which is not a folder"),
        (
            "scripts: [{name: s, command: [x], writes: [/etc]}]",
            "which is not a folder inside the colony at colony.yml:3",
        ),
        ("scripts: [{name: s, command: [x], timeout: 0}]", "must be a duration"),
        ("max_output_tokens: 0", "'agents[0].max_output_tokens' must be at least 1, not 0"),
        ("network: maybe", "'agents[0].network' must be true or false, not 'maybe'"),
    ],
)
def test_what_an_agent_may_use_is_refused_with_line_and_remedy(root: Path, agent: str, expected: str) -> None:
    found = refused(root, f"agents:\n  - id: a\n    {agent}\n")
    assert len(found) == 1, found
    assert expected in found[0] and ":3" in found[0]


def test_the_tools_of_the_defaults_are_those_that_every_agent_has(root: Path) -> None:
    own = "agents: [{id: a, scripts: [{name: s, command: [x]}], tools: [s]}]\n"
    assert loaded(root, own)["agents"][0]["tools"] == ["s"]
    assert refused(root, "defaults: {tools: [s]}\n" + own) == [
        "unknown tool 's' at colony.yml:1; there is 'bash', 'files', 'colony'"
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "the file is empty at colony.yml; run 'colony init --force' for a new one"),
        ("agents: []\nagent: []\n", "unknown key 'agent' at colony.yml:2; did you mean 'agents'?"),
        (
            "agents:\n  - id: a\n  - id: a\n",
            "the agent id 'a' is there twice (first in line 2) at colony.yml:3; rename one",
        ),
        ("name: a\nname: b\n", "the key 'name' is there twice (first in line 1) at colony.yml:2; remove one"),
        ("agents:\n  - id: all\n", "'all' cannot be an agent's id at colony.yml:2; choose another name"),
        ("agents:\n  - id: a..b\n", "'a..b' cannot be an agent's id at colony.yml:2; choose another name"),
        (
            "agents:\n  - id: ../x\n",
            "'agents[0].id' must be a name of letters, digits, '.', '_' and '-', starting with a "
            "letter or digit, not '../x' at colony.yml:2",
        ),
        (
            "agents:\n  - {id: a, env: {K: $5}}\n",
            "K: '$5' is neither $NAME nor ${NAME} at colony.yml:2; write $$ for a dollar sign",
        ),
        (
            "agents:\n  - {id: a, env: {K: '${A:-b}'}}\n",
            "K: '${A:-b}' is neither $NAME nor ${NAME} at colony.yml:2; write $$ for a dollar sign",
        ),
        ("agents:\n  - id: a\n    env:\n      K:\n", "'agents[0].env.K' is empty and must be text at colony.yml:4"),
        (
            "agents:\n  - {id: a, worktree_branch: --upload-pack=x}\n",
            "'--upload-pack=x' is not a branch name that git takes"
            " at colony.yml:2; use letters, digits, '-', '_' and '/'",
        ),
        (
            "agents:\n  - {id: a, worktree_branch: x}\n  - {id: b, worktree_branch: x}\n",
            "agent 'b' has the branch 'x' of agent 'a' at colony.yml:3; give each its own branch",
        ),
        (
            "agents:\n  - {id: a, worktree_branch: colony/state}\n",
            "agent 'a' has the branch 'colony/state' of the shared state at colony.yml:2; give each its own branch",
        ),
        (
            "agents:\n  - {id: a, runner: command}\n",
            "agent 'a' has the runner 'command' but no command at colony.yml:2; add 'command:'",
        ),
        (
            "agents:\n  - {id: a, command: x}\n",
            "agent 'a' has a command, but its runner is 'api' at colony.yml:2; add 'runner: command'",
        ),
        (
            "shared_state: {location: 'ext::sh -c id'}\n",
            "'ext::sh -c id' is not a place for shared state at colony.yml:1; "
            "write in-repo, a path, or an https, ssh or git URL",
        ),
        (
            "shared_state: {location: --exec=id}\n",
            "'--exec=id' is not a place for shared state at colony.yml:1; "
            "write in-repo, a path, or an https, ssh or git URL",
        ),
        (
            "shared_state: {branch: a..b}\n",
            "'a..b' is not a branch name that git takes at colony.yml:1; use letters, digits, '-', '_' and '/'",
        ),
        (
            "shared_paths: [ok, ../x]\n",
            "shared path '../x' is not a folder inside the colony at colony.yml:1; name one relative to the root",
        ),
        ("aliases: {a: b, b: a}\n", "the alias 'a' leads back to itself at colony.yml:1; point it at a model"),
        ('name: "a\\nb"\n', "'name' must be one line of 1 to 100 characters, not 'a\\nb' at colony.yml:1"),
    ],
)
def test_what_is_wrong_is_told_with_file_line_and_remedy(root: Path, text: str, expected: str) -> None:
    assert refused(root, text)[0] == expected


def test_all_that_is_wrong_is_told_in_order(root: Path) -> None:
    found = refused(root, "nme: x\nagents:\n  - id: a\n    rol: r\n  - id: a\n    env: {K: $}\ndurability: z\n")
    assert [line.split(" at colony.yml:")[1][0] for line in found] == ["1", "4", "5", "6", "7"]
    with pytest.raises(ColonyError, match=r"did you mean 'name'\?; 'colony validate' shows 4 more$"):
        config.load()


def test_a_missing_or_unreadable_file_is_told_plainly(root: Path) -> None:
    with pytest.raises(ColonyError, match=r"^no colony.yml in '.*'; run 'colony init' to make one$"):
        config.load()
    (root / "colony.yaml").touch()
    with pytest.raises(ColonyError, match=r"rename colony.yaml to colony.yml$"):
        config.load()
    (root / "colony.yml").mkdir()
    with pytest.raises(ColonyError, match=r"is not a regular file"):
        config.load()
    (root / "colony.yml").rmdir()
    (root / "colony.yml").write_bytes(b"name: a\n# \xff\n")
    assert [str(problem) for problem in config.problems()] == ["not UTF-8 text at colony.yml:2; save the file as UTF-8"]


def test_an_unknown_agent_is_answered_with_the_nearest(root: Path) -> None:
    settings = loaded(root, "agents: [{id: loader}, {id: fetcher}]\n")
    with pytest.raises(ColonyError) as caught:
        config.agent(settings, "loder")
    assert str(caught.value) == "unknown agent 'loder'; did you mean 'loader'?"
    assert caught.value.code == FAILED


# -- what agents get


def one_agent(root: Path, env: str, more: str = "") -> dict[str, Any]:
    found: dict[str, Any] = loaded(root, f"{more}agents:\n  - id: a\n    env: {env}\n")["agents"][0]
    return found


def test_variables_are_taken_at_use_once_and_dollars_are_doubled(root: Path) -> None:
    agent = one_agent(root, "{A: $X, B: '${X}/b', C: $$X, D: plain, E: '$X$X'}")
    env, secrets = config.agent_env(agent, {"X": "va$Xlue"})
    assert env == {"A": "va$Xlue", "B": "va$Xlue/b", "C": "$X", "D": "plain", "E": "va$Xlueva$Xlue"}
    assert secrets == {"A": "va$Xlue", "B": "va$Xlue/b", "E": "va$Xlueva$Xlue"}


def test_what_is_a_part_of_a_value_is_a_secret_too(root: Path) -> None:
    agent = one_agent(root, "{URL: 'https://u:$PASS@h/'}")
    _, secrets = config.agent_env(agent, {"PASS": "s3cret-pass"})
    assert secrets == {"URL": "https://u:s3cret-pass@h/", "PASS": "s3cret-pass"}


def test_an_unset_variable_names_agent_variable_and_line(root: Path) -> None:
    agent = one_agent(root, "{A: $NO_SUCH}")
    with pytest.raises(ColonyError) as caught:
        config.agent_env(agent, {})
    expected = "the environment variable NO_SUCH is not set, which agent 'a' needs at colony.yml:3; export NO_SUCH=…"
    assert str(caught.value) == expected
    assert caught.value.code == USAGE
    agent = one_agent(root, "{A: $NO_SUCH}", "env_file: .env\n")
    with pytest.raises(ColonyError, match=r"; export it, or write it into the env_file '.env', which does not exist$"):
        config.agent_env(agent, {})


def test_the_env_file_gives_what_the_environment_lacks_and_all_of_it_is_secret(root: Path) -> None:
    (root / ".env").write_text("KEY=from-file\nOTHER='o t h e r'\nSAME=same-file\n", encoding="utf-8")
    agent = one_agent(root, "{A: $KEY, B: $SAME}", "env_file: .env\n")
    env, secrets = config.agent_env(agent, {"SAME": "from-caller"})
    assert env == {"KEY": "from-file", "OTHER": "o t h e r", "A": "from-file", "B": "from-caller"}
    assert secrets == {"A": "from-file", "B": "from-caller", "OTHER": "o t h e r"}
    assert config.agent_env(None, {}) == (
        {"KEY": "from-file", "OTHER": "o t h e r", "SAME": "same-file"},
        {"KEY": "from-file", "OTHER": "o t h e r", "SAME": "same-file"},
    )


def test_a_path_of_the_env_file_wins_over_the_callers_and_is_no_secret(root: Path) -> None:
    (root / ".env").write_text("KEY=from-file\nPATH=/opt/tools:/usr/bin\n", encoding="utf-8")
    agent = one_agent(root, "{MORE: '$PATH:/x'}", "env_file: .env\n")
    given, secrets = config.agent_env(agent, {"KEY": "from-caller", "PATH": "/usr/bin:/bin"})
    assert given == {"PATH": "/opt/tools:/usr/bin", "MORE": "/opt/tools:/usr/bin:/x"}
    assert set(secrets) == {"MORE", "PATH", "KEY"}  # what an agent takes by $VAR is one, whatever it is
    agent = one_agent(root, "{PATH: /mine}", "env_file: .env\n")
    assert config.agent_env(agent, {"PATH": "/usr/bin:/bin"}) == (
        {"KEY": "from-file", "PATH": "/mine"},
        {"KEY": "from-file"},
    )


def test_values_under_env_are_text_as_written(root: Path) -> None:
    agent = one_agent(root, "{A: 010, B: no, C: 1_000, D: 1.50, E: true}")
    assert config.agent_env(agent, {})[0] == {"A": "010", "B": "no", "C": "1_000", "D": "1.50", "E": "true"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "A=1\n\n# c\n  B = two words  \nexport C=3 # note\nD=\nE=a#b\n",
            {"A": "1", "B": "two words", "C": "3", "D": "", "E": "a#b"},
        ),
        ('A=\'$x \\n\'\nB="a\\nb \\"q\\" \\$x"\n', {"A": "$x \\n", "B": 'a\nb "q" $x'}),
        ("K=\"-----BEGIN\nline\n-----END\"\nZ='1\n2'\n", {"K": "-----BEGIN\nline\n-----END", "Z": "1\n2"}),
        ("A=1\r\nB=2", {"A": "1", "B": "2"}),
        ("A=1\nA=2\n", {"A": "2"}),
        ("\ufeffA=1", {"A": "1"}),
        ("", {}),
        ("# only", {}),
        ("A=a=b\n", {"A": "a=b"}),
    ],
)
def test_a_file_of_variables_is_read_as_people_write_them(text: str, expected: dict[str, str]) -> None:
    assert variables.parse_file(text, ".env") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A=1\nnonsense hunter2\n", "not a NAME=value line at .env:2; write NAME=value, or # before a comment"),
        ("A='hunter2\nB=1\n", "a quotation mark is never closed at .env:1; close it"),
        ('\nA="hunter2" x\n', "something follows the closing quotation mark at .env:2; put the whole value in quotes"),
        ("9A=hunter2\n", "not a NAME=value line at .env:1"),
        ("A=hunter2\0\n", "the value of A holds a NUL character at .env:1; remove it"),
    ],
)
def test_a_bad_line_of_it_is_named_and_its_value_never_shown(text: str, message: str) -> None:
    with pytest.raises(ColonyError) as caught:
        variables.parse_file(text, ".env")
    assert str(caught.value).startswith(message)
    assert "hunter2" not in str(caught.value)


# -- models


@pytest.mark.parametrize(
    ("own", "default", "aliases", "override", "expected", "source", "warns"),
    [
        ("claude-opus-5-5", None, {}, None, "claude-opus-5-5", "agent", False),
        ("claude-opus-5-5", "x", {}, "claude-haiku-5-5", "claude-haiku-5-5", "COLONY_MODEL", False),
        (None, "claude-opus-5", {}, None, "claude-opus-5", "defaults", False),
        (None, None, {}, None, "claude-sonnet-5-5", "built in", False),
        ("fast", None, {"fast": "claude-haiku-4-5"}, None, "claude-haiku-4-5", "agent", False),
        ("a", None, {"a": "b", "b": "c"}, None, "c", "agent", False),
        ("sonnet", None, {}, None, "claude-sonnet-5-5", "agent", False),
        ("x", None, {}, "opus", "claude-opus-5-5", "COLONY_MODEL", False),
        ("claude-sonnet-4-20250514", None, {"claude-sonnet-4-20250514": "m"}, None, "m", "agent", False),
        ("claude-sonnet-4-20250514", "claude-opus-5-5", {}, None, "claude-opus-5-5", "agent", True),
        ("claude-3-5-haiku-20241022", None, {}, None, "claude-haiku-5-5", "agent", True),
        ("claude-3-opus-20240229", "claude-2.1", {}, None, "claude-opus-5-5", "agent", True),
        ("x", None, {}, "claude-sonnet-4-20250514", "claude-sonnet-5-5", "COLONY_MODEL", True),
        ("a-model-of-tomorrow", None, {}, None, "a-model-of-tomorrow", "agent", False),
    ],
)
def test_which_model_an_agent_gets(
    own: str | None,
    default: str | None,
    aliases: dict[str, str],
    override: str | None,
    expected: str,
    source: str,
    warns: bool,
) -> None:
    settings = {"defaults": {"model": default} if default else {}, "aliases": aliases}
    found = models.resolve({"id": "a", "model": own}, settings, override, "2026-11-23")
    assert (found["model"], found["source"], found["warning"] is not None) == (expected, source, warns)


def test_a_model_is_retired_from_its_day_on() -> None:
    assert models.retired("claude-sonnet-4-5-20250929", "2026-11-29") is None
    assert models.retired("claude-sonnet-4-5-20250929", "2026-11-30") == ("2026-11-30", "sonnet")


# -- the compiled copy


def run_and_list_modules(root: Path) -> tuple[str, set[str]]:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from colony_lib.store import config\n"
        "print(config.load()['name']); print(*sys.modules)"
    )
    words = [sys.executable, "-c", code, str(REPOSITORY)]
    done = subprocess.run(words, cwd=root, capture_output=True, text=True, check=True)
    name, modules = done.stdout.strip().split("\n")
    return name, set(modules.split())


def test_a_warm_start_needs_neither_yaml_nor_jsonschema(root: Path) -> None:
    write(root, "name: one\n")
    assert "yaml" in run_and_list_modules(root)[1]
    name, modules = run_and_list_modules(root)
    assert name == "one"
    assert not modules & {"yaml", "jsonschema", "colony_lib.store.config_rules", "dataclasses", "typing", "pathlib"}


def test_a_changed_text_is_read_anew_and_a_damaged_copy_is_replaced(root: Path) -> None:
    assert loaded(root, "name: one\n")["name"] == "one"
    assert loaded(root, "name: two\n")["name"] == "two"
    cache = Path(paths.cache("colony"))
    kept = json.loads(cache.read_text(encoding="utf-8"))
    assert kept["source"] == "name: two\n"
    for damage in ("", "{", "[]", json.dumps({**kept, "config": 3}), json.dumps({**kept, "compiler": []})):
        cache.write_text(damage, encoding="utf-8")
        config._loaded = None
        assert config.load()["name"] == "two"
        assert json.loads(cache.read_text(encoding="utf-8")) == kept


def test_a_copy_that_cannot_be_written_does_not_stop_the_reader(root: Path) -> None:
    (root / ".colony" / "cache").write_text("in the way", encoding="utf-8")
    assert loaded(root, "name: one\n")["name"] == "one"


def test_no_value_of_the_environment_is_in_the_copy(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X_KEY", "very-secret-value")
    agent = one_agent(root, "{A: $X_KEY}")
    assert config.agent_env(agent)[0] == {"A": "very-secret-value"}
    for file in root.rglob("*"):
        if file.is_file():
            assert "very-secret-value" not in files.read_text(str(file))
