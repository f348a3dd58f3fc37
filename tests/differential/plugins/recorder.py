"""Record what ansible does in a run: each callback, line of output, and count, and how each host leaves each play.

The record is a file of JSON lines in the directory that the environment variable DIFFERENTIAL_RECORDS names. Nothing of
it comes from clusterm: the plugin implements no callbacks, but wraps the places of ansible-core at which the
decisions are made. These are, with what is recorded there:

    TaskQueueManager.send_callback      {"at": "callback", "name", "play", "task", "host", ...}
    AggregateStats.increment            the member "counted" of the host's next callback
    PlayIterator.clear_host_errors      {"at": "clear", "host"}
    the batches of PlaybookExecutor     {"at": "batches", "play", "batches", "strategy"}: the hosts that a play is for
    TaskQueueManager.run                {"at": "batch", "play", "hosts", "end_play"}: how each host left a play or batch
    the callback with the recap         {"at": "left", "plays"}: the hosts of the plays that were not begun
    the streams stdout and stderr       {"at": "output", "text", "callback", "banner"}

A play is known by its position in the playbook, from 0, a task by its UUID. How a host has left a play or batch follows
from the state of the iterator: it is `well` if it has not failed and has nothing left to do.
"""

import functools
import itertools
import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError  # type: ignore[import-untyped]
from ansible.executor import task_queue_manager  # type: ignore[import-untyped]
from ansible.executor.play_iterator import IteratingStates, PlayIterator  # type: ignore[import-untyped]
from ansible.executor.playbook_executor import PlaybookExecutor  # type: ignore[import-untyped]
from ansible.executor.stats import AggregateStats  # type: ignore[import-untyped]
from ansible.executor.task_queue_manager import TaskQueueManager  # type: ignore[import-untyped]
from ansible.executor.task_result import _RawTaskResult  # type: ignore[import-untyped]
from ansible.inventory.host import Host  # type: ignore[import-untyped]
from ansible.playbook.base import Base  # type: ignore[import-untyped]
from ansible.playbook.included_file import IncludedFile  # type: ignore[import-untyped]
from ansible.playbook.play import Play  # type: ignore[import-untyped]
from ansible.playbook.task import Task  # type: ignore[import-untyped]
from ansible.plugins.callback import CallbackBase  # type: ignore[import-untyped]
from ansible.template import Templar  # type: ignore[import-untyped]
from ansible.utils.display import Display  # type: ignore[import-untyped]

