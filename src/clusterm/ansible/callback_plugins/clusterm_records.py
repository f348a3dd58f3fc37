# ruff: noqa: D102, INP001, SLF001 -- ansible names the methods, wants a plain folder, hid result._host up to 2.18
"""Write records into ansible's output that attribute its lines to play, task and node, and report task results.

After each callback the plugin writes a record: 0x1E, the nonce from the environment variable CLUSTERM_NONCE, a space,
a JSON object, newline. ansible calls the stdout callback first, so the lines since the last record belong to the play,
task and node of this record; members that do not apply are null or absent.
Plays and tasks are numbered in the order in which they start. A batch of a play with `serial` counts as a play. A task
has the same number in all of its records. Each run of a handler that is flushed several times has its own number.

    {"event": "playbook"}                         a playbook starts; the lines before belong to no play
    {"event": "play", "number", "play", "path"}
        A play starts. The path is the play's file and line.
    {"event": "no_hosts", "number", "play"}
        A play matches no nodes, or has no nodes left.
    {"event": "task", "number", "play", "task", "path"}
        A task or handler starts; with the strategies free and host_pinned once for each node.
    {"event": "start", "number", "play", "task", "node", "path"}
        A node starts with a task. There is a path only if this run of the task was not announced by `task`.
    {"event": "result", "number", "play", "task", "node", "status", "message"}
        A task ended on a node. The status is ok, changed, skipped, failed, unreachable, ignored (failed or
        unreachable, and the playbook ignores that) or rescued (failed, and the block's rescue section runs next).
        The last four have a message and are as ansible has counted them. A task that includes a missing file has a
        second result, which replaces the first.
    {"event": "item" | "retry" | "async" | "diff" | "include", "number", "play", "task", "node"}
        A callback before a result, with output. An include has a node only if it applies to a single node.
        A failed item has the member "failed": true.
    {"event": "stopped", "number", "play", "task", "node", "message"}
        ansible has failed a node because of this task's failure on another node. No lines belong to this record.
    {"event": "cleared", "node"}
        ansible has forgotten the failures of a node (`meta: clear_host_errors`). No lines belong to this record.
    {"event": "handled", "node"}
        Earlier failures of a node were handled by a rescue section although ansible counts them as failed, and the
        node fails again. No lines belong to this record.
    {"event": "stats", "recap", "nodes"}
        The end. The recap has for each node: ok, changed, failed, unreachable, skipped, rescued, ignored. `nodes` has
        the outcome of each host that a play is for: passed (it completed each of its plays, or the playbook ended them
        early), failed, unreachable, or unfinished; null if ansible's decisions cannot be read.
    {"event": "error", "message"}
        A callback of this plugin failed, which is a defect. No lines belong to this record.

The plugin needs ansible-core 2.17 or newer and nothing of clusterm, because ansible may run in another Python.
Without a nonce it does nothing.
"""

import contextlib
import functools
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count
from typing import Any, NamedTuple

from ansible.executor.play_iterator import IteratingStates, PlayIterator  # type: ignore[import-untyped]
from ansible.executor.task_queue_manager import TaskQueueManager  # type: ignore[import-untyped]
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


_Record = dict[str, Any]


