"""Stands for the program `claude`: takes its words and speaks its JSON, as version 2.1.197 does.

It does what `plan.json` beside it says, one entry a call: {say, run: [command…], result, structured, cost, tokens,
subtype, status, errors, retry: {…}, hang, silent, stderr, exit}. What it was called with is in `calls.jsonl`.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
SWITCHES = {"-p", "--verbose", "--strict-mcp-config", "--disable-slash-commands"}


def main() -> int:
    given = words(sys.argv[1:])
    asked = sys.stdin.read()
    call = {"words": given, "prompt": asked, "env": dict(os.environ), "cwd": os.getcwd(), "pid": os.getpid()}
    with open(HERE / "calls.jsonl", "a") as file:
        file.write(json.dumps(call) + "\n")
    number = len((HERE / "calls.jsonl").read_text().splitlines())
    plan = json.loads((HERE / "plan.json").read_text())
    return Call(given, plan[min(number, len(plan)) - 1]).go()


def words(argv: list[str]) -> dict[str, str]:
    found = {}
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        found[word] = "" if word in SWITCHES else rest.pop(0)
    return found


class Call:
    def __init__(self, given: dict[str, str], plan: dict) -> None:
        self.given = given
        self.plan = plan
        self.session = given.get("--resume") or given["--session-id"]
        self.cost = 0.0
        self.replies = 0
        home = os.environ.get("CLAUDE_CONFIG_DIR") or os.path.join(os.environ["HOME"], ".claude")
        self.kept = Path(home) / "projects" / f"{self.session}.jsonl"

    def go(self) -> int:
        plan = self.plan
        if plan.get("stderr"):
            print(plan["stderr"], file=sys.stderr)
        if plan.get("exit") is not None:
            return plan["exit"]
        if "--resume" in self.given and not self.kept.exists():
            print(f"No conversation found with session ID: {self.session}", file=sys.stderr)
            self.result(
                subtype="error_during_execution", errors=[f"No conversation found with session ID: {self.session}"]
            )
            return 1
        if "--session-id" in self.given and self.kept.exists():
            print(f"Error: Session ID {self.session} is already in use.", file=sys.stderr)
            return 1
        signal.signal(signal.SIGINT, self.interrupted)
        self.emit(type="system", subtype="init", model=self.given["--model"], claude_code_version="2.1.197 (stand-in)")
        self.kept.parent.mkdir(parents=True, exist_ok=True)
        self.kept.write_text("a conversation\n")
        for command in plan.get("run", []):
            self.call(command)
        if plan.get("retry"):
            self.emit(type="system", subtype="api_retry", attempt=1, max_retries=10, **plan["retry"])
        if plan.get("hang"):
            while True:
                time.sleep(60)
        if plan.get("silent"):
            return 0
        if "result" in plan:
            self.reply({"type": "text", "text": plan["result"]})
        said = {key: plan[key] for key in ("subtype", "errors", "stop_reason") if key in plan}
        if "structured" in plan:
            said["structured_output"] = plan["structured"]
        self.result(result=plan.get("result"), api_error_status=plan.get("status"), **said)
        return 1 if plan.get("subtype", "success") != "success" or plan.get("is_error") else 0

    def call(self, command: str) -> None:
        """A tool call, in a session of its own, as the real one does it; in the background of us when it says so."""
        name = f"toolu_{os.getpid()}_{self.replies}"
        self.reply({"type": "tool_use", "id": name, "name": "Bash", "input": {"command": command}})
        prefix = [os.environ["CLAUDE_CODE_SHELL_PREFIX"]] if "CLAUDE_CODE_SHELL_PREFIX" in os.environ else ["sh", "-c"]
        done = subprocess.run([*prefix, command], capture_output=True, text=True, start_new_session=True)
        block = {"type": "tool_result", "tool_use_id": name, "content": done.stdout, "is_error": done.returncode != 0}
        self.emit(type="user", message={"role": "user", "content": [block]})

    def reply(self, block: dict) -> None:
        self.replies += 1
        self.cost = round(self.cost + self.plan.get("cost", 0.25), 6)
        usage = {
            "input_tokens": 100,
            "output_tokens": 1,
            "cache_read_input_tokens": 10,
            "cache_creation_input_tokens": 5,
        }
        message = {"id": f"msg_{os.getpid()}_{self.replies}", "role": "assistant", "content": [block], "usage": usage}
        self.emit(type="assistant", message={**message, "model": self.given["--model"]})

    def interrupted(self, *_: object) -> None:
        self.result(subtype="error_during_execution")
        os._exit(1)

    def result(self, subtype: str = "success", **more: object) -> None:
        names = {"inputTokens": 100, "outputTokens": 20, "cacheReadInputTokens": 10, "cacheCreationInputTokens": 5}
        used = {name: count * self.replies for name, count in names.items()}
        self.emit(
            **{
                "type": "result",
                "subtype": subtype,
                "is_error": bool(subtype != "success" or self.plan.get("is_error")),
            },
            **{"num_turns": self.replies, "stop_reason": "end_turn", "total_cost_usd": self.cost, **more},
            usage={"input_tokens": 100},
            modelUsage={self.given["--model"]: used} if self.replies else {},
        )

    def emit(self, **event: object) -> None:
        # Not by print: an interruption in the midst of it could not print its report.
        os.write(1, (json.dumps({**event, "session_id": self.session}) + "\n").encode())


if __name__ == "__main__":
    sys.exit(main())
