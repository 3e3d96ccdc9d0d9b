"""The runner 'api': a model of the Messages API does the step with Colony's own tools, by Colony's own loop."""

from __future__ import annotations

import os
import sys

from colony_lib.base.errors import USAGE, ColonyError
from colony_lib.store import env, paths, prices, redact
from colony_lib.work.agent import answer, inbox, limits, prompt
from colony_lib.work.agent.conversation import Conversation
from colony_lib.work.agent.place import Ending

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from colony_lib.work.agent.place import Place
    from colony_lib.work.tools import Tools

    Record = dict[str, Any]

_MAX_TOKENS = 16_000  # of one reply, unless the agent says otherwise


def missing(known: dict[str, str]) -> ColonyError | None:
    """What is wrong when there is no key, in the environment or in the agent's (`known`); else None."""
    if env.get("ANTHROPIC_API_KEY") or known.get("ANTHROPIC_API_KEY"):
        return None
    fix = "export it, or write it into the env_file of colony.yml"
    return ColonyError("ANTHROPIC_API_KEY is not set, which a model needs", fix=fix, code=USAGE)


def perform(place: Place, context: Record) -> Ending:
    """Do the step, or go on with it where an earlier attempt was cut off."""
    from colony_lib.work.agent.asking import Asking
    from colony_lib.work.agent.client import Client
    from colony_lib.work.agent.loop import Loop
    from colony_lib.work.agent.replay import Recording

    task = place.task
    before = place.before
    tools = _tools(place)
    talk = Conversation(before)
    record = place.begin({} if before else _beginning(place, tools))
    talk.apply(record)
    begun = talk.begun
    assert begun is not None
    if before:
        place.say(f"going on with attempt {record['continues']} after {talk.replies} replies")
    if task.get("replay"):
        source: Any = Recording(task["replay"], task["step"], task["batch"], len(place.ended), talk.replies)
    else:
        source = Client()
    longest = prices.facts(begun["model"]).get("max_output") or begun["max_tokens"]
    asking = Asking(place, talk, source, begun["model"], begun["max_tokens"], max(longest, begun["max_tokens"]))
    asking.settle_left(before)
    return Loop(place, talk, asking, tools, limits.Time(task, limits.taken(place.conversations))).go()


def _beginning(place: Place, tools: Tools) -> Record:
    """What the conversation is begun with: all that must stay the same in it, whoever goes on with it."""
    task = place.task
    model = task["model"]
    if model["warning"]:
        place.say(model["warning"], "warn")
    most = prices.facts(model["model"]).get("max_output") or _MAX_TOKENS
    return {
        "runner": "api",
        "model": model["model"],
        "asked": model["asked"],
        "system": prompt.system(task["agent"], task["shared_paths"]),
        "tools": tools.definitions,
        "first": prompt.first(task, _earlier(place.ended)),
        "schema": task["schema"],
        "form": answer.form(task["schema"]),
        "max_tokens": min(task["agent"].get("max_output_tokens") or _MAX_TOKENS, most),
        "limits": task["limits"],
    }


def _earlier(conversations: list[list[Record]]) -> list[str]:
    """What a new conversation has to know of those that failed before it: which messages had come, why the last one
    failed, and what it did that may have had effects."""
    found = []
    told = inbox.told(conversations)
    for records in conversations[-1:]:
        talk = Conversation(records)
        if talk.final is not None and talk.final.get("error"):
            found.append(f"It failed: {talk.final['error']}")
        unknown = {record["tool_use_id"] for record in records if record["type"] == "tool_ended" and record["unknown"]}
        said = [block for message in talk.messages if message["role"] == "assistant" for block in message["content"]]
        calls = {block["id"]: block for block in said if block.get("type") == "tool_use"}
        for record in records:
            if record["type"] == "tool_started" and record["effect"] != "read":
                call = calls.get(record["tool_use_id"])
                doubt = " (its outcome is not known)" if record["tool_use_id"] in unknown else ""
                found.append(
                    f"- it called {record['name']}{'' if call is None else ' ' + _short(call['input'])}{doubt}"
                )
    return found[:1] + found[1:][-20:] + told


def _short(value: Any) -> str:
    from colony_lib.base import jsontext
    from colony_lib.base.text import cut

    return cut(jsontext.dumps(value), 300)


def _tools(place: Place) -> Tools:
    from colony_lib.work.tools import Setting
    from colony_lib.work.tools import Tools as Made

    agent = place.task["agent"]
    names = [*agent["env"], "COLONY_ROOT", *env.STEP_VARIABLES.values(), "COLONY_SECRETS"]
    known = {name: value for name in names if (value := env.get(name)) is not None and name != "COLONY_OUTPUT"}
    setting = Setting(
        root=paths.root(),
        folder=place.folder,
        shared=place.task["shared_paths"],
        scratch=place.home,
        outputs=os.path.join(place.own, "outputs"),
        environment=known,
        bin=os.path.dirname(os.path.realpath(sys.argv[0])),
        tools=agent.get("tools"),
        scripts=agent.get("scripts") or [],
        env_file=place.task["env_file"],
        permissions=agent.get("permissions") or {},
        network=bool(agent.get("network")),
        redact=redact.Redactor(env.secret_values()).text,
    )
    return Made(setting)