def _writes(hook: Callable[..., _Record | Iterable[_Record]]) -> Callable[..., None]:
    """Write the records that the hook returns; an exception is recorded and never reaches the playbook."""

    @functools.wraps(hook)
    def wrapper(self: "CallbackModule", *args: Any, **kwargs: Any) -> None:
        try:
            records = hook(self, *args, **kwargs)
            for record in [records] if isinstance(records, dict) else records:
                self._write(record)
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
        # Removed from the environment, so that programs that the playbook runs on this machine do not inherit them:
        # the nonce, and what applies to the job's own inventory, which ansible has read by now.
        nonce = os.environ.pop("CLUSTERM_NONCE", "")
        if nonce:
            os.environ.pop("ANSIBLE_INVENTORY_ENABLED", None)
            os.environ.pop("ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED", None)
        self.disabled = not nonce
        self._marker = f"\x1e{nonce} "
        self._play: str | None = None
        self._play_number = 0
        self._numbers = count(1)
        self._tasks = _Tasks(self._numbers)
        self._decisions = _Decisions()

    @_writes
    def v2_playbook_on_start(self, playbook: Any) -> _Record:
        self._decisions.start(playbook)
        return {"event": "playbook"}

    @_writes
    def v2_playbook_on_play_start(self, play: Any) -> Iterator[_Record]:
        news = self._decisions.news()
        self._play = str(play.get_name()).strip()
        self._play_number = next(self._numbers)
        self._tasks = _Tasks(self._numbers)
        self._decisions.start_play(play)
        yield {"event": "play", "number": self._play_number, "play": self._play, "path": _path(play)}
        yield from news

    @_writes
    def v2_playbook_on_no_hosts_matched(self) -> _Record:
        return {"event": "no_hosts", "number": self._play_number, "play": self._play}

    @_writes
    def v2_playbook_on_no_hosts_remaining(self) -> Iterator[_Record]:
        yield {"event": "no_hosts", "number": self._play_number, "play": self._play}
        yield from self._decisions.news()

    @_writes
    def v2_playbook_on_task_start(self, task: Any, **_: Any) -> Iterator[_Record]:
        return self._task_start(task)

    @_writes
    def v2_playbook_on_handler_task_start(self, task: Any) -> Iterator[_Record]:
        return self._task_start(task)

    @_writes
    def v2_playbook_on_include(self, included_file: Any) -> _Record:
        hosts = included_file._hosts
        return self._record("include", included_file._task, hosts[0] if len(hosts) == 1 else None)

    @_writes
    def v2_runner_on_start(self, host: Any, task: Any) -> _Record:
        is_new = self._tasks.start(task, host.get_name(), self._decisions.position)
        return {**self._record("start", task, host), **({"path": _path(task)} if is_new else {})}

    @_writes
    def v2_runner_on_ok(self, result: Any) -> _Record:
        return self._result(result, "changed" if result._result.get("changed") else "ok")

    @_writes
    def v2_runner_on_skipped(self, result: Any) -> _Record:
        return self._result(result, "skipped")

    @_writes
    def v2_runner_on_failed(self, result: Any, *, ignore_errors: bool = False) -> Iterator[_Record]:
        return self._failure(result, "ignored" if ignore_errors else "failed")

    @_writes
    def v2_runner_on_unreachable(self, result: Any) -> Iterator[_Record]:
        return self._failure(result, "ignored" if result._task.ignore_unreachable else "unreachable")

    @_writes
    def v2_runner_item_on_ok(self, result: Any) -> _Record:
        return self._record("item", result._task, result._host)

    @_writes
    def v2_runner_item_on_failed(self, result: Any) -> _Record:
        return {**self._record("item", result._task, result._host), "failed": True}

    @_writes
    def v2_runner_item_on_skipped(self, result: Any) -> _Record:
        return self._record("item", result._task, result._host)

    @_writes
    def v2_runner_retry(self, result: Any) -> _Record:
        return self._record("retry", result._task, result._host)

    @_writes
    def v2_runner_on_async_poll(self, result: Any) -> _Record:
        return self._record("async", result._task, result._host)

    @_writes
    def v2_runner_on_async_ok(self, result: Any) -> _Record:
        return self._record("async", result._task, result._host)

    @_writes
    def v2_runner_on_async_failed(self, result: Any) -> _Record:
        return self._record("async", result._task, result._host)

    @_writes
    def v2_on_file_diff(self, result: Any) -> _Record:
        return self._record("diff", result._task, result._host)

    @_writes
    def v2_playbook_on_stats(self, stats: Any) -> Iterator[_Record]:
        recap = {}
        for node in stats.processed:
            counts = stats.summarize(node)
            recap[node] = {"failed": counts.pop("failures"), **counts}
        yield from self._decisions.news()
        yield {"event": "stats", "recap": recap, "nodes": self._decisions.outcomes()}

    def _task_start(self, task: Any) -> Iterator[_Record]:
        self._decisions.find_iterator()
        self._tasks.announce(task, self._decisions.position)
        yield {**self._record("task", task, None), "path": _path(task)}
        yield from self._decisions.news(task)

    def _failure(self, result: Any, reported: str) -> Iterator[_Record]:
        host = result._host.get_name()
        status = self._decisions.counted(host) or reported
        record = self._result(result, status, _reason(result._result))
        if status != "ignored":
            yield from self._decisions.failed(result._task, record)
        yield record

    def _result(self, result: Any, status: str, message: str | None = None) -> _Record:
        record = self._record("result", result._task, result._host)
        self._tasks.end(record["number"], record["node"])
        return {**record, "status": status, "message": message}

    def _record(self, event: str, task: Any, host: Any) -> _Record:
        node = host.get_name() if host else None
        numbered = self._tasks.find(task, node)
        return {"event": event, "number": numbered.number, "play": self._play, "task": numbered.name, "node": node}

    def _write(self, record: _Record) -> None:
        clean = {name: _clip(value) if isinstance(value, str) else value for name, value in record.items()}
        text = self._marker + json.dumps(clean, ensure_ascii=False, separators=(",", ":")) + "\n"
        # Flush ansible's buffer first. The record bypasses the buffer: a worker forked while the record is
        # buffered would write a copy of it.
        sys.stderr.flush()
        sys.stdout.flush()
        rest = text.encode(errors="replace")
        while rest:
            rest = rest[os.write(sys.stdout.fileno(), rest) :]


