"""Convert records to rows of tasks and task results of a step."""

from datetime import datetime
from typing import Any

from clusterm.enums import FAILED_TASKS, TaskStatus
from clusterm.executor.output.records import LINES_OF_A_RESULT, CallbackRecord
from clusterm.store import tables, task_results
from clusterm.store.session import Session


class Results:
    """Buffers a step's tasks and results until they are stored.

    Args:
        session: a reading transaction.
        step: the step's row.
    """

    def __init__(self, session: Session, step: tables.JobStep) -> None:
        self._job_id, self._step = step.job_id, step.number
        self._before = task_results.last_task(session, step.job_id, before_step=step.number)
        self._known = task_results.task_numbers(session, step.job_id, step.number)
        self._last = self._stored = task_results.last_result(session, step.job_id)
        self._latest = {row["node"]: row for row in task_results.latest(session, step.job_id, step.number)}
        self._tasks: list[dict[str, Any]] = []
        self._ended: dict[int, datetime] = {}
        self._begun: list[dict[str, Any]] = []
        self._changed: dict[int, dict[str, Any]] = {}
        self._cleared: dict[str, int] = {}  # by node: the last stored result when its failures were cleared

    @property
    def pending(self) -> bool:
        """Whether there is unwritten data."""
        return bool(self._tasks or self._ended or self._begun or self._changed or self._cleared)

    def take(self, callback: CallbackRecord, at: datetime, lines: tuple[int, int] | None) -> int | None:
        """Add a record's task and result.

        Args:
            callback: the record.
            at: time of the record.
            lines: first and last of the lines that belong to the record.

        Returns:
            Number of the record's task; None if the record has no task.
        """
        if callback.number is None:
            return None
        task = self._before + callback.number
        if task not in self._known:
            self._begin_task(task, callback, at)
        if callback.node is None or callback.task is None:
            return task
        if callback.event == "start":
            self._begin(task, callback.node, at)
        elif callback.event in LINES_OF_A_RESULT:
            row = self._latest.get(callback.node)
            if row is None or row["task"] != task:
                row = self._begin(task, callback.node, None)
            if lines:
                row["first_line"], row["last_line"] = row["first_line"] or lines[0], lines[1]
            row["retries"] += callback.event == "retry"
            if callback.status is not None:
                row |= {"status": callback.status, "message": callback.message, "finished_at": at}
                self._ended[task] = at
            if row["number"] <= self._stored:
                self._changed[row["number"]] = row
        return task

    def first_line(self, callback: CallbackRecord) -> int | None:
        """Return the number of the first line of a node's running task; None if it has written none."""
        row = self._latest.get(callback.node or "")
        if row is None or callback.number is None or row["task"] != self._before + callback.number:
            return None
        line: int | None = row["first_line"]
        return line

    def clear(self, node: str) -> None:
        """Mark the failures of a node as cleared."""
        self._cleared[node] = self._stored
        for row in (*self._begun, *self._changed.values()):
            if row["node"] == node and row["status"] in FAILED_TASKS:
                row["status"] = TaskStatus.CLEARED

    def write(self, session: Session) -> None:
        """Write the pending data. Call `written` after the transaction is committed."""
        task_results.add_tasks(session, self._tasks)
        task_results.end_tasks(session, self._job_id, self._ended)
        task_results.add(session, self._begun)
        task_results.clear_failures(session, self._job_id, self._step, self._cleared)
        task_results.change(session, self._changed.values())

    def written(self) -> None:
        """Drop the buffered data, which is stored now, except each node's latest result."""
        self._tasks, self._ended, self._begun, self._changed, self._cleared = [], {}, [], {}, {}
        self._stored = self._last

    def _begin_task(self, number: int, callback: CallbackRecord, at: datetime) -> None:
        self._known.add(number)
        self._tasks.append(
            {
                "job_id": self._job_id,
                "number": number,
                "step": self._step,
                "play": callback.play,
                "name": callback.task,
                "path": callback.path,
                "started_at": at,
            }
        )

    def _begin(self, task: int, node: str, at: datetime | None) -> dict[str, Any]:
        self._last += 1
        row = {
            "job_id": self._job_id,
            "number": self._last,
            "task": task,
            "node": node,
            "status": None,
            "retries": 0,
            "message": None,
            "first_line": None,
            "last_line": None,
            "started_at": at,
            "finished_at": None,
        }
        self._begun.append(row)
        self._latest[node] = row
        return row
