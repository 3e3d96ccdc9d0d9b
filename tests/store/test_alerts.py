"""Alerts: each event of a run is told once, to a real command or a real server, and what goes wrong there stays there."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from colony_lib.store import alerts, paths, schema
from tests.conftest import CONFIG, Colony

FAILS = "steps:\n  - name: load\n    run: echo 'no <!channel> & table' >&2; exit 3\n"


class Hook(ThreadingHTTPServer):
    """Takes what is posted to it; answers `status`."""

    daemon_threads = True

    def __init__(self) -> None:
        self.posted: list[tuple[str, dict[str, Any]]] = []
        self.status = 200
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.posted.append((self.path, json.loads(body)))
                self.send_response(hook.status)
                self.send_header("Location", "/elsewhere")
                self.end_headers()
                self.wfile.write(b"no_service: " + self.path.encode())

            def log_message(self, *_: Any) -> None:
                return

        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/services/s3cr3t-of-the-hook"


@pytest.fixture
def hook() -> Iterator[Hook]:
    server = Hook()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def configure(colony: Colony, text: str) -> None:
    colony.write("colony.yml", CONFIG + "alerts:\n" + text)


def warnings(colony: Colony) -> str:
    return "\n".join(line["message"] for line in colony.lines("logs", "--level", "warn", "--json"))


def everything(colony: Colony) -> str:
    found = (file for file in (colony.root / ".colony").rglob("*") if file.is_file())
    return "\n".join(file.read_text(encoding="utf-8", errors="replace") for file in found)


def test_a_failed_run_is_posted_once_however_often_it_is_resumed(colony: Colony, hook: Hook) -> None:
    configure(colony, "  - on: [failure]\n    webhook: $HOOK\n")
    colony.workflow("etl", FAILS)
    ran = colony("workflow", "run", "etl", "--date", "2013-02-08", env={"HOOK": hook.url}, check=False)
    assert ran.code == 1
    run_id = ran.out.split("\n")[0]
    assert colony("workflow", "resume", run_id, env={"HOOK": hook.url}, check=False).code == 1
    [(path, body)] = hook.posted
    assert path == "/services/s3cr3t-of-the-hook" and list(body) == ["text"]
    assert body["text"].startswith("etl of 2013-02-08 failed at load: exit status 3: no &lt;!channel&gt; &amp; table")
    assert f"colony workflow resume {run_id}" in body["text"]
    assert "s3cr3t" not in everything(colony)
    # Another run is another event.
    colony("workflow", "run", "etl", env={"HOOK": hook.url}, check=False)
    assert len(hook.posted) == 2


def test_a_completed_run_and_a_run_of_another_workflow_are_not_told(colony: Colony, hook: Hook) -> None:
    configure(colony, f"  - on: [failure]\n    workflows: [other]\n    webhook: {hook.url}\n")
    colony.workflow("etl", FAILS)
    colony.workflow("other", "steps:\n  - name: fine\n    run: 'true'\n")
    assert colony("workflow", "run", "etl", check=False).code == 1
    colony("workflow", "run", "other")
    assert hook.posted == []


def test_a_command_gets_the_event_as_json_and_in_its_environment(colony: Colony) -> None:
    configure(
        colony,
        '  - on: [failure]\n    command: cat > event.json; echo "$COLONY_ALERT $COLONY_RUN_ID" > said; pwd >> said\n',
    )
    colony.workflow("etl", FAILS)
    run_id = colony("workflow", "run", "etl", check=False).out.split("\n")[0]
    event = json.loads((colony.root / "event.json").read_text())
    assert schema.problems(event, "alert") == []
    assert (event["event"], event["run_id"], event["workflow"], event["step"]) == ("failure", run_id, "etl", "load")
    assert (colony.root / "said").read_text() == f"failure {run_id}\n{os.path.realpath(colony.root)}\n"


def test_a_command_may_send_the_mail_of_the_run(colony: Colony) -> None:
    configure(colony, '  - on: [failure]\n    command: colony report --mail --run "$COLONY_RUN_ID" > mail.txt\n')
    colony.workflow("etl", FAILS)
    colony("workflow", "run", "etl", "--date", "2013-02-08", check=False)
    assert (colony.root / "mail.txt").read_text().startswith("FAILED: etl of 2013-02-08 at load\n")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("echo it is broken >&2; exit 7", "exit status 7: it is broken"),
        ("sleep 600 & sleep 600", "took more than 0.5s"),
        ("/no/such/program", "exit status 127"),
    ],
)
def test_a_command_that_fails_is_said_in_the_log_and_changes_nothing_of_the_run(
    colony: Colony, command: str, said: str
) -> None:
    configure(colony, f"  - metrics: {{rows: '> 5'}}\n    timeout: 500ms\n    command: {command}\n")
    colony.workflow("etl", "steps:\n  - name: load\n    run: colony metrics record rows 6 >&2\n")
    colony("workflow", "run", "etl")
    assert said in warnings(colony)
    assert colony.json("workflow", "status", "--json")["status"] == "completed"


def test_a_webhook_that_is_not_there_refuses_or_redirects_is_said_without_its_path(colony: Colony, hook: Hook) -> None:
    configure(colony, "  - on: [failure]\n    webhook: ${HOOK}\n")
    colony.workflow("etl", FAILS)
    for status in (404, 302):
        hook.status = status
        colony("workflow", "run", "etl", env={"HOOK": hook.url}, check=False)
        assert f"the webhook at 127.0.0.1 answered {status}" in warnings(colony)
    assert [path for path, _ in hook.posted] == ["/services/s3cr3t-of-the-hook"] * 2
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/s3cr3t"
        colony("workflow", "run", "etl", env={"HOOK": url}, check=False)
    assert "could not be reached: Connection refused" in warnings(colony)
    colony("workflow", "run", "etl", env={"HOOK": "file:///etc/s3cr3t"}, check=False)
    assert "no http or https URL" in warnings(colony)
    colony("workflow", "run", "etl", check=False)
    assert "the environment variable HOOK is not set, which the webhook needs" in warnings(colony)
    assert "/s3cr3t" not in everything(colony)


def test_a_webhook_that_answers_byte_by_byte_is_given_up(colony: Colony) -> None:
    configure(colony, "  - on: [failure]\n    timeout: 400ms\n    webhook: $HOOK\n")
    colony.workflow("etl", FAILS)
    closing = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            peer, _ = server.accept()
            with peer:
                while not closing.wait(0.05):
                    try:
                        peer.sendall(b"H")
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        ran = colony("workflow", "run", "etl", env={"HOOK": url}, check=False)
        closing.set()
        thread.join()
    assert ran.code == 1
    assert "did not answer within 0.4s" in warnings(colony)


def test_a_threshold_looks_at_what_this_run_recorded(colony: Colony, hook: Hook) -> None:
    configure(colony, f"  - metrics: {{quality: '< 0.95', missing: '> 0'}}\n    webhook: {hook.url}\n")
    colony("metrics", "record", "quality", "0.1")
    colony.workflow("quiet", "steps:\n  - name: a\n    run: 'true'\n")
    colony.workflow("good", "steps:\n  - name: a\n    run: colony metrics record quality 0.95 >&2\n")
    colony.workflow("bad", "steps:\n  - name: a\n    run: colony metrics record quality 0.9 >&2\n")
    for name in ("quiet", "good", "bad"):
        colony("workflow", "run", name, "--date", "2013-02-08")
    assert [body["text"] for _, body in hook.posted] == ["bad of 2013-02-08: quality is 0.9, &lt; 0.95"]


def test_a_gate_that_warns_inside_a_run_is_told_at_the_runs_end_by_the_engine(
    colony: Colony, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(colony, "  - on: [warn]\n    webhook: $HOOK\n")
    colony.write(
        "check.py",
        "from colony_lib.store import alerts\nfor _ in 'ab':\n    alerts.warned('flights', 'odd', '2013-02-08')\n",
    )
    import sys

    run = f"env -u HOOK {sys.executable} check.py"
    colony.workflow("etl", f"steps:\n  - name: gate\n    run: {run}\n")
    colony("workflow", "run", "etl", env={"HOOK": hook.url})
    assert [body["text"] for _, body in hook.posted] == ["odd"]
    # What a step forges there is words at the most.
    forged = """{"v":1,"id":"x","type":"raised","event":{"run_id":"'$COLONY_RUN_ID'","event":["failure"]}}"""
    colony.workflow(
        "forger", f"steps:\n  - name: a\n    run: |\n      echo '{forged}' >> .colony/alerts/alerts.jsonl\n"
    )
    colony("workflow", "run", "forger", env={"HOOK": hook.url})
    assert hook.posted.pop()[1] == {"text": "None"}
    # By hand there is no engine: it is told at once, and once for the day.
    paths.use(str(colony.root))
    monkeypatch.setenv("HOOK", hook.url)
    for _ in range(2):
        alerts.warned("flights", "odd by hand", "2013-02-08")
    assert [body["text"] for _, body in hook.posted] == ["odd", "odd by hand"]


def test_an_engine_killed_while_it_sends_sends_no_second_time(colony: Colony) -> None:
    configure(colony, "  - on: [failure]\n    timeout: 60s\n    command: echo told >> told; sleep 600\n")
    colony.workflow("etl", FAILS)
    with colony.start("workflow", "run", "etl") as running:
        assert running.stdout is not None
        run_id = running.stdout.readline().strip()
        end = time.monotonic() + 60
        while not (colony.root / "told").exists() and time.monotonic() < end:
            time.sleep(0.02)
        running.send_signal(signal.SIGKILL)
    configure(
        colony,
        "  - on: [failure]\n    timeout: 60s\n    command: echo told >> told; sleep 600\n  - on: [failure]\n    command: echo other >> told\n",
    )
    assert colony("workflow", "resume", run_id, check=False).code == 1
    # The new alert had not been told of the failure before.
    assert (colony.root / "told").read_text() == "told\nother\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("  - on: [failure]\n", "neither command nor webhook"),
        ("  - on: [failure]\n    command: a\n    webhook: $A\n", "both a command and webhook"),
        ("  - command: a\n", "names no event"),
        ("  - on: [failed]\n    command: a\n", "failed"),
        ("  - metrics: {rows: 'less than 3'}\n    command: a\n", "must be a condition such as '< 0.95'"),
        ("  - on: [warn]\n    webhook: ftp://host/x\n", "no http or https URL"),
        ("  - on: [warn]\n    webhook: http://host/$-\n", "neither $NAME"),
        ("  - on: [warn]\n    timeout: 2h\n    command: a\n", "at most 60s"),
        ("  - on: [warn]\n    comand: a\n", "comand"),
    ],
)
def test_what_is_wrong_with_an_alert_is_said_with_its_line(colony: Colony, text: str, said: str) -> None:
    configure(colony, text)
    result = colony("validate", check=False)
    assert result.code == 2
    assert said in result.out + result.err and "colony.yml:" in result.out + result.err
