"""The runner 'claude-code': the program `claude` does the step with its own tools, in a conversation that it keeps
itself.

A call of it is `claude -p`: one request of ours, for which it asks its model as often as it needs. The conversation's
number is recorded before it is called, so that an attempt that is cut off is gone on with (`--resume`). What it says
while it works is recorded as `event`s: when it is killed it forgets what it was just doing, and is told from them.

Where a key is in the environment (one of claude_words.KEYS) it works in a home of its own, and keeps the conversation
in the folder `claude` beside the step's attempts, which nobody else can read and which is removed when the step has
ended: that is Claude Code's own record, and holds what its tools gave, secrets included. Without a key it finds the
login of whoever runs it in that user's home, and keeps the conversation there.

What it used and cost is what it reports, by its own list of prices. Dollars and turns are limits of the call itself
(`--max-budget-usd`, which it may pass by one request of its own); tokens, tool calls and time are watched as they come,
and it is ended when they are used up. Its permissions are all that confines it: its Bash reaches the network. Messages
are told with the next call: it hears nothing while it works.
"""

from __future__ import annotations

import os

from colony_lib.base import clock, files, jsontext, locks
from colony_lib.base.errors import USAGE, ColonyError
from colony_lib.base.text import cut, plural
from colony_lib.store import env, paths, prices, spending, transcripts
from colony_lib.work.agent import answer, inbox, limits, prompt
from colony_lib.work.agent.conversation import digest
from colony_lib.work.agent.place import Ending
from colony_lib.work.runners import claude_watch, claude_words
from colony_lib.work.runners.claude_watch import Over, Paused, Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from colony_lib.work.agent.place import Place

    Record = dict[str, Any]

REPAIRS = 2  # corrections of an answer that is not what was asked for
_SLICE = 2.0  # dollars that a call takes from a limit at once, unless the step's own limit is higher
_CALL = (60_000, 8_000)  # tokens of prompts and of replies by which a call without a limit is reserved
_CANNOT_RUN = (126, 127)


def missing(known: dict[str, str]) -> ColonyError | None:
    """What is wrong when there is no `claude` on the PATH (the agent's own in `known`, where it has one); else None."""
    if _program(known.get("PATH")) is not None:
        return None
    what = "the runner 'claude-code' needs the program 'claude', which is not on the PATH"
    fix = "install it ('npm install -g @anthropic-ai/claude-code'), or give the agent 'runner: api'"
    return ColonyError(what, fix=fix, code=USAGE)


def _program(path: str | None = None) -> str | None:
    import shutil

    return shutil.which("claude", path=path or env.get("PATH") or os.defpath)


def perform(place: Place, context: Record) -> Ending:
    """Do the step, or go on with it where an earlier attempt was cut off. ColonyError when there is no `claude`."""
    task, program = place.task, _program()
    wrong = None if task.get("replay") else missing({})
    if wrong is not None:
        raise wrong
    lock = paths.run_lock(task["run"], f"claude-{digest([task['step'], task['batch']])}")
    # What an earlier attempt has left holds it as well, until it has ended.
    with locks.held(lock, timeout=30.0, what="Claude Code of an earlier attempt"):
        return _Work(place, program or "").go()


