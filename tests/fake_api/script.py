"""What is answered: which conversation a request belongs to, which reply its turn has, and which fault comes first."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from tests.fake_api.faults import FAULTS, SETTINGS
from tests.fake_api.forms import Object, Refused, blocks, digest, signature
from tests.fake_api.record import Request

Answer = Callable[[Request], Object | None]
Script = dict[str, list[Object]]
Given = Script | dict[str, Answer] | dict[str, list[Object] | Answer] | Answer
_KEYS = {
    "text", "json", "thinking", "tools", "stop", "stop_details", "stop_sequence", "usage", "delay", "drip", "faults",
}  # fmt: skip


def check(reply: Object) -> None:
    """ValueError for a reply that no test can have meant."""
    unknown = set(reply) - _KEYS
    if unknown:
        raise ValueError(f"a reply has no '{sorted(unknown)[0]}': {reply}")
    for item in reply.get("faults") or []:
        fault = {"fault": item} if isinstance(item, str) else item
        if "fault" not in fault:
            check(fault)
        elif fault["fault"] not in FAULTS or set(fault) - SETTINGS:
            raise ValueError(f"this is no fault: {item}")


class Scripted:
    """The script, which may change meanwhile, and how many of the faults of each turn have happened."""

    def __init__(self, given: Given) -> None:
        self.given = given
        self.used: Counter[tuple[str | None, int]] = Counter()
        self._lock = threading.Lock()
        for replies in given.values() if isinstance(given, dict) else ():
            for reply in replies if isinstance(replies, list) else ():
                check(reply)

    def conversation(self, body: Object) -> str | None:
        """The text of the script by which the request is known; with a function, how its first message begins."""
        first = _texts(body["messages"][0].get("content"))
        if not isinstance(self.given, dict):
            return first[:60]
        for place in (first, _texts(body.get("system"))):
            for marker in self.given:
                if marker in place:
                    return marker
        return None

    def reply(self, request: Request) -> tuple[Object, Object]:
        """(reply, fault or {}) for this request. Refused when there is none."""
        scripted = self._scripted(request)
        if scripted is None:
            raise Refused(f"the script has no reply {request.turn} for '{request.conversation}'")
        item = self._once(request, scripted.get("faults") or [])
        if item is None:
            return scripted, {}
        request.once = True
        fault = {"fault": item} if isinstance(item, str) else item
        return (scripted, fault) if "fault" in fault else (fault, {})

    def _scripted(self, request: Request) -> Object | None:
        given = self.given
        replies: Any = given.get(request.conversation or "", []) if isinstance(given, dict) else given
        try:
            if callable(replies):
                reply: Object | None = replies(request)
            else:
                reply = replies[request.turn] if request.turn < len(replies) else None
            check(reply or {})
        except Exception as error:  # whatever a test's function fails on
            raise Refused(f"the script failed: {error!r}") from error
        return reply

    def _once(self, request: Request, items: list[Any]) -> Any:
        with self._lock:
            number = self.used[request.conversation, request.turn]
            if number >= len(items):
                return None
            self.used[request.conversation, request.turn] += 1
        return items[number]


def _texts(content: Any) -> str:
    """All that a content says."""
    found = []
    for block in blocks(content):
        found.append(block.get("text") or "")
        if block.get("type") == "tool_result":
            found.append(_texts(block.get("content")))
    return "\n".join(found)


def content(reply: Object, request: Request) -> list[Object]:
    """The blocks of a reply, the same ones whenever the same request asks for it."""
    found: list[Object] = []
    if reply.get("thinking"):
        bound = signature(request.body, len(request.body["messages"]))
        found.append({"type": "thinking", "thinking": reply["thinking"], "signature": bound})
    text = json.dumps(reply["json"], ensure_ascii=False) if "json" in reply else reply.get("text")
    if text:
        found.append({"type": "text", "text": text})
    for number, (name, given) in enumerate(reply.get("tools") or []):
        call = f"toolu_{digest(request.conversation)[:8]}_{request.turn}_{number}"
        found.append({"type": "tool_use", "id": call, "name": name, "input": given})
    return found


def message(reply: Object, request: Request) -> Object:
    """The whole reply, but for its usage."""
    said = content(reply, request)
    ends = reply.get("stop", "tool_use" if reply.get("tools") else "end_turn")
    refused = {"type": "refusal", "category": None, "explanation": None} if ends == "refusal" else None
    return {
        "id": f"msg_{digest([request.conversation, request.turn, said, ends])}",
        "type": "message",
        "role": "assistant",
        "model": request.body["model"],
        "content": said,
        "stop_reason": ends,
        "stop_sequence": reply.get("stop_sequence"),
        "stop_details": reply.get("stop_details", refused),
    }
