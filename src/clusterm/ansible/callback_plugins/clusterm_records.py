# ruff: noqa: D102, INP001, SLF001 -- ansible names the methods, wants a plain folder, hid result._host up to 2.18
"""Write records into ansible's output that attribute its lines to play, task and node, and report task results.

After each callback the plugin writes a record: 0x1E, the nonce from the environment variable CLUSTERM_NONCE, a space,
a JSON object, newline. ansible calls the stdout callback first, so the lines since the last record belong to the play,
task and node of this record; members that do not apply are null or absent.
Plays and tasks are numbered in the order in which they start; a task has the same number in all of its records.

    {"event": "playbook"}                         a playbook starts; the lines before belong to no play
    {"event": "play", "number", "play", "path"}
        A play starts. The path is the play's file and line.
    {"event": "no_hosts", "number", "play"}
        A play matches no nodes, or has no nodes left.
    {"event": "task", "number", "play", "task", "path"}
        A task or handler starts.
    {"event": "start", "number", "play", "task", "node"}
        A node starts with a task.
    {"event": "result", "number", "play", "task", "node", "status", "message"}
        A task ended on a node. The status is ok, changed, skipped, failed, unreachable, ignored (failed or
        unreachable, and the playbook ignores that) or rescued (failed, and the block's rescue section runs next).
        The last four have a message.
    {"event": "item" | "retry" | "async" | "diff" | "include", "number", "play", "task", "node"}
        A callback before a result, with output. An include has a node only if it applies to a single node.
        A failed item has the member "failed": true.
    {"event": "stats", "recap", "passed"}
        The end. The recap has for each node: ok, changed, failed, unreachable, skipped, rescued, ignored. Nodes in
        `passed` completed every play that targets them; null if that cannot be determined.
    {"event": "error", "message"}                 a callback of this plugin failed, which is a defect

The plugin needs ansible-core 2.17 or newer and nothing of clusterm, because ansible may run in another Python.
Without a nonce it does nothing.
"""

import contextlib
import functools
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ansible.plugins.callback import CallbackBase  # type: ignore[import-untyped]

DOCUMENTATION = """
name: clusterm_records
type: notification
short_description: attributes each line of the output to play, task and node for clusterm
description:
  - Writes a record into the output after each callback.
  - Does nothing unless clusterm runs the playbook.
"""

MAX_TEXT = 2000
"""Maximum characters of a name or message; longer texts are cut."""

MAX_LABEL = 80
"""Maximum characters of a loop item in a message."""

TAIL_LINES = 10
"""Lines from the end of a program's output in a message; the reason of a failure is usually last."""

_OUTPUTS = ("stderr", "module_stderr", "stdout", "module_stdout")
"""Members of a result with details beyond its message, in order of preference."""

_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]")
"""Control characters except tab and newline, and whole colour sequences."""


