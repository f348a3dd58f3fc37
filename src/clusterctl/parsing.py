"""Parses arguments and options of the command line, and the files that they name."""

import json
import re
import shlex
import sys
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any, Final

from clusterctl.errors import Usage
from clusterm.common import batches, durations

_VAULT: Final = "$ANSIBLE_VAULT;"
"""Beginning of a file that is encrypted with ansible vault."""


def parse_job(text: str) -> str:
    """Return `active`, `last`, `good` or the id of a job.

    Raises:
        Usage: the text is none of them.
    """
    if text in {"active", "last", "good"} or (text.isascii() and text.isdigit()):
        return text
    raise Usage(f"{text!r} is no job: give active, last, good or an id from `clusterctl job list`")


def parse_since(text: str, now: datetime | None = None) -> datetime:
    """Return a time given as RFC 3339, as a date in UTC, or as a duration before `now`: `30m`, `2h`, `1d`.

    Raises:
        Usage: the text is neither.
    """
    try:
        if durations.is_duration(text):
            return (now or datetime.now(UTC)) - durations.parse_duration(text)
        moment = datetime.fromisoformat(f"{text}T00:00Z" if re.fullmatch(r"[\d-]{10}", text, re.ASCII) else text)
        if moment.tzinfo:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise Usage(
        f"{text!r} is no time: give it with its zone as 2026-11-22T07:31:02Z, as a date in UTC, or how long ago as "
        "30m, 2h or 1d"
    )


def parse_duration(text: str) -> float:
    """Return seconds given as a number, or with units: `30m`, `1h30m`.

    Raises:
        Usage: the text is no duration.
    """
    try:
        if re.fullmatch(r"\d{1,9}(\.\d+)?", text, re.ASCII):
            return float(text)
        return durations.parse_duration(text).total_seconds()
    except (ValueError, OverflowError):
        pass
    raise Usage(f"{text!r} is no duration: give seconds as 90 or 1.5, or with a unit as 90s, 30m, 2h or 1d")


def parse_batches(limit_batch: str | None, max_failures: str | None) -> dict[str, Any]:
    """Return the members of a request for sizes of batches as `10` or `1,10%,25%`, and failures as `3` or `2%`.

    Raises:
        Usage: a text has another form.
    """
    option = "--limit-batch"
    try:
        sizes = None if limit_batch is None else batches.parse_sizes([each.strip() for each in limit_batch.split(",")])
        option = "--max-failures"
        failures = None if max_failures is None else batches.parse_share(max_failures, least=0)
    except ValueError as error:
        raise Usage(f"{option}: {error}") from None
    limit = sizes[0] if isinstance(sizes, list) and len(sizes) == 1 else sizes
    return {"limit_batch": limit, "max_failures": failures}


def parse_extra_vars(texts: list[str] | None) -> dict[str, Any]:
    """Merge extra vars: JSON objects, `name=value ...`, `@FILE`, or `-` for standard input.

    Raises:
        Usage: a text is none of them.
    """
    merged: dict[str, Any] = {}
    for text in texts or []:
        merged |= _extra_vars(text)
    return merged


def parse_host_vars(texts: list[str]) -> dict[str, Any]:
    """Merge host vars: `name=value`, JSON objects, or `@FILE`; `name=` becomes null, which removes the var.

    Raises:
        Usage: a text is none of them.
    """
    merged: dict[str, Any] = {}
    for text in texts:
        if text.startswith(("@", "{")):
            merged |= _extra_vars(text)
            continue
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise Usage(f"{text!r} is no host var: give name=value, name= to remove it, or a JSON object")
        merged[name] = value or None
    return merged


def parse_group_map(texts: list[str]) -> dict[str, str]:
    """Return host groups by group of an inventory, each given as `GROUP=HOST_GROUP`.

    Raises:
        Usage: a text has another form.
    """
    return _assignments("--map", "GROUP=HOST_GROUP", texts)