class _Task(NamedTuple):
    """A numbered task of a play."""

    uuid: str
    number: int
    name: str


class _Tasks:
    """The numbered tasks of a play, or of one of its batches.

    Args:
        numbers: the numbers of plays and tasks.
    """

    def __init__(self, numbers: Iterator[int]) -> None:
        self._numbers = numbers
        self._known: dict[tuple[str, int], _Task] = {}  # by uuid and position in the play
        self._announced: dict[str, _Task] = {}  # the latest one, by uuid
        self._of_node: dict[str, _Task] = {}  # the task that a node started last
        self._ended: dict[int, set[str]] = {}  # the nodes that have ended a task, by its number

    def announce(self, task: Any, position: int) -> None:
        """Record that a task starts. ansible may announce one task several times, for example once for each node."""
        key = (task._uuid, position)
        if key not in self._known:
            self._known[key] = self._new(task)
        self._announced[task._uuid] = self._known[key]

    def start(self, task: Any, node: str, position: int) -> bool:
        """Record that a node starts with a task, and return whether this run of the task is a new one."""
        known = len(self._known)
        if task._uuid not in self._announced:
            self.announce(task, position)
        numbered = self._announced[task._uuid]
        # Without a common position of all nodes, a handler that is flushed again is known only by its nodes.
        for again in count(1):
            if node not in self._ended.get(numbered.number, ()):
                break
            key = (task._uuid, -again)
            numbered = self._known[key] = self._known.get(key) or self._new(task)
        self._of_node[node] = numbered
        return len(self._known) > known

    def end(self, number: int, node: str) -> None:
        """Record that a task has ended on a node."""
        self._ended.setdefault(number, set()).add(node)

    def find(self, task: Any, node: str | None) -> _Task:
        """Return a task; the node's current task for one that was never announced, as ansible polls an async task."""
        current = self._of_node.get(node) if node else None
        if current is not None and (current.uuid == task._uuid or task._uuid not in self._announced):
            return current
        if task._uuid not in self._announced:
            self._announced[task._uuid] = self._new(task)
        return self._announced[task._uuid]

    def _new(self, task: Any) -> _Task:
        # The name is kept because ansible up to 2.18 restores its template after the task's start. It may be a number.
        return _Task(task._uuid, next(self._numbers), str(task.get_name()).strip())


