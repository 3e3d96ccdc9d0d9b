"""The loop between a model and its tools, until the step has its output or cannot have it.

What to do next is always read off the conversation, which is the fold of the transcript: a process that goes on with a
conversation that another one began does exactly what that one would have done.
"""

from __future__ import annotations

from colony_lib.base.errors import ColonyError
from colony_lib.base.text import plural, show_duration
from colony_lib.store import prices, spending
from colony_lib.work.agent import answer, inbox, limits, prompt
from colony_lib.work.agent.asking import Asking, Paused
from colony_lib.work.agent.client import Trouble
from colony_lib.work.agent.conversation import Conversation, digest
from colony_lib.work.agent.place import Ending

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from colony_lib.work.agent.place import Place
    from colony_lib.work.tools import Tools

    Record = dict[str, Any]

REPAIRS = 2  # corrections of an answer that is not what was asked for
_CUTS = 2  # replies in a row that reach max_tokens
_EMPTY = 2  # replies in a row without content
_FULL = 0.8  # of the model's window: then it hands over to itself
_RESULT = 12_000  # tokens that a turn's results take at least of it
_SAME = (3, 5)  # equal calls with equal results in a row: when the model is told, and when the step ends


class _Over(Exception):
    """The conversation has come to an end that is no answer."""

    def __init__(self, error: str, *, again: bool = True) -> None:
        super().__init__(error)
        self.error = error
        self.again = again