def _writes(hook: Callable[..., dict[str, Any]]) -> Callable[..., None]:
    """Write the record that the hook returns; an exception is recorded and never reaches the playbook."""

    @functools.wraps(hook)
    def wrapper(self: "CallbackModule", *args: Any, **kwargs: Any) -> None:
        try:
            self._write(hook(self, *args, **kwargs))
        except Exception as error:  # noqa: BLE001
            with contextlib.suppress(Exception):
                self._write({"event": "error", "message": f"{hook.__name__}: {error!r}"})

    return wrapper


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Writes records into ansible's output."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "clusterm_records"
    CALLBACK_NEEDS_ENABLED = False

    def __init__(self) -> None:
        super().__init__()
        # Removed from the environment, so that programs that the playbook runs on this machine do not inherit it.
        nonce = os.environ.pop("CLUSTERM_NONCE", "")
        self.disabled = not nonce
        self._marker = f"\x1e{nonce} "
        self._play: str | None = None
        self._play_number = self._numbers = 0
        self._tasks: dict[str, tuple[int, str]] = {}
        self._progress = _Progress()

    @_writes
    def v2_playbook_on_start(self, playbook: Any) -> dict[str, Any]:
        self._progress.start(playbook)
        return {"event": "playbook"}

    @_writes
    def v2_playbook_on_play_start(self, play: Any) -> dict[str, Any]:
        self._play = play.get_name().strip()
        self._tasks = {}
        self._progress.start_play(play)
        self._play_number = self._numbers = self._numbers + 1
        return {"event": "play", "number": self._play_number, "play": self._play, "path": _path(play)}

    @_writes
    def v2_playbook_on_no_hosts_matched(self) -> dict[str, Any]:
        return {"event": "no_hosts", "number": self._play_number, "play": self._play}

    @_writes
    def v2_playbook_on_no_hosts_remaining(self) -> dict[str, Any]:
        self._progress.break_off()
        return {"event": "no_hosts", "number": self._play_number, "play": self._play}

    @_writes
    def v2_playbook_on_task_start(self, task: Any, **_: Any) -> dict[str, Any]:
        return self._task_start(task)

    @_writes
    def v2_playbook_on_handler_task_start(self, task: Any) -> dict[str, Any]:
        return self._task_start(task)

    @_writes
    def v2_playbook_on_include(self, included_file: Any) -> dict[str, Any]:
        hosts = included_file._hosts
        return self._record("include", included_file._task, hosts[0] if len(hosts) == 1 else None)

    @_writes
    def v2_runner_on_start(self, host: Any, task: Any) -> dict[str, Any]:
        return self._record("start", task, host)

    @_writes
    def v2_runner_on_ok(self, result: Any) -> dict[str, Any]:
        return self._result(result, "changed" if result._result.get("changed") else "ok")

    @_writes
    def v2_runner_on_skipped(self, result: Any) -> dict[str, Any]:
        return self._result(result, "skipped")

    @_writes
    def v2_runner_on_failed(self, result: Any, *, ignore_errors: bool = False) -> dict[str, Any]:
        if not ignore_errors:
            self._progress.fail(result._task)
        status = "ignored" if ignore_errors else "rescued" if _is_rescued(result._task) else "failed"
        return self._result(result, status, _reason(result._result))

    @_writes
    def v2_runner_on_unreachable(self, result: Any) -> dict[str, Any]:
        status = "ignored" if result._task.ignore_unreachable else "unreachable"
        if status == "unreachable":
            self._progress.fail(result._task)
        return self._result(result, status, _reason(result._result))

    @_writes
    def v2_runner_item_on_ok(self, result: Any) -> dict[str, Any]:
        return self._record("item", result._task, result._host)

    @_writes
    def v2_runner_item_on_failed(self, result: Any) -> dict[str, Any]:
        return {**self._record("item", result._task, result._host), "failed": True}

    @_writes
    def v2_runner_item_on_skipped(self, result: Any) -> dict[str, Any]:
        return self._record("item", result._task, result._host)

    @_writes
    def v2_runner_retry(self, result: Any) -> dict[str, Any]:
        return self._record("retry", result._task, result._host)

    @_writes
    def v2_runner_on_async_poll(self, result: Any) -> dict[str, Any]:
        return self._record("async", result._task, result._host)

    @_writes
    def v2_runner_on_async_ok(self, result: Any) -> dict[str, Any]:
        return self._record("async", result._task, result._host)

    @_writes
    def v2_runner_on_async_failed(self, result: Any) -> dict[str, Any]:
        return self._record("async", result._task, result._host)

    @_writes
    def v2_on_file_diff(self, result: Any) -> dict[str, Any]:
        return self._record("diff", result._task, result._host)

    @_writes
    def v2_playbook_on_stats(self, stats: Any) -> dict[str, Any]:
        recap = {}
        for node in stats.processed:
            counts = stats.summarize(node)
            recap[node] = {"failed": counts.pop("failures"), **counts}
        return {"event": "stats", "recap": recap, "passed": self._progress.passed(recap)}

    def _task_start(self, task: Any) -> dict[str, Any]:
        self._number(task)
        return {**self._record("task", task, None), "path": _path(task)}

    def _result(self, result: Any, status: str, message: str | None = None) -> dict[str, Any]:
        record = self._record("result", result._task, result._host)
        return {**record, "status": status, "message": message}

    def _record(self, event: str, task: Any, host: Any) -> dict[str, Any]:
        number, name = self._tasks.get(task._uuid) or self._number(task)
        return {
            "event": event,
            "number": number,
            "play": self._play,
            "task": name,
            "node": host.get_name() if host else None,
        }

    def _number(self, task: Any) -> tuple[int, str]:
        self._numbers += 1
        # Stored now because ansible up to 2.18 restores the name's template after the task's start.
        self._tasks[task._uuid] = numbered = (self._numbers, task.get_name().strip())
        return numbered

    def _write(self, record: dict[str, Any]) -> None:
        clean = {name: _clip(value) if isinstance(value, str) else value for name, value in record.items()}
        text = self._marker + json.dumps(clean, ensure_ascii=False, separators=(",", ":")) + "\n"
        # Flush ansible's buffer first. The record bypasses the buffer: a worker forked while the record is
        # buffered would write a copy of it.
        sys.stderr.flush()
        sys.stdout.flush()
        rest = text.encode(errors="replace")
        while rest:
            rest = rest[os.write(sys.stdout.fileno(), rest) :]