def parse_labels(texts: list[str]) -> dict[str, str]:
    """Return labels by host of an inventory, each given as `HOST=LABEL`.

    Raises:
        Usage: a text has another form.
    """
    return _assignments("--label", "HOST=LABEL", texts)


def read_lines(source: str) -> list[str]:
    """Return the words in a file or, for `-`, from standard input, without comments, which begin with #."""
    return [word for line in _read(source).splitlines() for word in line.partition("#")[0].split()]


def parse_keys(texts: list[str]) -> list[str]:
    """Return public keys, one per line, given as text or as `@FILE`, without comments and empty lines.

    Raises:
        Usage: there is no key.
    """
    lines = [line for text in texts for line in (_read(text[1:]) if text.startswith("@") else text).splitlines()]
    keys = [line for line in lines if line.strip() and not line.startswith("#")]
    if not keys:
        raise Usage(f"{' '.join(texts)!r} has no key: give a line of the machine's /etc/ssh/ssh_host_ed25519_key.pub")
    return keys


def read_mapping(source: str) -> dict[str, Any]:
    """Return the object in a file or, for `-`, from standard input: JSON, YAML, or TOML if the name ends in .toml.

    Raises:
        Usage: the file cannot be read, is encrypted, or has no object.
    """
    text = _read(source)
    if text.startswith(_VAULT):
        raise Usage(
            f"{_name(source)} is encrypted with ansible vault: give its content with "
            f"`ansible-vault view {'FILE' if source == '-' else source} | clusterctl ... -`"
        )
    try:
        return _mapping(text, toml=source.endswith(".toml"))
    except (ValueError, TypeError, RecursionError) as error:
        raise Usage(f"{_name(source)} has no JSON or YAML object: {error}") from None


def _read(source: str) -> str:
    try:
        return (sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()).decode("utf-8-sig")
    except OSError as error:
        raise Usage(f"cannot read {_name(source)}: {error.strerror}") from None
    except ValueError:
        raise Usage(f"cannot read {_name(source)}: it is not UTF-8 text") from None


def _assignments(option: str, form: str, texts: list[str]) -> dict[str, str]:
    """Return values by name, in order, each given as `NAME=VALUE`."""
    values: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals or not value:
            raise Usage(f"{option}: {text!r} is not {form}")
        values.setdefault(name, value)
    return values


def _name(source: str) -> str:
    return "standard input" if source == "-" else source


def _extra_vars(text: str) -> dict[str, Any]:
    if text == "-" or text.startswith("@"):
        return read_mapping(text.removeprefix("@"))
    try:
        if not text.strip():
            return {}
        if "=" in text and text.lstrip()[0] not in '{["':
            return _pairs(text)
        return _object(json.loads(text, parse_constant=_refuse_constant))
    except (ValueError, TypeError, RecursionError) as error:
        raise Usage(
            f"""--extra-vars: {error}; give a JSON object as '{{"name": "value"}}', @FILE, - or name=value"""
        ) from None


def _pairs(text: str) -> dict[str, Any]:
    pairs = [word.partition("=") for word in shlex.split(text)]
    for name, equals, _ in pairs:
        if not name or not equals:
            raise ValueError(f"{name or equals!r} is no name=value")
    return {name: value for name, _, value in pairs}


def _mapping(text: str, *, toml: bool) -> dict[str, Any]:
    if toml:
        import tomllib  # noqa: PLC0415 -- rarely needed

        return _object(_dates_as_text(tomllib.loads(text)))
    try:
        return _object(json.loads(text, parse_constant=_refuse_constant))
    except json.JSONDecodeError:
        from clusterctl import yaml_values  # noqa: PLC0415 -- slow to load
    return _object(yaml_values.parse(text))


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("the text is valid, but no object (names with values)")
    json.dumps(value, allow_nan=False)
    return value


def _dates_as_text(value: Any) -> Any:
    """Return a TOML value with its dates and times as text."""
    if isinstance(value, dict):
        return {key: _dates_as_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_dates_as_text(item) for item in value]
    return str(value) if isinstance(value, (date, time)) else value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