class _Work:
    """One attempt's part of a conversation. What to do next is always read off the records."""

    def __init__(self, place: Place, program: str) -> None:
        self.place = place
        self.task = place.task
        self.program = program
        self.records: list[Record] = list(place.before)
        self.ledger = spending.Ledger()
        self.limits = limits.of(self.task)
        self.who = limits.who(self.task, self.task["model"]["model"])
        self.time = limits.Time(self.task, limits.taken(place.conversations))
        self.keyed = any(env.get(name) for name in claude_words.KEYS)
        self.sessions = os.path.join(os.path.dirname(place.own), "claude")
        self.recording: Any = None

    def note(self, kind: str, /, **fields: Any) -> Record:
        record = self.place.transcript.add(kind, **fields)
        self.records.append(record)
        return record

    def _last(self, *kinds: str) -> Record | None:
        return next((record for record in reversed(self.records) if record["type"] in kinds), None)

    def _count(self, kind: str) -> int:
        return sum(record["type"] == kind for record in self.records)

    def go(self) -> Ending:
        """Go on until there is an end; it is in the transcript when this returns."""
        self._begin()
        try:
            while self._last("final") is None:
                last = self._last("request", "response", "request_failed", "nudge", "session", "paused")
                if last is None or last["type"] != "response" or (last["error"] and last["subtype"] == "stopped"):
                    self._ask()
                else:
                    self._judge(last)
        except Paused as paused:
            self.note("paused", error=paused.error, until=paused.until)
            return Ending("limited", error=paused.error, until=paused.until)
        except Over as over:
            self._end("failed", error=over.error, again=over.again, limit=over.limit)
        except spending.LimitReached as reached:
            self._end("failed", error=str(reached), again=False, limit=True)
        self._forget_session()
        final = self._last("final")
        assert final is not None
        return Ending(final["status"], output=final["output"], error=final["error"], again=final["again"])

    def _end(
        self, status: str, *, output: Any = None, error: str | None = None, again: bool = True, limit: bool = False
    ) -> None:
        more = {"limit": True} if limit else {}  # for whoever is to be told of limits
        self.note("final", status=status, output=output, error=error, again=again, **more)

    def _forget_session(self) -> None:
        try:
            if os.path.isdir(self.sessions):
                files.remove_folder(self.sessions)
        except ColonyError as error:
            self.place.say(str(error), "warn")  # the step is what it is; the folder goes with the run

    # -- how it begins

    def _begin(self) -> None:
        if self.records:
            self.records.append(self.place.begin({}))
            self.place.say(f"going on with the conversation of attempt {self.records[-1]['continues']}")
            self._settle_left()
        else:
            self.records.append(self.place.begin(self._beginning()))
        if self.task.get("replay"):
            from colony_lib.work.agent.replay import Recording

            of = (self.task["replay"], self.task["step"], self.task["batch"], len(self.place.ended))
            self.recording = Recording(*of, self._count("response"))
        elif self.keyed:
            files.make_dirs(self.sessions)
            os.chmod(self.sessions, 0o700)

    def _beginning(self) -> Record:
        task = self.task
        model = task["model"]
        if model["warning"]:
            self.place.say(model["warning"], "warn")
        return {
            "runner": "claude-code",
            "model": model["model"],
            "asked": model["asked"],
            "system": claude_words.system(task),
            "tools": claude_words.tools(task["agent"]),
            "first": prompt.first(task, self._earlier()),
            "schema": task["schema"],
            "limits": task["limits"],
        }

    def _earlier(self) -> list[str]:
        """What a new conversation has to know of the one that came to nothing before it."""
        records = self.place.ended[-1] if self.place.ended else []
        final = transcripts.ending(records)
        said = [f"It failed: {final['error']}"] if final is not None and final.get("error") else []
        return said + claude_words.listed(claude_words.called(records)) + inbox.told(self.place.ended)

    def _settle_left(self) -> None:
        """Settle the call that an earlier process left: by its report where there is one, else in full."""
        request = self._last("request")
        if request is None or not request.get("reservation"):
            return
        after = self.records[self.records.index(request) :]
        end = next((record for record in after if record["type"] in ("response", "request_failed")), None)
        if end is None:
            self.place.say("the process ended before Claude Code had reported what it used", "warn")
            self._fail(request, "interrupted", "the process ended before the report", charged="unknown")
        elif end["type"] == "response":
            self._settle(request, end)
        else:
            self.ledger.settle(request["reservation"], None, None, "released" if end["charged"] == "no" else "lost")

    # -- one call

    def _ask(self) -> None:
        self.time.check()
        if self.recording is not None:
            self._replay()
            return
        session, resume = self._session()
        left = self.ledger.left(self.who, self.limits)
        text = "\n\n".join([self._text(resume), *self._messages(resume)])
        request = self._reserve(left)
        most = {"turns": left["turns"], "usd": None if left["usd"] is None else request["usd"]}
        system = self.records[0]["system"]
        words = claude_words.command(self.program, self.place, session, resume=resume, system=system, most=most)
        self._take(request, self._call(words, text, left["tokens"]))

    def _session(self) -> tuple[str, bool]:
        """(the conversation's number, whether there is something to go on with)."""
        asked = False
        for record in reversed(self.records):
            if record["type"] == "session":
                return record["session_id"], asked
            if record["type"] == "request_failed" and record["error_type"] == "session":
                break  # it is not there any more
            asked = asked or record["type"] == "request"
        import uuid

        return self.note("session", session_id=str(uuid.uuid4()))["session_id"], False

    def _messages(self, resume: bool) -> list[str]:
        """What has come for the agent and is told with this call: Claude Code hears nothing while it works. What an
        earlier call may have been told and did not answer is told again."""
        agent = self.task["agent"]["id"]
        known = {each for record in self.records if record["type"] == "messages" for each in record["ids"]}
        found = inbox.waiting(agent, known)
        if found:
            ids = [message["id"] for message in found]
            self.note("messages", ids=ids, text=inbox.text(found))
            inbox.take(agent, ids)
            self.place.say(f"{plural(len(ids), 'message')} taken")
        answered = self._last("response") if resume else None
        since = 0 if answered is None else self.records.index(answered)
        return [record["text"] for record in self.records[since:] if record["type"] == "messages"]

    def _text(self, resume: bool) -> str:
        """What is said: the step, a correction, or that the conversation was interrupted."""
        last = self._last("response", "request_failed", "nudge")
        nudge = self._last("nudge")
        calls = claude_words.called(self.records)
        if not resume:
            return prompt.first(self.task, claude_words.listed(calls)) if calls else self.records[0]["first"]
        if last is not None and last["type"] == "nudge":
            return str(last["text"])
        response = self._last("response")
        unanswered = nudge is not None and (
            response is None or self.records.index(response) < self.records.index(nudge)
        )
        return claude_words.interrupted(calls, nudge["text"] if nudge is not None and unanswered else None)

    def _reserve(self, left: Record) -> Record:
        """Reserve the call against all limits, and journal it."""
        tokens, replies = _CALL
        usd = prices.worst(self.who["model"], tokens, replies, clock.now()[:10]) or 0.0
        if left["usd"] is not None:
            usd = max(min(left["usd"], max(self.task["limits"].get("usd") or 0.0, _SLICE)), 0.001)
        most = tokens + replies if left["tokens"] is None else max(min(left["tokens"], tokens + replies), 1)
        reservation = self.ledger.reserve(self.who, int(most), usd, self.limits)
        number = self._count("request") + 1
        return self.note("request", request=number, messages=1, digest=None, reservation=reservation, usd=usd)

    def _call(self, words: list[str], text: str, tokens: float | None) -> Watch:
        from colony_lib.work.agent.leash import Leash

        calls: float | None = self.task["limits"].get("tool_calls")
        if calls is not None:
            made = [*self.place.ended, self.records]  # by all attempts: a step's limits hold across its retries
            calls -= sum(len(claude_words.called(records)) for records in made)
        most = (self.task["budget"] or {}).get("tool_calls")
        if most is not None:
            left = self.ledger.calls_left(self.who, most)
            calls = left if calls is None else min(calls, left)
        given = claude_words.environment(self.place, self.task["agent"]["env"], self.sessions if self.keyed else None)
        leash = Leash(words, folder=self.place.folder, environment=given, source=text.encode())
        watch = Watch(self.place, leash, self.note, self.time, called=self._called, calls=calls, tokens=tokens)
        watch.listen()
        return watch

    def _called(self, call_id: str) -> None:
        """Count a call that Claude Code makes for the run's budget: it is begun, whatever is left."""
        if (self.task["budget"] or {}).get("tool_calls") is not None:
            self.ledger.call(self.who, digest(call_id), None)

    def _replay(self) -> None:
        from colony_lib.work.agent.client import Trouble

        try:
            reply = self.recording.ask({}, lambda kind, text: None, None)
        except Trouble as trouble:
            raise Over(trouble.error, again=False) from None
        number = self._count("request") + 1
        self.note("request", request=number, messages=1, digest=None, reservation=None, usd=0.0)
        self.note(
            "response", request=number, message_id=reply.message_id, request_id=None, model=reply.model,
            content=reply.content, stop_reason=reply.stop_reason, usage={}, cost_usd=0.0, price=None, reported=True,
            turns=1, error=None, subtype="replayed", status=None,
        )  # fmt: skip

    # -- what it came to

    def _take(self, request: Record, watch: Watch) -> None:
        """Journal and settle what a call came to, and raise what ends the attempt."""
        report = watch.report
        error = _ended(watch) if report is None else claude_watch.error(report)
        if claude_watch.GONE in (error or "") + watch.said:
            self._fail(request, "session", error or watch.said, charged="no")
            self.place.say("Claude Code does not know the conversation any more: a new one is begun", "warn")
        elif report is None:
            cannot = watch.code in _CANNOT_RUN or "error: unknown option" in watch.said
            self._fail(request, "ended", error or "", charged="no" if cannot else "unknown")
            raise watch.why or Over(error or "", again=not cannot)
        elif error and not report.get("total_cost_usd") and not any(claude_watch.usage(report).values()):
            status = report.get("api_error_status")
            self._fail(request, str(report.get("subtype")), error, charged="no", status=status)
            raise watch.why or claude_watch.verdict(report, error)
        else:
            self._settle(request, self._respond(request, report, error, watch))
        if watch.why is not None:
            raise watch.why

    def _fail(self, request: Record, kind: str, error: str, *, charged: str, status: int | None = None) -> None:
        self.note(
            "request_failed", request=request["request"], kind="again", status=status, error_type=kind,
            error=cut(error, 1000), wait_seconds=None, charged=charged,
        )  # fmt: skip
        self.ledger.settle(request["reservation"], None, None, "released" if charged == "no" else "lost")

    def _respond(self, request: Record, report: Record, error: str | None, watch: Watch) -> Record:
        given = report.get("structured_output")
        text = report.get("result") if given is None else jsontext.dumps(given)
        usage, usd = claude_watch.usage(report), float(report.get("total_cost_usd") or 0.0)
        turns = watch.turns or max(int(report.get("num_turns") or 1), 1)
        record = self.note(
            "response",
            request=request["request"],
            message_id=report.get("session_id"),
            request_id=None,
            model=self.who["model"],
            content=[{"type": "text", "text": text}] if text and error is None else [],
            stop_reason=report.get("stop_reason"),
            usage=usage,
            cost_usd=usd,
            price=None,
            reported=True,
            turns=turns,
            error=error,
            subtype="stopped" if watch.why is not None else report.get("subtype"),
            status=report.get("api_error_status"),
        )
        read = usage["cache_read_input_tokens"]
        sent = f"{usage['input_tokens'] + read + usage['cache_creation_input_tokens']:,} tokens in"
        cached = f" ({read:,} cached)" if read else ""
        out = f"{usage['output_tokens']:,} out, {prices.shown(usd)} as Claude Code reports"
        self.place.say(f"{plural(turns, 'turn')}: {sent}{cached}, {out}")
        return record

    def _settle(self, request: Record, response: Record) -> None:
        """Enter what was reported in the place of what was reserved. Done again it does nothing."""
        used, usd = response["usage"], response["cost_usd"]
        self.ledger.record(self.who, used, usd, key=response["id"], requests=response["turns"])
        self.ledger.settle(request["reservation"], None, None, "released")

    # -- its answer

    def _judge(self, last: Record) -> None:
        """Take the answer as the output, or say what is wrong with it, or go on after what only paused it."""
        if last["error"] is not None:
            if last["subtype"] not in ("error_max_turns", "error_max_budget_usd"):
                raise claude_watch.verdict({**last, "api_error_status": last["status"]}, last["error"])
            # What this call might use is used up; whether there is more, the next reservation will say.
            self.note("nudge", kind="go on", text=claude_words.GO_ON)
            return
        schema = self.task["schema"]
        problem: str | None
        try:
            text = "".join(block["text"] for block in last["content"])
            output = answer.value(text, wants_json=schema is not None)
            problem = answer.problem(output, schema)
        except ColonyError as error:
            output, problem = None, error.what
        if problem is None:
            self._end("completed", output=output)
        elif sum(record["type"] == "nudge" and record["kind"] == "repair" for record in self.records) < REPAIRS:
            self.place.say(f"the answer is not the output yet: {problem}", "warn")
            self.note("nudge", kind="repair", text=prompt.repair(problem))
        else:
            raise Over(f"after {plural(REPAIRS, 'correction')} {problem}")


def _ended(watch: Watch) -> str:
    """How it ended without a report."""
    how = f"exit status {watch.code}" if watch.code < 128 else f"signal {watch.code - 128}"
    return f"claude ended without a report ({how})" + (f": {cut(watch.said, 400)}" if watch.said else "")
