"""`clusterctl job`, and what every command does that starts a job."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from clusterctl.aliases import Verbs
from clusterctl.api import following
from clusterctl.api.client import Client
from clusterctl.api.models import Json, read
from clusterctl.context import Context, context_of
from clusterctl.errors import NotComplete, Refused
from clusterctl.options import AsJson, Cursor, Follow, JobName, OfNode, Queue, Since, Wait
from clusterctl.output.output import Document, Format, Result, Stream, note, page_items
from clusterctl.output.status_line import shown_below
from clusterctl.parsing import parse_duration, parse_job, parse_since
from clusterctl.views import jobs as job_views
from clusterctl.views import logs as log_views
from clusterm.enums import ENDED, Action, JobStatus, TaskStatus
from clusterm.schemas import Job, JobDiff, Page, Task

app = typer.Typer(name="job", cls=Verbs, help="See what jobs do and did, stop them, or do them once more.")


def started(context: Context, answer: Json, *, wait: bool, follow: bool) -> Result:
    """Show a job that has just been started, as far as the user wants to see it."""
    job = read(Job, answer)
    queued = job.status is JobStatus.QUEUED
    if not (wait or follow):
        yield Document(answer, job_views.job_brief)
        note(f"{'it waits for its turn; ' if queued else ''}follow it with: clusterctl job get {job.id} --follow")
        return
    note(f"job {job.id} {'waits for its turn' if queued else 'started'}: {job.desc}")
    if follow:
        yield _log(context.client, job.id)
    ended = following.end(context.client, job.id, note)
    if not follow:
        yield Document(ended, job_views.job)
    conclude(ended)


@app.command("get")
def get(
    ctx: typer.Context,
    job: JobName = None,
    *,
    no_logs: Annotated[bool, typer.Option("--no-logs", help="Leave out the log.")] = False,
    follow: Follow = False,
    as_json: AsJson = False,
) -> Result:
    """Show a job: what it does to which nodes, how it stands, where it failed, and its log.

    While it runs, also the task that it is at, and which nodes are busy for how long; with --follow on a
    terminal this stands below the log. Without a job: the one that ended last; with --follow the one that
    runs now, if there is one. With --follow the exit code is 1 if the job does not end Complete; as JSON or
    YAML it is printed once it has ended.
    """
    context = context_of(ctx, as_json=as_json)
    client = context.client
    if not follow:
        yield Document(client.job(parse_job(job or "last"), logs=not no_logs), job_views.job)
        return
    answer = find(client, job)
    job_id = read(Job, answer).id
    if context.output in {Format.TABLE, Format.TEXT}:
        yield Document(answer, job_views.job_heading)
        yield _log(client, job_id, printed=not no_logs)
        ended = following.end(client, job_id, note)
        yield Document(ended, job_views.job_outcome)
    else:
        following.end(client, job_id, note)
        ended = client.job(str(job_id), logs=not no_logs)
        yield Document(ended, job_views.job)
    conclude(ended)


@app.command("tasks")
def tasks(
    ctx: typer.Context,
    job: JobName = None,
    *,
    node: OfNode = None,
    status: Annotated[
        TaskStatus | None, typer.Option(case_sensitive=False, help="Only tasks that ended so, and on which nodes.")
    ] = None,
    task: Annotated[str | None, typer.Option(metavar="TEXT", help="Only tasks with this text in their names.")] = None,
    slowest: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Only the N tasks that took longest, the longest first.")
    ] = None,
    as_json: AsJson = False,
) -> Result:
    """Show the tasks that a job ran: how long each took, and how it ended on which nodes.

    LINE is the number of the first log line of a task's results, or of those that failed. Without a job: the
    one that runs now, or if there is none the one that ended last.
    """
    client = context_of(ctx, as_json=as_json).client
    found = client.tasks(read(Job, find(client, job)).id, node=node, status=status, task=task)
    if slowest is not None:
        shown = zip(read(Page[Task], found).items, found["items"], strict=True)
        found = {**found, "items": [item for _, item in sorted(shown, key=_seconds, reverse=True)[:slowest]]}
    yield Document(found, job_views.tasks, items=page_items)
    if not found["items"]:
        note("no such tasks" if node or status or task else "ansible has run no tasks, or could not tell of them")


@app.command("diff")
def diff(
    ctx: typer.Context,
    before: Annotated[str, typer.Argument(metavar="BEFORE", help="A job: its id, `last` or `active`.")],
    after: Annotated[str, typer.Argument(metavar="AFTER", help="The job to compare with it, named in the same way.")],
    *,
    as_json: AsJson = False,
) -> Result:
    """Show what is different in the second of two jobs.

    Tasks that fail or change something on a node and did not before, and tasks that take more than twice as
    long, by a second at least.
    """
    client = context_of(ctx, as_json=as_json).client
    answer = client.compare(parse_job(before), parse_job(after))
    yield Document(answer, job_views.diff)
    shown = read(JobDiff, answer)
    if not (shown.failing or shown.changed or shown.slower):
        note(f"no task fails, changes or is much slower in job {shown.after} that was not so in job {shown.before}")


@app.command("list")
def list_jobs(
    ctx: typer.Context,
    *,
    status: Annotated[JobStatus | None, typer.Option(case_sensitive=False, help="Only jobs with this status.")] = None,
    action: Annotated[Action | None, typer.Option(case_sensitive=False, help="Only jobs that do this.")] = None,
    node: OfNode = None,
    since: Since = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Only what is older, given as for --since.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, metavar="N", help="How many at most.")] = 30,
    cursor: Cursor = None,
    as_json: AsJson = False,
) -> Result:
    """List the jobs that were run, newest first."""
    context = context_of(ctx, as_json=as_json)
    page = context.client.jobs(
        since=parse_since(since) if since else None,
        until=parse_since(until) if until else None,
        status=status,
        action=action,
        node=node,
        limit=limit,
        cursor=cursor,
    )
    yield Document(page, job_views.jobs, items=page_items)
    shown = read(Page[Any], page)
    if not shown.items:
        note("no such jobs" if status or action or node or since or until or cursor else "no jobs yet")
    if shown.next:
        note(f"there are older ones; see them with --cursor {shown.next}")


@app.command("wait")
def wait(
    ctx: typer.Context,
    job: JobName = None,
    *,
    timeout: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            parser=parse_duration,
            help="Give up, with exit code 1, after this time: seconds, or with a unit as 30m.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> Result:
    """Wait until a job has ended, then show it; exit with 1 if it did not end Complete.

    Without a job: the one that runs now, or if there is none the one that ended last.
    """
    context = context_of(ctx, as_json=as_json)
    job_id = read(Job, find(context.client, job)).id
    ended = following.end(context.client, job_id, note, timeout=timeout)
    yield Document(ended, job_views.job)
    conclude(ended)


@app.command("cancel")
def cancel(
    ctx: typer.Context,
    job: JobName = None,
    *,
    no_cleanup: Annotated[
        bool,
        typer.Option(
            "--no-cleanup", help="Leave out the cleanup playbook after a configure playbook that was stopped."
        ),
    ] = False,
    wait: Annotated[
        bool,
        typer.Option("--wait", "-w", help="Wait until the job has ended; exit with 1 if it did not end Cancelled."),
    ] = False,
    as_json: AsJson = False,
) -> Result:
    """Stop a job. Without a job: the one that runs now.

    A queued job is dropped. Of a running one ansible is asked to end, and killed if it does not; then its cleanup
    playbook runs. Cancel it once more with --no-cleanup to stop that, too.
    """
    client = context_of(ctx, as_json=as_json).client
    job_id = read(Job, client.job(parse_job(job or "active"), logs=False)).id
    answer = client.cancel(job_id, cleanup=not no_cleanup)
    if not wait:
        yield Document(answer, job_views.job_brief)
        if read(Job, answer).status not in ENDED:
            note(f"it ends once ansible has been stopped; wait for that with: clusterctl job wait {job_id}")
        return
    ended = following.end(client, job_id, note)
    yield Document(ended, job_views.job)
    status = read(Job, ended).status
    if status is not JobStatus.CANCELLED:
        raise NotComplete(f"job {job_id} ended {status} all the same; see it with: clusterctl job get {job_id}")


@app.command("retry")
def retry(
    ctx: typer.Context,
    job: JobName = None,
    *,
    failed_only: Annotated[bool, typer.Option("--failed-only", help="Only on the nodes that failed.")] = False,
    queue: Queue = False,
    wait: Wait = False,
    follow: Follow = False,
    as_json: AsJson = False,
) -> Result:
    """Do what a job did once more: the same action with the same vars on the same nodes.

    Without a job: the one that ended last.
    """
    context = context_of(ctx, as_json=as_json)
    answer = context.client.retry(parse_job(job or "last"), failed_only=failed_only, queue=queue)
    yield from started(context, answer, wait=wait, follow=follow)


def find(client: Client, job: str | None) -> Json:
    """Return the named job, or the one that somebody who waits has in mind; tell if it has not begun yet."""
    if job:
        found = client.job(parse_job(job), logs=False)
    else:
        try:
            found = client.job("active", logs=False)
        except Refused:
            found = client.job("last", logs=False)
    shown = read(Job, found)
    if shown.status is JobStatus.QUEUED:
        note(f"job {shown.id} waits for its turn: {shown.desc}")
    return found


def conclude(answer: Json) -> None:
    """Say how a job that was waited for has ended.

    Raises:
        NotComplete: not as it should.
    """
    job = read(Job, answer)
    if job.status is JobStatus.COMPLETE:
        note(f"job {job.id} ended Complete")
    else:
        reason = f": {job.error}" if job.error else ""
        raise NotComplete(f"job {job.id} ended {job.status}{reason}; see it with: clusterctl job get {job.id}")


def _log(client: Client, job: int, *, printed: bool = True) -> Stream:
    """Follow a log with the job's progress below it, or the progress alone."""
    lines = shown_below(following.log_lines(client, job, note), client, job, job_views.job_progress)
    return Stream(
        lines if printed else (line for line in lines if not line), log_views.log_text(timestamps=False), live=True
    )


def _seconds(shown: tuple[Task, Json]) -> float:
    """Tell how long a task has lasted, or lasts until now."""
    task, _ = shown
    return ((task.finished_at or datetime.now(UTC)) - task.started_at).total_seconds() if task.started_at else 0
