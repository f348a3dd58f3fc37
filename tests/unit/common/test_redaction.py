"""Secrets are masked where they are shown, and a mask that is sent back stands for what it hid."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterm.common.redaction import MASK, SECRET_PATTERN, SecretNames, check_pattern, redact, redact_text, restore


@pytest.mark.parametrize(
    "key",
    [
        *(
            "password",
            "PASSWORD",
            "db_password",
            "dbPassword",
            "passwd",
            "passphrase",
            "passwords",
            "ansible_become_pass",
        ),
        *("ansible_ssh_pass", "secret", "client_secret", "secrets", "token", "github_token", "auth_tokens"),
        *("credentials", "private_key", "privateKey", "api_key", "apikey", "aws_access_key", "auth_key"),
    ],
)
@pytest.mark.parametrize("value", ["canary", 7, 0, False, ["canary"], {"a": "canary"}], ids=repr)
def test_a_value_whose_key_looks_secret_is_masked(key: str, value: object) -> None:
    assert redact({"a": [{key: value}]}) == {"a": [{key: MASK}]}


@pytest.mark.parametrize(
    "key", ["user", "host", "transition", "bypass_proxy", "key", "keyboard", "compass_direction", "authority"]
)
def test_other_values_are_shown(key: str) -> None:
    assert redact({key: "shown"}) == {key: "shown"}


@pytest.mark.parametrize("value", [None, "", [], {}], ids=repr)
def test_nothing_is_shown_as_nothing(value: object) -> None:
    assert redact({"password": value}) == {"password": value}


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+$",
        "(a*)*b",
        "(a|a)*b",
        "(x(y|z)+)+",
        "(a?){30}a",
        "(?:a{1,9}){2,}",
        "(.*a){12}",
        "(?P<n>a+)+?b",
        "((a)|b)+",
    ],
)
def test_a_pattern_that_may_take_exponential_time_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="which can take hours"):
        check_pattern(pattern)


@pytest.mark.parametrize("pattern", ["(", "*", "a{2,1}", "(?P<a", "(" * 200_000])
def test_a_pattern_that_is_no_regular_expression_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="is not a regular expression"):
        check_pattern(pattern)


@pytest.mark.parametrize(
    "pattern", ["", SECRET_PATTERN, "^(pin|puk)_?[0-9]*$", "token(?!izer)", "(?<!public_)key", "[a-z]+_key"]
)
def test_other_patterns_are_accepted(pattern: str) -> None:
    check_pattern(pattern)


@pytest.mark.timeout(20)
def test_a_very_long_name_is_secret_and_takes_no_time() -> None:
    names = SecretNames("a*a*a*b")
    assert names.hide("a" * 100_000, "x")
    assert not names.hide("a" * 100, "x")


_keys = st.sampled_from(["user", "password", "api_token", "env", "list", "secrets"])
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text().filter(lambda text: text != MASK),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(_keys, values, max_size=4),
    max_leaves=12,
)
_objects = st.dictionaries(_keys, _values, max_size=4)


@given(_objects)
def test_what_is_shown_and_sent_back_is_what_it_was(original: dict[str, Any]) -> None:
    before = json.dumps(original)
    shown = redact(original)
    assert restore(shown, original) == original
    assert redact(shown) == shown
    assert json.dumps(original) == before


@given(_objects, _objects)
def test_what_was_not_masked_replaces_what_was_there(original: dict[str, Any], new: dict[str, Any]) -> None:
    assert restore(new, original) == new


def test_no_secret_is_shown_however_deep_it_lies() -> None:
    deep: Any = {"password": "canary"}
    for _ in range(50):
        deep = {"vars": [deep, {"token": ["canary"]}]}
    assert "canary" not in json.dumps(redact(deep))


def test_a_mask_without_anything_behind_it_is_a_value_like_any_other() -> None:
    assert restore({"password": MASK}, {}) == {"password": MASK}
    assert restore([MASK], {"password": "canary"}) == [MASK]


def test_a_changed_list_takes_no_secret_from_another_place() -> None:
    original = {"users": [{"name": "ann", "password": "canary"}, {"name": "bob", "password": "other"}]}
    shorter = {"users": [{"name": "bob", "password": MASK}]}
    assert "canary" not in json.dumps(restore(shorter, original))


CANARY = "c4n4ry"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"password={CANARY} user=bob", f"password={MASK} user=bob"),
        (f"DB_PASSWORD: '{CANARY} and more'", f"DB_PASSWORD: {MASK}"),
        (f'{{"client_secret": "{CANARY}", "user": "bob"}}', f'{{"client_secret": {MASK}, "user": "bob"}}'),
        (f'{{\\"apiKey\\": \\"{CANARY}\\"}}', f'{{\\"apiKey\\": {MASK}}}'),
        (f"Authorization: Bearer {CANARY}", f"Authorization: Bearer {MASK}"),
        (f"http://bob:{CANARY}@proxy:8080/", f"http://bob:{MASK}@proxy:8080/"),
        (f'{{"credentials": {{"user": "x", "pin": ["{CANARY}"]}}, "a": 1}}', f'{{"credentials": {MASK}, "a": 1}}'),
        (f"tokens=['{CANARY} ]', {{'a': '{CANARY}'}}] user=bob", f"tokens={MASK} user=bob"),
        (f'{{\\"secrets\\": {{\\"a\\": \\"{CANARY}}}\\"}}, \\"b\\": 1}}', f'{{\\"secrets\\": {MASK}, \\"b\\": 1}}'),
        (f'passwords: {{"a": {{"b": "{CANARY}"', f"passwords: {MASK}"),
        ("secret: {}, token=", f"secret: {MASK}, token="),
        ("passed: 3, token expired, http://proxy:8080/", "passed: 3, token expired, http://proxy:8080/"),
    ],
)
def test_secrets_in_text_are_masked(text: str, shown: str) -> None:
    assert redact_text(text) == shown


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "piece", ["a", "secret", "token: \\", "://a:", ' "', "secret-", "token: {", "token: ['", "token=[]"]
)
def test_hostile_lines_take_no_time(piece: str) -> None:
    redact_text(piece * 20_000)
