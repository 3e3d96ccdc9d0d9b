"""What a request counts: tokens by the length of its canonical JSON, and a prompt cache that remembers what was marked."""

from __future__ import annotations

import hashlib
from typing import Any

from tests.fake_api.forms import Object, blocks, canonical, plain

LEAST = 256  # tokens of a prefix that is worth remembering
_BACK = 20  # blocks before a mark at which a remembered prefix is looked for


def estimate(value: Any) -> int:
    return len(canonical(value).encode()) // 4 + 1


class Prompt:
    """The prompt of a request block by block: to each block the name of all up to it, the tokens of that, and its mark."""

    def __init__(self, body: Object) -> None:
        self.names: list[str] = []
        self.sizes: list[int] = []
        self.marks: list[Object | None] = []
        known = hashlib.sha256(str(body["model"]).encode())
        size = 0
        for kind, block in _sections(body):
            data = canonical([kind, plain(block)]).encode()
            known.update(data)
            size += len(data)
            self.names.append(known.copy().hexdigest())
            self.sizes.append(size // 4)
            self.marks.append(block.get("cache_control"))
        if body.get("cache_control"):
            self.marks[-1] = body["cache_control"]

    def total(self) -> int:
        return self.sizes[-1]

    def marked(self) -> list[int]:
        """Where the marks are that count: not before so short a prefix that it is not worth it."""
        return [at for at, mark in enumerate(self.marks) if mark and self.sizes[at] >= LEAST]


def _sections(body: Object) -> list[tuple[str, Object]]:
    found = [("tool", tool) for tool in body.get("tools") or []]
    found += [("system", block) for block in blocks(body.get("system"))]
    return found + [(message["role"], block) for message in body["messages"] for block in blocks(message["content"])]


class Cache:
    """The prefixes that were sent with a mark at their end. The caller sees to it that one request asks at a time."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def input(self, body: Object) -> Object:
        """The input's part of `usage`; its marked prefixes are remembered from now on."""
        prompt = Prompt(body)
        marked = prompt.marked()
        looked = {at for mark in marked for at in range(max(0, mark - _BACK), mark + 1)}
        read = max((prompt.sizes[at] for at in looked if prompt.names[at] in self._names), default=0)
        written = max(prompt.sizes[marked[-1]] - read, 0) if marked else 0
        self._names.update(prompt.names[at] for at in marked)
        an_hour = bool(marked) and (prompt.marks[marked[-1]] or {}).get("ttl") == "1h"
        return {
            "input_tokens": prompt.total() - read - written,
            "cache_creation_input_tokens": written,
            "cache_read_input_tokens": read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": 0 if an_hour else written,
                "ephemeral_1h_input_tokens": written if an_hour else 0,
            },
        }