class _Progress:
    """Tracks which nodes completed every play that targets them.

    The recap is not enough: a node also has no failure if ansible aborted because of another node's failure.
    """

    def __init__(self) -> None:
        self._known = True
        self._plays: set[str] = set()  # plays that have not begun
        self._play: str | None = None
        self._batch: set[str] = set()  # nodes that the play runs on now; without `serial`, all of its nodes
        self._later: set[str] = set()  # nodes of the play's later batches
        self._left_behind: set[str] = set()

    def start(self, playbook: Any) -> None:
        with self._guarded():
            self._plays = {play._uuid for play in playbook.get_plays()}

    def start_play(self, play: Any) -> None:
        """Record that a play or its next batch starts."""
        with self._guarded():
            inventory = play.get_variable_manager()._inventory
            if play._uuid != self._play:
                self._play = play._uuid
                self._plays.discard(play._uuid)
                self._later = {host.name for host in inventory.get_hosts(play.hosts, ignore_restrictions=True)}
            self._batch = {host.name for host in inventory.get_hosts(play.hosts)}
            self._later -= self._batch

    def fail(self, task: Any) -> None:
        """Record that a task failed on one node, which may abort the play for all nodes."""
        with self._guarded():
            if task.any_errors_fatal or task.run_once:
                self.break_off()

    def break_off(self) -> None:
        self._left_behind |= self._batch

    def passed(self, recap: Mapping[str, Mapping[str, int]]) -> list[str] | None:
        if not self._known:
            return None
        if self._plays:
            return []
        left_behind = self._left_behind | self._later
        failed = {node for node, counts in recap.items() if counts["failed"] or counts["unreachable"]}
        return [node for node in recap if node not in left_behind | failed]

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """On an error, stop tracking, so that the record is still written where ansible's internals differ."""
        try:
            yield
        except Exception:  # noqa: BLE001
            self._known = False


def _path(play_or_task: Any) -> str | None:
    """Return the file and line of a play or task."""
    with contextlib.suppress(Exception):
        return play_or_task.get_path() or None
    return None


def _is_rescued(task: Any) -> bool:
    """Return whether a task is in a block whose rescue section runs if it fails, by ansible's own rule."""
    with contextlib.suppress(Exception):
        while (outer := task._parent) is not None:
            if getattr(outer, "rescue", None) and any(task._uuid == inner._uuid for inner in outer.block):
                return True
            task = outer
    return False


def _reason(result: Mapping[str, Any]) -> str:
    """Return the reason of a failure from a module's result."""
    if "censored" in result:  # set for no_log; for a loop, if any item is
        return str(result["censored"])
    results = result.get("results")
    items = [item for item in results if isinstance(item, dict)] if isinstance(results, list) else []
    if failed := [item for item in items if item.get("failed") or item.get("unreachable")]:
        return "; ".join(f"(item={_label(item)}) {_reason(item)}" for item in failed)
    message = _text(result.get("msg") or result.get("reason"))
    if not message:
        message = "failed_when was met" if result.get("failed_when_result") else "no reason given"
    if result.get("rc"):
        message += f" (rc {result['rc']})"
    if message == "Assertion failed":  # the assertion has no message of its own
        return f"{message}: {_text(result.get('assertion'))}"
    output = next(filter(None, (_tail(result.get(name)) for name in _OUTPUTS)), "")
    return message if output in message else f"{message}: {output}"


def _label(item: Mapping[str, Any]) -> str:
    label = _text(item.get("_ansible_item_label", item.get("item")))
    return label if len(label) <= MAX_LABEL else label[: MAX_LABEL - 1] + "…"


def _tail(value: Any) -> str:
    return "\n".join(_text(value).strip().splitlines()[-TAIL_LINES:])


def _text(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False, default=str)


def _clip(text: str) -> str:
    text = _CONTROL.sub("", text)
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
