"""Alerts of colony.yml: finds out which of a run's events somebody is to be told of, and tells each once.

What is about to be sent is journalled first: a process that is killed while it sends has sent it, as far as anybody
here will ever know, and nobody is told twice. A command or webhook that fails is said in the log, and that is all.
"""

from __future__ import annotations

import os

from colony_lib.base import clock, files, jsonl, locks
from colony_lib.base.errors import ColonyError
from colony_lib.base.text import cut, escape
from colony_lib.store import config, env, paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from colony_lib.store.runfold import Run

    Record = dict[str, Any]

_LONGEST = 1000  # characters of an event's words


def of_run(run: Run) -> None:
    """Tell what the run's end, or what it has come to by now, sets off. Never raises for what goes wrong there."""
    try:
        alerts = [each for each in config.load()["alerts"] if _concerns(each, run.plan["name"])]
        if alerts:
            _deliver(alerts, [*_ended(run), *_limits(run), *_raised(run), *_thresholds(run, alerts)])
    except (ColonyError, OSError) as error:
        _log(f"alerts could not be sent: {escape(error)}", run.run_id)


def warned(key: str, text: str, date: str | None) -> None:
    """The quality gate says WARN; `key` is what of. Inside a run it is told at the run's end, by the engine, which has
    the environment that a step need not have; by hand at once. Never raises."""
    if paths.root_or_none() is None:
        return
    run_id = env.step().get("run_id")
    try:
        alerts = config.load()["alerts"]
        if not any("warn" in each["on"] for each in alerts):
            return
        event = _event("warn", key, text, run_id=run_id, workflow=env.step().get("workflow"), date=date)
        if run_id is not None:
            record = {"v": 1, "id": "raised-" + _digest([run_id, event]), "ts": clock.now(), "type": "raised"}
            jsonl.append(paths.alerts(), [record | {"event": event}], lock=_lock(), durable=True)
        else:
            _deliver([each for each in alerts if not each["workflows"]], [event])
    except (ColonyError, OSError) as error:
        _log(f"an alert could not be sent: {escape(error)}", run_id)


def used_up(workflow: str, key: str, text: str) -> None:
    """A budget that is no single run's is used up; `key` is which. Told at once. Never raises."""
    try:
        alerts = [each for each in config.load()["alerts"] if _concerns(each, workflow)]
        _deliver(alerts, [_event("budget", key, text, run_id=None, workflow=workflow, date=None)])
    except (ColonyError, OSError) as error:
        _log(f"an alert could not be sent: {escape(error)}", None)


def _concerns(alert: Record, workflow: str) -> bool:
    return not alert["workflows"] or workflow in alert["workflows"]


def _event(kind: str, key: str, text: str, **more: Any) -> Record:
    return {"event": kind, "key": key, "text": cut(escape(files.redacted(text)), _LONGEST), **more}


def _of(run: Run) -> Record:
    return {"run_id": run.run_id, "workflow": run.plan["name"], "date": run.header.get("date")}


def _ended(run: Run) -> Iterator[Record]:
    if run.ended_status != "failed":
        return
    record = run.record(outputs=False)
    error = str(record["error"] or "")
    step = next((each["name"] for each in record["steps"] if error.startswith(each["name"] + ": ")), None)
    place = f" at {step}" if step else ""
    said = error.removeprefix(f"{step}: ")
    text = f"{run.plan['name']} of {record['date']} failed{place}: {said} (colony workflow resume {run.run_id})"
    # A run that is resumed and fails again at the same step is the same event: who resumed it is looking.
    yield _event("failure", step or "", text, **_of(run), step=step, error=cut(said, _LONGEST))


def _limits(run: Run) -> Iterator[Record]:
    for record in run.records():
        if record.get("type") == "attempt_ended" and record.get("limit_reached") is True:
            step = str(record.get("step"))
            text = f"{run.plan['name']} of {run.header.get('date')}: {step} was stopped: {record.get('error')}"
            yield _event("budget", step, text, **_of(run), step=step, error=cut(str(record.get("error")), _LONGEST))


def _raised(run: Run) -> Iterator[Record]:
    """What the run's steps have written; any program in a step can write there, so nothing of it but words is taken."""
    for record in jsonl.iterate(paths.alerts()):
        said = record.get("event")
        if record.get("type") == "raised" and isinstance(said, dict) and said.get("run_id") == run.run_id:
            more = {**_of(run), "date": str(said.get("date"))}
            yield _event("warn", str(said.get("key")), str(said.get("text")), **more)


