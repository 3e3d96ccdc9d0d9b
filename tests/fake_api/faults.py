"""The ways in which a request fails, by name: what is answered, and how a stream ends that does not end well."""

from __future__ import annotations

from tests.fake_api.forms import Object

# Fault: (status, type, message).
ERRORS = {
    "400": (400, "invalid_request_error", "the request is invalid"),
    "400-too-long": (400, "invalid_request_error", "prompt is too long: 250000 tokens > 200000 maximum"),
    "401": (401, "authentication_error", "invalid x-api-key"),
    "402": (402, "billing_error", "the credit balance is too low"),
    "403": (403, "permission_error", "not allowed"),
    "404": (404, "not_found_error", "model: no such model"),
    "408": (408, "timeout_error", "the request timed out"),
    "413": (413, "request_too_large", "the request is larger than allowed"),
    "429": (429, "rate_limit_error", "too many requests"),
    "429-spend": (429, "rate_limit_error", "the spend limit is reached"),
    "500": (500, "api_error", "something broke"),
    "503": (503, "api_error", "unavailable"),
    "529": (529, "overloaded_error", "overloaded"),
}
UNANSWERED = ("html", "reset", "hang")  # nothing of a reply is sent
PARTS = ("cut", "clean-early-end", "broken-body", "error-event", "null-content")  # a reply was made, and is not whole
FAULTS = (*ERRORS, *UNANSWERED, *PARTS)
CHARGED = ("reply", *PARTS)
SETTINGS = {"fault", "retry_after", "headers", "message", "status", "seconds", "after", "reset", "delay"}
OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}


def error(name: str, message: str | None = None) -> tuple[int, Object]:
    """(status, body) of the API's answer."""
    status, kind, words = ERRORS[name]
    said: Object = {"type": kind, "message": message or words}
    if name == "429-spend":
        said["details"] = {"error_code": "enforced_spend_limit_reached"}
    return status, {"type": "error", "error": said, "request_id": "req_test"}


def headers(fault: Object) -> dict[str, str]:
    """The headers that come with a fault's answer."""
    wait = fault.get("retry_after", 1 if fault["fault"] == "429" else None)
    return {**({} if wait is None else {"retry-after": str(wait)}), **(fault.get("headers") or {})}