class Loop:
    """One attempt's part of a conversation. `asking` asks the model (or a recording), `tools` does what it calls
    for."""

    def __init__(self, place: Place, talk: Conversation, asking: Asking, tools: Tools, clock: limits.Time) -> None:
        self.place = place
        self.talk = talk
        self.asking = asking
        self.tools = tools
        self.clock = clock
        self._limits = place.task["limits"]
        # Of all attempts, other conversations' too: a step's limits hold across its retries.
        self._calls_before = sum(r["type"] == "tool_started" for records in place.ended for r in records)
        self._turns_before = sum(r["type"] == "response" for records in place.ended for r in records)

    def go(self) -> Ending:
        """Go on until there is an end; it is in the transcript when this returns."""
        try:
            while self.talk.final is None:
                self._next()
        except Paused as paused:
            self.asking.note("paused", error=paused.error, until=paused.until)
            return Ending("limited", error=paused.error, until=paused.until)
        except _Over as over:
            self._end("failed", error=over.error, again=over.again)
        except Trouble as trouble:
            self._end("failed", error=trouble.error, again=trouble.kind == "again")
        except spending.LimitReached as reached:
            self._end("failed", error=str(reached), again=False, limit=True)
        final = self.talk.final
        assert final is not None
        return Ending(final["status"], output=final["output"], error=final["error"], again=final["again"])

    def _end(
        self, status: str, *, output: Any = None, error: str | None = None, again: bool = True, limit: bool = False
    ) -> None:
        more = {"limit": True} if limit else {}  # for whoever is to be told of limits
        self.asking.note("final", status=status, output=output, error=error, again=again, **more)

    def _next(self) -> None:
        undone = self.talk.undone()
        if undone:
            for call in undone:
                self._call(call)
        elif self.talk.is_answered() and self.talk.handing_over:
            self.asking.note("compact", text=prompt.notes(self.talk.answer()))
        elif self.talk.is_answered():
            self._judge()
        else:
            self._ask()

    # -- the model

    def _ask(self) -> None:
        self.clock.check()
        self._look_at_last()
        if self.talk.open:
            self._add_to_turn()
        begun = self.talk.begun
        assert begun is not None
        # Notes for itself are no answer, and need not look like one.
        self.asking.reply(begun["system"], begun["tools"], None if self.talk.handing_over else begun["form"])

    def _look_at_last(self) -> None:
        """What a reply that is no part of the conversation means."""
        last = self.talk.last
        if last is None:
            return
        reason = last["stop_reason"]
        if reason == "refusal":
            raise _Over("the model refused the step", again=False)
        if reason == "model_context_window_exceeded":
            raise _Over("the conversation has become too long for the model; make smaller steps of it", again=False)
        if self.talk.cut >= _CUTS:
            raise _Over(f"the model's reply was cut off at max_output_tokens {_CUTS} times in a row")
        if self.talk.empty >= _EMPTY:
            raise _Over(f"the model gave no answer {_EMPTY} times in a row")
        if self.talk.cut:
            self.asking.max_tokens = self.asking.longest

    def _add_to_turn(self) -> None:
        """What is said to the model with the results: messages that have come, and that its last turn is here."""
        agent = self.place.task["agent"]["id"]
        found = [] if self.place.task.get("replay") else inbox.waiting(agent, self.talk.inbox)
        if found:
            ids = [message["id"] for message in found]
            self.asking.note("messages", ids=ids, text=inbox.text(found))
            inbox.take(agent, ids)
            self.place.say(f"{plural(len(ids), 'message')} taken")
        turns = self._limits.get("turns")
        used = self._turns_before + self.talk.replies
        if turns is not None and used == turns - 1 and used > 0 and "finish" not in self.talk.nudges:
            self.asking.note("nudge", kind="finish", text=prompt.FINISH)
        elif self._is_full() and not self.talk.handing_over:
            self.place.say(
                "the conversation is nearly as long as the model can hold: it sums up, and goes on with that"
            )
            self.asking.note("nudge", kind="hand over", text=prompt.HAND_OVER)

    def _is_full(self) -> bool:
        """Whether the model's window may not hold another turn."""
        window: int | None = prices.facts(self.asking.model).get("context")
        if not window:
            return False
        return self.talk.context > min(_FULL * window, max(window - self.asking.max_tokens - _RESULT, window / 2))

    # -- its answer

    def _judge(self) -> None:
        """Take the answer as the output, or say what is wrong with it."""
        schema = self.place.task["schema"]
        problem: str | None
        try:
            output = answer.value(self.talk.answer(), wants_json=schema is not None)
            problem = answer.problem(output, schema)
        except ColonyError as error:
            output, problem = None, error.what
        if problem is None:
            self._end("completed", output=output)
        elif self.talk.nudges.get("repair", 0) < REPAIRS:
            self.place.say(f"the answer is not the output yet: {problem}", "warn")
            self.asking.note("nudge", kind="repair", text=prompt.repair(problem))
        else:
            raise _Over(f"after {plural(REPAIRS, 'correction')} {problem}")

    # -- its tools

    def _call(self, call: Record) -> None:
        name, given, call_id = call["name"], call["input"], call["id"]
        effect = self.tools.effect(name, given)
        started = self.talk.started.get(call_id)
        if started is not None and started["effect"] == "write":
            self.place.say(f"{name}: its outcome is not known, and the model is told so", "warn")
            self._ended(call_id, prompt.UNKNOWN, is_error=True, unknown=True)
            return
        most = self._limits.get("tool_calls")
        if started is None and self.talk.handing_over:
            self._ended(call_id, prompt.NOT_NOW, is_error=True)
            return
        if started is None:
            if most is not None and self._calls_before + self.talk.tool_calls >= most:
                self._ended(call_id, prompt.TOO_MANY.format(limit=most), is_error=True)
                return
            key = digest([self.place.task["run"], self.place.task["step"], self.place.task["batch"], call_id])
            try:
                limits.take_call(self.asking.ledger, self.place.task, self.asking.model, key)
            except spending.LimitReached as reached:
                self._ended(call_id, f"not done: {reached.what}; give the step's output now", is_error=True)
                return
            started = self.asking.note(
                "tool_started", tool_use_id=call_id, name=name, input_digest=digest(given), effect=effect, key=key
            )
        self.place.say(f"→ {_shown(name, given)}")
        done = self.tools.call(
            name, given, key=started["key"], deadline=self.place.deadline, started=lambda pid: None, asked=lambda: False
        )
        status = "" if done.exit_status in (None, 0) else f", exit status {done.exit_status}"
        self.place.say(f"← {name} in {show_duration(done.seconds)}{status}" + (" (an error)" if done.is_error else ""))
        self._ended(
            call_id, done.content, is_error=done.is_error, exit_status=done.exit_status, seconds=done.seconds,
            output_file=done.output_file,
        )  # fmt: skip
        self._watch_progress()

    def _ended(
        self, call_id: str, content: str, *, is_error: bool, exit_status: int | None = None, seconds: float = 0.0,
        output_file: str | None = None, unknown: bool = False,
    ) -> None:  # fmt: skip
        self.asking.note(
            "tool_ended",
            tool_use_id=call_id,
            is_error=is_error,
            content=content or "(no output)",
            exit_status=exit_status,
            seconds=round(seconds, 3),
            output_file=output_file,
            unknown=unknown,
        )

    def _watch_progress(self) -> None:
        same = self.talk.same_calls()
        if same >= _SAME[1]:
            raise _Over(f"no progress: the same call has given the same result {same} times in a row")
        if same == _SAME[0]:
            self.asking.note("nudge", kind="looping", text=prompt.LOOPING)


def _shown(name: str, given: Any) -> str:
    """A call as the log shows it."""
    from colony_lib.base import jsontext
    from colony_lib.base.text import cut

    if isinstance(given, dict) and len(given) >= 1:
        first = next(iter(given.values()))
        if isinstance(first, list):
            first = " ".join(map(str, first))
        if isinstance(first, str):
            return f"{name}: {cut(' '.join(first.split()), 160)}"
    return f"{name} {cut(jsontext.dumps(given), 160)}"