def _thresholds(run: Run, alerts: list[Record]) -> Iterator[Record]:
    wanted = {(name, condition) for alert in alerts for name, condition in alert["metrics"].items()}
    for name, condition in sorted(wanted):
        value = _newest(name, run.header["created"])
        if value is not None and _holds(value, condition):
            text = f"{run.plan['name']} of {run.header.get('date')}: {name} is {value:g}, {condition.strip()}"
            more = {"metric": name, "value": value, "condition": condition.strip()}
            yield _event("metric", f"{name} {condition}", text, **_of(run), **more)


def _newest(name: str, since: str) -> float | None:
    """The metric's last point, where it is of that time or later."""
    from colony_lib.store import points

    if not os.path.exists(paths.metric(name)):
        return None
    begin = clock.seconds(since)
    last = points.Window(name, max(clock.epoch() - begin, 0.0) / 3600.0).last  # the newest of all, however old
    return None if last is None or clock.seconds(last[0]) < begin else float(last[1])


def _holds(value: float, condition: str) -> bool:
    import operator

    text = condition.strip()
    compare = {"<=": operator.le, ">=": operator.ge, "==": operator.eq, "!=": operator.ne}.get(text[:2])
    if compare is not None:
        return bool(compare(value, float(text[2:])))
    return bool((operator.lt if text[0] == "<" else operator.gt)(value, float(text[1:])))


def _wants(alert: Record, event: Record) -> bool:
    if event["event"] == "metric":
        return bool(alert["metrics"].get(event["metric"], "").strip() == event["condition"])
    return event["event"] in alert["on"]


def _deliver(alerts: list[Record], events: list[Record]) -> None:
    """Tell each event to each alert that wants it, unless it was told before."""
    due = [(alert, event) for event in events for alert in alerts if _wants(alert, event)]
    if not due:
        return
    from colony_lib.store import hooks
    from colony_lib.store.redact import Redactor

    added, secrets = config.agent_env(None)
    known = added | env.environ() | {name: value for name, value in added.items() if name == "PATH"}
    redactor = Redactor(secrets | _taken(alerts, known) | env.secret_values())
    for alert, event in due:
        identity = _digest([alert, event["event"], event["key"], event["run_id"], event["date"]])
        if not _claim(identity, event):
            continue
        trouble = hooks.tell(alert, {**event, "text": redactor.text(event["text"])}, known)
        result = {"v": 1, "id": "ended-" + identity, "ts": clock.now(), "type": "sent" if trouble is None else "failed"}
        if trouble is not None:
            result["error"] = redactor.text(trouble)
            _log(f"alert of {event['event']}: {result['error']}", event["run_id"])
        jsonl.append(paths.alerts(), [result], lock=_lock())


def _taken(alerts: list[Record], known: dict[str, str]) -> dict[str, str]:
    """The variables that webhooks take."""
    from colony_lib.store import variables

    names = [name for alert in alerts for name in variables.names(alert["webhook"] or "")]
    return {name: known[name] for name in names if known.get(name)}


def _claim(identity: str, event: Record) -> bool:
    """Whether this process is the one that sends it: the first that says so, for all time."""
    record_id = "sending-" + identity
    path = paths.alerts()
    with locks.held(_lock()):
        if any(record.get("id") == record_id for record in jsonl.iterate(path)):
            return False
        fd = jsonl.open_append(path)
        try:
            record = {"v": 1, "id": record_id, "ts": clock.now(), "type": "sending"}
            jsonl.append_to(fd, path, [record | {key: event[key] for key in ("event", "key", "run_id")}])
            jsonl.sync(fd, path, new=True)
        finally:
            os.close(fd)
    return True


def _digest(value: Any) -> str:
    import hashlib

    from colony_lib.base import jsontext

    return hashlib.sha256(jsontext.dumps(value).encode()).hexdigest()[:24]


def _lock() -> str:
    return paths.lock("alerts")


def _log(words: str, run_id: str | None) -> None:
    from colony_lib.store import logs

    try:
        logs.line("colony", "warn", files.redacted(words), run_id)
    except ColonyError:
        return  # a full disk, say: the run matters more than what is said of its alerts
