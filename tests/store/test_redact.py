"""Secrets: no form in which a value may show gets through."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest

from colony_lib.store.redact import Redactor

SECRETS = ["hunter2-hunter2", "s3cr/t+=&? x", "quo'te\"d$`\\back", "žluťoučký-kůň", "AKIA" + "x" * 40, "a%2Fb%20c"]
FORMS: dict[str, Callable[[str], str]] = {
    "plain": lambda s: s,
    "json": json.dumps,
    "json, not ascii": lambda s: json.dumps(s, ensure_ascii=False),
    "json in json": lambda s: json.dumps(json.dumps({"k": s})),
    "url": quote,
    "url, all": lambda s: quote(s, safe=""),
    "url, form": quote_plus,
    "url, lower": lambda s: quote(s, safe="").lower() if s.islower() else quote(s, safe=""),
    "shell": shlex.quote,
    "shell in json": lambda s: json.dumps(shlex.quote(s)),
    "repr in json": lambda s: json.dumps(repr(s)),
    "repr": repr,
    "base64": lambda s: base64.b64encode(s.encode()).decode(),
    "base64 at 1": lambda s: base64.b64encode(b"x" + s.encode() + b"tail").decode(),
    "base64 at 2": lambda s: base64.b64encode(b"xy" + s.encode() + b"z").decode(),
    "base64, url": lambda s: base64.urlsafe_b64encode(s.encode()).decode(),
    "hex": lambda s: s.encode().hex(),
}


def shown(text: str, secret: str) -> bool:
    """Whether a good part of the secret is still there, plain or encoded."""
    pieces = {secret, json.dumps(secret)[1:-1], quote(secret, safe=""), secret.encode().hex()}
    pieces |= {base64.b64encode(b"\0" * n + secret.encode()).decode()[4:-4] for n in range(3)}
    return any(len(piece) >= 6 and piece in text for piece in pieces)


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_replaced_by_the_name(secret: str, form: str) -> None:
    text = Redactor({"API_KEY": secret}).text(f"before {FORMS[form](secret)} after")
    assert "[API_KEY]" in text and text.startswith("before ") and text.endswith(" after")
    assert not shown(text, secret)


def test_a_value_of_several_lines_is_replaced_line_by_line() -> None:
    secret = "-----BEGIN-----\nabcdefgh\nijklmnop\n-----END-----"
    text = Redactor({"KEY": secret}).text("x\nabcdefgh\ny ijklmnop")
    assert text == "x\n[KEY]\ny [KEY]"


def test_short_values_are_left_alone_and_nothing_is_no_redactor() -> None:
    assert Redactor({"A": "12345"}).text("12345") == "12345"
    assert not Redactor({}) and Redactor({"A": "123456"})


def test_bytes_that_are_no_text_keep_their_other_bytes() -> None:
    assert Redactor({"K": "secret-1"}).data(b"\xff\xfesecret-1\x00\x80") == b"\xff\xfe[K]\x00\x80"


def test_the_longest_secret_wins_where_one_holds_another() -> None:
    redactor = Redactor({"SHORT": "abcdef", "LONG": "abcdef-and-more"})
    assert redactor.text("abcdef-and-more abcdef") == "[LONG] [SHORT]"