class _Decisions:
    """Reads what ansible has decided about its hosts: how it counts a failure, and which hosts it has failed.

    Callbacks do not get these data. They are read from ansible's task queue manager and play iterator, which are
    local variables of the functions that call the callbacks. On an error, `outcomes` returns None.
    """

    def __init__(self) -> None:
        self._known = True
        self._queue: Any = None  # TaskQueueManager
        self._iterator: Any = None  # PlayIterator of the latest play, or batch, that has run a task
        self._iterates = False  # whether it is that of the current batch
        self._upcoming: dict[str, Any] = {}  # plays that have not begun, by uuid
        self._play: str | None = None
        self._play_limit: Any = None  # max_fail_percentage
        self._hosts: set[str] = set()  # that a play is for
        self._batch: set[str] = set()  # hosts that the play runs on now; without `serial`, all of its hosts
        self._later: set[str] = set()  # hosts of the play's later batches
        self._unfinished: set[str] = set()
        self._counts: dict[str, dict[str, int]] = {}  # by host, at its latest failure
        self._error: str | None = None  # not reported yet
        self._changed = False  # whether ansible may have failed or cleared a host since the last look
        self._failure: _Record = {}  # the latest one that was not ignored, as a record of `stopped`
        self._causes: dict[str, _Record | None] = {}  # by marked host: the other host's failure; None for its own
        self._own: set[str] = set()  # hosts with a failure of their own
        self._handled: set[str] = set()  # hosts whose failures so far were handled by a rescue section
        self._failed: set[str] = set()

    @property
    def position(self) -> int:
        """Position in the play at which ansible's strategy keeps all hosts; constant if it does not."""
        with self._guarded():
            return int(self._iterator.cur_task) if self._iterates else 0
        return 0

    def start(self, playbook: Any) -> None:
        """Record that the playbook starts."""
        with self._guarded():
            self._queue = _caller(TaskQueueManager)
            self._upcoming = {play._uuid: play for play in playbook.get_plays()}

    def start_play(self, play: Any) -> None:
        """Record that a play, or its next batch, starts."""
        with self._guarded():
            self._end_batch()
            inventory = self._queue.get_inventory()
            if play._uuid != self._play:
                self._end_play()
                self._play, self._play_limit = play._uuid, play.max_fail_percentage
                self._upcoming.pop(play._uuid, None)
                self._later = {host.name for host in inventory.get_hosts(play.hosts, ignore_restrictions=True)}
                self._hosts |= self._later
            self._batch = {host.name for host in inventory.get_hosts(play.hosts)}
            self._later -= self._batch
            self._iterates = False
            self._changed = True

    def find_iterator(self) -> None:
        """Find the iterator of the play that has begun, in a callback about one of its tasks."""
        if self._known and not self._iterates:
            with self._guarded():
                self._iterator = _caller(PlayIterator)
                self._iterates = True

    def counted(self, host: str) -> str | None:
        """Return how ansible has counted the failure that it reports now; None if that is not known."""
        with self._guarded():
            stats = self._queue._stats
            counters = {
                "rescued": stats.rescued,
                "ignored": stats.ignored,
                "failed": stats.failures,
                "unreachable": stats.dark,
            }
            counts = {status: counter.get(host, 0) for status, counter in counters.items()}
            before = self._counts.get(host, {})
            self._counts[host] = counts
            return next((status for status, number in counts.items() if number > before.get(status, 0)), None)
        return None

    def failed(self, task: Any, record: _Record) -> list[_Record]:
        """Record a failure, given as a record of `result`, for which ansible may fail other hosts, too.

        Returns:
            Records to write before that of the failure.
        """
        self._changed = True
        handled: list[_Record] = []
        if record["status"] != "rescued":
            self._own.add(record["node"])
            if record["node"] in self._handled:
                self._handled.remove(record["node"])
                handled.append({"event": "handled", "node": record["node"]})
        if self._failure.get("number") != record["number"]:  # else another host with this failure is named
            self._failure = self._stopping(task, record)
        return handled

    def _stopping(self, task: Any, record: _Record) -> _Record:
        """Return what a record of `stopped` states about the failure that causes it."""
        what = "lost the connection to" if record["status"] == "unreachable" else "failed on"
        message = f"{what} {record['node']}, which fails this node, too{self._why_fatal(task)}"
        return {**{name: record[name] for name in ("number", "play", "task")}, "message": message}

    def _why_fatal(self, task: Any) -> str:
        """Return why a failure of a task may fail other hosts, in parentheses; empty if that is not known."""
        if task.run_once:
            return " (run_once)"
        if task.any_errors_fatal:
            return " (any_errors_fatal)"
        return "" if self._play_limit is None else f" (max_fail_percentage: {self._play_limit:g})"

    def news(self, task: Any = None) -> list[_Record]:
        """Return records of the hosts that ansible has failed for other hosts, or cleared, since the last call.

        Args:
            task: the task that starts; None at the end of a play.
        """
        news: list[_Record] = []
        may_clear = task is not None and str(task.action).rpartition(".")[2] == "meta"
        if self._changed or may_clear or task is None:
            self._changed = may_clear  # it runs after this callback
            with self._guarded():
                news += self._look()
        if self._error:
            news.append({"event": "error", "message": self._error})
            self._error = None
        return news

    def outcomes(self) -> dict[str, str] | None:
        """Return the outcome of each host at the end of the playbook; None if it is not known."""
        with self._guarded():
            self._end_batch()
            self._end_play()
            for play in self._upcoming.values():
                self._unfinished |= self._hosts_of_upcoming(play)
            failed, unreachable = self._failed_hosts(), set(self._queue._unreachable_hosts)
            found = {}
            for host in sorted(self._hosts | self._unfinished):
                found[host] = "unfinished" if host in self._unfinished else "passed"
                if host in failed:
                    found[host] = "unreachable" if host in unreachable else "failed"
            return found if self._known else None
        return None

    def _look(self) -> Iterator[_Record]:
        failed = self._failed_hosts()
        # ansible also marks hosts whose rescue section runs next, and fails them in the next play.
        marked = failed | set(self._queue._failed_hosts)
        self._causes = {host: cause for host, cause in self._causes.items() if host in marked}
        for host in marked - self._causes.keys():
            self._causes[host] = None if host in self._own else self._failure
        for host in sorted(failed - self._failed):
            cause = self._causes[host]
            if cause and host not in self._own - self._handled:
                yield {"event": "stopped", **cause, "node": host}
        self._handled.update(host for host in self._own - failed - self._handled if self._is_rescued(host))
        for host in sorted(self._failed - failed):
            self._own.discard(host)
            yield {"event": "cleared", "node": host}
        self._failed = failed

    def _is_rescued(self, host: str) -> bool:
        """Return whether a rescue section runs on a host, now or next."""
        if host not in self._iterator.host_states:  # the play is not for it
            return False
        now = self._iterator.get_state_for_host(host)
        then, _ = self._iterator.get_next_task_for_host(self._queue.get_inventory().get_host(host), peek=True)
        return any(self._iterator.get_active_state(state).run_state == IteratingStates.RESCUE for state in (now, then))

    def _failed_hosts(self) -> set[str]:
        """Return the hosts that have failed or are unreachable; ansible carries them from play to play."""
        failed = self._iterator.get_failed_hosts() if self._iterator else ()
        return {*failed, *self._queue._unreachable_hosts}

    def _end_batch(self) -> None:
        if self._iterates:
            failed, states = self._failed_hosts(), self._iterator.host_states
            for host in self._batch - failed:
                if states[host].run_state != IteratingStates.COMPLETE:
                    self._unfinished.add(host)
        self._batch = set()

    def _end_play(self) -> None:
        if not (self._iterates and self._iterator.end_play):
            self._unfinished |= self._later
        self._later = set()

    def _hosts_of_upcoming(self, play: Any) -> set[str]:
        """Return the hosts of a play that has not begun; all hosts unless its pattern consists of names."""
        inventory = self._queue.get_inventory()
        patterns = [play.hosts] if isinstance(play.hosts, str) else play.hosts
        names = {*inventory.hosts, *inventory.groups, "localhost"}
        # An unknown name or a template is not passed to ansible, which would print a warning.
        known = all(part.strip(" !&") in names for pattern in patterns for part in re.split("[,:]", pattern))
        return {host.name for host in inventory.get_hosts(play.hosts if known else "all", ignore_restrictions=True)}

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """On an error, say that the outcomes are not known: another version of ansible may have other internals."""
        try:
            yield
        except Exception as error:  # noqa: BLE001
            if self._known:
                self._error = f"the decisions of ansible cannot be read: {error!r}"
            self._known = False


def _caller(kind: type) -> Any:
    """Return a local variable of a type from the functions that call this one.

    Raises:
        LookupError: there is none.
    """
    frame = sys._getframe(1)
    while frame is not None:
        for value in frame.f_locals.values():
            if isinstance(value, kind):
                return value
        frame = frame.f_back  # type: ignore[assignment]
    raise LookupError(f"no {kind.__name__} calls this plugin")


def _path(play_or_task: Any) -> str | None:
    """Return the file and line of a play or task."""
    with contextlib.suppress(Exception):
        return play_or_task.get_path() or None
    return None


def _reason(result: Mapping[str, Any]) -> str:
    """Return the reason of a failure from a module's result."""
    if "censored" in result:  # set for no_log; for a loop, if any item is
        return str(result["censored"])
    results = result.get("results")
    items = [item for item in results if isinstance(item, dict)] if isinstance(results, list) else []
    # ansible-core 2.21 tells a failed item by its exception alone.
    if failed := [item for item in items if item.get("failed") or item.get("unreachable") or item.get("exception")]:
        return "; ".join(f"(item={_label(item)}) {_reason(item)}" for item in failed)
    message = _text(result.get("reason") or result.get("msg"))  # both for a missing include in a loop
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
