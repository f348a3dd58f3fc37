"""The client's methods for jobs."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from clusterctl.api import following
from clusterctl.api.models import Json, Lines, read
from clusterctl.api.options import JobRef, job_label
from clusterctl.api.paging import PAGE, pages
from clusterctl.api.rest import RestClient
from clusterctl.api.retry import PrintNote
from clusterm.enums import JobStatus, TaskStatus
from clusterm.schemas import Job, JobDiff, JobGrid, LogLine, LogMatches, Plan, Task


class Jobs:
    """The jobs of a service: `client.jobs`."""

    def __init__(self, rest: RestClient, note: PrintNote) -> None:
        self._rest = rest
        self._note = note

    def get(self, job: JobRef = "last", *, logs: bool = False) -> Job:
        """Return a job, with `logs` also its log lines."""
        return read(Job, self._rest.job(job_label(job), logs=logs))

    def list(
        self,
        *,
        status: JobStatus | None = None,
        action: str | None = None,
        node: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[Job]:
        """Yield the jobs that match all filters, newest first, from as many pages as there are.

        Args:
            status: only jobs with this status.
            action: only jobs with this action.
            node: only jobs on this node: name or management address.
            since: only jobs that were created at or after this time.
            until: only jobs that were created before this time.
        """

        def page(cursor: str | None) -> Json:
            return self._rest.jobs(
                status=status, action=action, node=node, since=since, until=until, limit=PAGE, cursor=cursor
            )

        return pages(Job, page)

    def wait(self, job: JobRef, *, timeout: float | None = None, report: Callable[[Job], Any] = lambda _: None) -> Job:
        """Wait until a job has ended, and return it. The service may restart meanwhile.

        Args:
            job: the job.
            timeout: seconds to wait; None waits without a limit.
            report: called with the job about once a second until its end.

        Raises:
            NotComplete: the job has not ended within `timeout` seconds. It continues.
        """
        ended = following.end(
            self._rest.without_outage(),
            self._id(job),
            self._note,
            timeout=timeout,
            report=lambda answer: report(read(Job, answer)),
        )
        return read(Job, ended)

    def follow(self, job: JobRef, *, node: str | None = None, task: str | None = None) -> Iterator[LogLine]:
        """Yield the lines of a job's log as they are written, and end when the log is complete.

        No line is lost or repeated if the connection breaks or the service restarts. `wait` then returns the job.

        Args:
            job: the job.
            node: only lines of this node: name or address.
            task: only lines of tasks with this text in their names.
        """
        lines = Lines(node=node, task=task)
        for line in following.log_lines(self._rest.without_outage(), self._id(job), self._note, lines):
            yield read(LogLine, line)

    def logs(
        self,
        job: JobRef = "last",
        *,
        node: str | None = None,
        task: str | None = None,
        failed: bool = False,
        grep: str | None = None,
        tail: int | None = None,
        since: datetime | None = None,
    ) -> Iterator[LogLine]:
        """Yield the lines of a job's log that match all filters, and that are written already.

        Args:
            job: the job.
            node: only lines of this node: name or address.
            task: only lines of tasks with this text in their names.
            failed: only lines of failures, and three lines before and after each.
            grep: only lines that contain this text.
            tail: only the last so many of these lines.
            since: only lines from this time on.
        """
        lines = Lines(node=node, task=task, failed=failed, grep=grep, tail=tail, since=since)
        for line in self._rest.log_lines(self._id(job), lines):
            yield read(LogLine, line)

    def log_matches(
        self,
        job: JobRef = "last",
        *,
        node: str | None = None,
        task: str | None = None,
        failed: bool = False,
        grep: str | None = None,
        ignore_case: bool = False,
    ) -> Iterator[int]:
        """Yield the numbers of the lines of a job's log that match all filters, and that are written already.

        Args:
            job: the job.
            node: only lines of this node: name or address.
            task: only lines of tasks with this text in their names.
            failed: only lines of failures, and three lines before and after each.
            grep: only lines that contain this text.
            ignore_case: whether `grep` ignores the case.
        """
        lines = Lines(node=node, task=task, failed=failed, grep=grep, ignore_case=ignore_case)
        after, more, job_id = 0, True, self._id(job)
        while more:
            found = read(LogMatches, self._rest.log_matches(job_id, lines, after=after))
            numbers, more = found.numbers(after), found.more
            yield from numbers
            after = numbers[-1] if numbers else after

    def grid(self, job: JobRef = "last") -> JobGrid:
        """Return the result of each task on each node of a job as a character, nodes that failed first."""
        return read(JobGrid, self._rest.grid(self._id(job)))

    def tasks(
        self,
        job: JobRef = "last",
        *,
        node: str | None = None,
        status: TaskStatus | None = None,
        task: str | None = None,
    ) -> Iterator[Task]:
        """Yield the tasks of a job with their results on each node.

        Args:
            job: the job.
            node: only results on this node.
            status: only results with this status, and their tasks.
            task: only tasks with this text in their names.
        """
        found = self._rest.tasks(self._id(job), node=node, status=status, task=task)
        return (read(Task, item) for item in found["items"])

    def diff(self, before: JobRef, after: JobRef) -> JobDiff:
        """Return what fails, changes or takes longer in one job and not in an earlier one."""
        return read(JobDiff, self._rest.compare(job_label(before), job_label(after)))

    def cancel(self, job: JobRef = "active", *, cleanup: bool = True) -> Job:
        """Cancel a job, and return it. It ends when ansible has exited: `wait` for that.

        Args:
            job: the job.
            cleanup: whether the cleanup playbook runs after a configure playbook that was stopped.
        """
        return read(Job, self._rest.cancel(self._id(job), cleanup=cleanup))

    def retry(
        self,
        job: JobRef = "last",
        *,
        failed_only: bool = False,
        extra_vars: dict[str, Any] | None = None,
        queue: bool = False,
    ) -> Job:
        """Start a job that has ended again, and return the new job.

        Args:
            job: the job that has ended.
            failed_only: only on the nodes that did not pass.
            extra_vars: in addition to the vars of the job, or in place of those of the same name.
            queue: whether the job may wait if other jobs keep it from running now.
        """
        members = {"failed_only": failed_only, "extra_vars": extra_vars or {}, "queue": queue}
        return read(Job, self._rest.retry(job_label(job), **members))

    def plan_retry(
        self, job: JobRef = "last", *, failed_only: bool = False, extra_vars: dict[str, Any] | None = None
    ) -> Plan:
        """Return what `retry` would do now, or why the service would refuse it."""
        members = {"failed_only": failed_only, "extra_vars": extra_vars or {}}
        return read(Plan, self._rest.plan_retry(job_label(job), **members))

    def _id(self, job: JobRef) -> int:
        return self.get(job).id if isinstance(job, str) else int(job_label(job))
