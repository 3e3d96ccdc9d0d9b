"""What requests to a model cost, by the dated prices of store.models; None where nobody knows."""

from __future__ import annotations

from colony_lib.store import models

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Record = dict[str, Any]

_MILLION = 1_000_000


def facts(model: str) -> Record:
    """What is known of a model (models.fact): {context, max_output, family, prices …}; {} for an unknown one."""
    return models.fact(model)


def cost(model: str, usage: Record, day: str) -> tuple[float | None, str | None]:
    """(US dollars, price id) of one request of that day (YYYY-MM-DD, UTC), by its `usage` as the API has it:
    {input_tokens, output_tokens, cache_creation_input_tokens, cache_read_input_tokens, cache_creation:
    {ephemeral_5m_input_tokens, ephemeral_1h_input_tokens}}. (None, None) when the price is not known."""
    write = _count(usage, "cache_creation_input_tokens")
    hour = min(_count(usage.get("cache_creation") or {}, "ephemeral_1h_input_tokens"), write)
    fresh, read = _count(usage, "input_tokens"), _count(usage, "cache_read_input_tokens")
    price, name = _price(model, day, fresh + write + read)
    if price is None or (hour and "cache_write_1h" not in price):
        return None, None
    total: float = (
        fresh * price["input"] + _count(usage, "output_tokens") * price["output"] + read * price["cache_read"]
    )
    total += (write - hour) * price["cache_write_5m"]
    total += hour * price["cache_write_1h"] if hour else 0
    return round(total / _MILLION, 9), name


def worst(model: str, prompt_tokens: int, max_tokens: int, day: str) -> float | None:
    """US dollars that a request can cost at most: nothing read from the cache, all of the prompt written to it, the
    reply as long as it may be. None when the price is not known."""
    price, _ = _price(model, day, prompt_tokens)
    if price is None:
        return None
    prompt = max(price["input"], price["cache_write_5m"])
    total: float = prompt_tokens * prompt + max_tokens * price["output"]
    return round(total / _MILLION, 9)


def shown(usd: float) -> str:
    """'$4.97'; small amounts with as many places as tell something: '$0.0021'."""
    return f"${usd:,.2f}" if usd >= 0.0995 or usd == 0 else f"${max(usd, 0.0001):.4f}"


def amount(tokens: int, usd: float) -> str:
    """'45.2k $0.12', for narrow columns; '' for nothing."""
    size = f"{tokens / 1e6:.1f}M" if tokens >= 999_950 else f"{tokens / 1e3:.1f}k" if tokens >= 1000 else str(tokens)
    return f"{size} {shown(usd)}" if tokens or usd else ""


def _price(model: str, day: str, prompt_tokens: int) -> tuple[Record | None, str | None]:
    """(the dollars for a million tokens, the price's id) of a request with so long a prompt."""
    fact = models.fact(model)
    listed = [price for price in fact.get("prices", []) if price.get("from", "") <= day]
    if not listed:
        return None, None
    price: Record = max(listed, key=lambda each: each.get("from", ""))
    since = price.get("from")
    name = price.get("id") or fact["id"] + (f"/{since}" if since else "")
    over = price.get("over")
    if over and prompt_tokens > over["above_prompt_tokens"]:
        return over, f"{name}/long"
    return price, name


def _count(usage: Record, key: str) -> int:
    value = usage.get(key)
    return value if isinstance(value, int) and value > 0 else 0