DOCUMENTATION = """
name: recorder
type: notification
short_description: records what ansible does, for comparison with what clusterm stores
description:
  - Writes each callback, count and line of output to a file.
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Starts the recorder when ansible loads its callbacks."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "recorder"
    CALLBACK_NEEDS_ENABLED = False

    def __init__(self) -> None:
        super().__init__()
        if directory := os.environ.get("DIFFERENTIAL_RECORDS"):
            Recorder(Path(directory) / f"{os.getpid()}.jsonl").install()


class Recorder:
    """Writes the record of this process.

    Args:
        file: the file, which does not exist yet.
    """

    def __init__(self, file: Path) -> None:
        self._file = file.open("x", encoding="utf-8")
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._thread = threading.local()
        self._numbers = itertools.count()
        self._plays: list[Any] = []
        self._play: int | None = None
        self._iterator: Any = None
        self._counted: dict[str, list[str]] = {}

    def install(self) -> None:
        """Wrap the functions of ansible-core that the module's docstring lists."""
        _wrap(TaskQueueManager, "send_callback", self._send_callback)
        _wrap(TaskQueueManager, "run", self._run)
        _wrap(AggregateStats, "increment", self._increment)
        _wrap(PlayIterator, "clear_host_errors", self._clear)
        _wrap(PlaybookExecutor, "_get_serialized_batches", self._batches)
        _wrap(Display, "banner", self._banner)
        task_queue_manager.PlayIterator = self._new_iterator
        _wrap(sys.stdout, "write", self._output)
        _wrap(sys.stderr, "write", self._output)

    def _write(self, entry: dict[str, Any]) -> None:
        if os.getpid() != self._pid:  # a worker
            return
        with self._lock:
            self._file.write(json.dumps(entry, default=str) + "\n")
            self._file.flush()

    def _send_callback(self, send: Callable[..., None], tqm: Any, name: str, *args: Any, **kwargs: Any) -> None:
        if name == "v2_playbook_on_start":
            self._plays = args[0].get_plays()
            self._write({"at": "playbook", "plays": [_name(play) for play in self._plays]})
        if name == "v2_playbook_on_stats":
            self._write({"at": "left", "plays": self._plays_left(tqm)})
        entry = {"at": "callback", "number": next(self._numbers), "name": name, **self._about(args)}
        self._write(entry | kwargs)
        self._thread.callback = entry["number"]
        try:
            send(tqm, name, *args, **kwargs)
        finally:
            self._thread.callback = None

    def _about(self, args: tuple[Any, ...]) -> dict[str, Any]:
        """Describe the arguments of a callback."""
        about: dict[str, Any] = {"play": self._play}
        for argument in args:
            if isinstance(argument, Play):
                about["play"] = self._position(argument)
            elif isinstance(argument, Task):
                about |= _described(argument)
            elif isinstance(argument, _RawTaskResult):
                host = argument.host.get_name()
                changed = bool(argument._return_data.get("changed"))
                about |= _described(argument.task) | {"host": host, "changed": changed}
                about["ignore_unreachable"] = bool(argument.task.ignore_unreachable)
                about["counted"] = self._counted.pop(host, [])
            elif isinstance(argument, IncludedFile):
                about |= _described(argument._task) | {"hosts": [host.get_name() for host in argument._hosts]}
            elif isinstance(argument, AggregateStats):
                about["recap"] = {host: argument.summarize(host) for host in argument.processed}
            elif isinstance(argument, Host):
                about["host"] = argument.get_name()
        return about

    def _run(self, run: Callable[..., Any], tqm: Any, play: Any) -> Any:
        self._play, self._iterator = self._position(play), None
        try:
            return run(tqm, play)
        finally:
            if isinstance(iterator := self._iterator, PlayIterator):
                hosts = {name: _ending(tqm, iterator, name) for name in iterator.host_states}
                self._write({"at": "batch", "play": self._play, "hosts": hosts, "end_play": iterator.end_play})

    def _new_iterator(self, *args: Any, **kwargs: Any) -> Any:
        self._iterator = PlayIterator(*args, **kwargs)
        return self._iterator

    def _increment(self, increment: Callable[..., None], stats: Any, what: str, host: str) -> None:
        self._counted.setdefault(host, []).append(what)
        increment(stats, what, host)

    def _clear(self, clear: Callable[..., None], iterator: Any, host: Any) -> None:
        self._write({"at": "clear", "host": host.get_name()})
        clear(iterator, host)

    def _batches(self, batches_of: Callable[..., list[Any]], executor: Any, play: Any) -> list[Any]:
        batches = batches_of(executor, play)
        names = [[host.get_name() for host in batch] for batch in batches]
        self._play = self._position(play)
        self._write({"at": "batches", "play": self._play, "batches": names, "strategy": play.strategy})
        return batches

    def _banner(self, banner: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        self._thread.banner = True
        try:
            banner(*args, **kwargs)
        finally:
            self._thread.banner = False

    def _output(self, write: Callable[[str], int], text: str) -> int:
        state = self._thread
        entry = {"callback": getattr(state, "callback", None), "banner": getattr(state, "banner", False)}
        self._write({"at": "output", "text": text, **entry})
        return write(text)

    def _position(self, play: Any) -> int:
        """Return the position of a play, which ansible copies for each batch."""
        return next(position for position, known in enumerate(self._plays) if known._uuid == play._uuid)

    def _plays_left(self, tqm: Any) -> dict[int, list[str] | None]:
        """Return the hosts of each play that was not begun; None if its pattern needs a variable that is missing."""
        inventory = tqm.get_inventory()
        left: dict[int, list[str] | None] = {}
        inventory.remove_restriction()
        for position in range(0 if self._play is None else self._play + 1, len(self._plays)):
            play = self._plays[position].copy()
            manager = tqm.get_variable_manager()
            try:
                play.post_validate(Templar(loader=tqm.get_loader(), variables=manager.get_vars(play=play)))
                left[position] = [host.get_name() for host in inventory.get_hosts(play.hosts)]
            except AnsibleError:
                left[position] = None
        return left


def _ending(tqm: Any, iterator: Any, name: str) -> str:
    """Return how a host has left a play or batch: well, failed, unreachable or unfinished."""
    if name in tqm._unreachable_hosts:
        return "unreachable"
    host = tqm.get_inventory().get_host(name)
    if host is None or iterator.is_failed(host):
        return "failed"
    return "well" if iterator.get_state_for_host(name).run_state == IteratingStates.COMPLETE else "unfinished"


def _described(task: Any) -> dict[str, Any]:
    return {"task": str(task._uuid), "task_name": _name(task), "path": task.get_path(), "implicit": bool(task.implicit)}


def _name(play_or_task: Base) -> str:
    return str(play_or_task.get_name()).strip()


def _wrap(owner: Any, name: str, wrapper: Callable[..., Any]) -> None:
    """Replace a function by one that gets the original as its first argument."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return wrapper(original, *args, **kwargs)

    setattr(owner, name, wrapped)
