"""`clusterctl job`: shows, compares, waits for, cancels and retries jobs."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

import typer

from clusterctl.aliases import Verbs
from clusterctl.api import following
from clusterctl.api.models import Json, read
from clusterctl.commands import logs
from clusterctl.commands.job_follow import conclude, find, job_log, started, wait_for_end
from clusterctl.commands.job_start import planned
from clusterctl.context import Context, context_of
from clusterctl.errors import NotComplete
from clusterctl.options import AsJson, Cursor, DryRun, ExtraVars, Follow, JobName, OfNode, Output, Queue, Since, Wait
from clusterctl.output.output import Document, Format, Note, Result, note, page_items
from clusterctl.parsing import parse_duration, parse_extra_vars, parse_job, parse_since
from clusterctl.views import jobs as job_views
from clusterm import schemas
from clusterm.enums import ENDED, JobStatus, TaskStatus

app = typer.Typer(name="job", cls=Verbs, help="Show, follow, cancel and retry jobs.")


@app.command("get")
def get(
    ctx: typer.Context,
    job: JobName = None,
    *,
    no_logs: Annotated[bool, typer.Option("--no-logs", help="Leave out the log.")] = False,
    all_nodes: Annotated[bool, typer.Option("--all-nodes", help="Show a row for every node.")] = False,
    follow: Follow = False,
    output: Output = None,
    as_json: AsJson = False,
) -> Result:
    """Show a job: action, nodes, status, failures and log.

    While the job runs, also its current task, and which nodes are busy for how long; with --follow on a terminal
    this is a status line below the log. Without a job: the last one that ended; with --follow the running one, if a
    job runs. With --follow the exit code is 1 if the job does not end Complete; JSON and YAML are printed when the
    job has ended. Of more than 50 nodes, the tables show the 50 with the worst outcome.
    """
    context = context_of(ctx, as_json=as_json, output=output)
    if follow:
        return _followed(context, find(context.rest, job), logs=not no_logs, all_nodes=all_nodes)
    answer = context.rest.job(parse_job(job or "last"), logs=not no_logs)
    return Result([Document(answer, partial(job_views.job, every_node=all_nodes))])


def _followed(context: Context, answer: Json, *, logs: bool, all_nodes: bool) -> Result:
    client = context.rest
    job_id = read(schemas.Job, answer).id
    if context.output not in {Format.TABLE, Format.TEXT}:
        wait_for_end(client, job_id)
        ended = client.job(str(job_id), logs=logs)
        return Result([Document(ended, job_views.job)], then=partial(conclude, ended))

    def outcome() -> Result:
        ended = following.end(client, job_id, note)
        view = partial(job_views.job_outcome, every_node=all_nodes)
        return Result([Document(ended, view)], then=partial(conclude, ended))

    return Result([Document(answer, job_views.job_heading), job_log(client, job_id, printed=logs)], then=outcome)


@app.command("tasks")
def tasks(
    ctx: typer.Context,
    job: JobName = None,
    *,
    node: OfNode = None,
    status: Annotated[
        TaskStatus | None,
        typer.Option(case_sensitive=False, help="Only tasks with this result on some node, and only those results."),
    ] = None,
    task: Annotated[str | None, typer.Option(metavar="TEXT", help="Only tasks with this text in their names.")] = None,
    slowest: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Only the N slowest tasks, the slowest first.")
    ] = None,
    output: Output = None,
    as_json: AsJson = False,
) -> Result:
    """Show the tasks of a job: durations and results per node.

    LINE is the number of the first log line of a task's results, or of its failed results. Without a job: the
    running one, or if no job runs the last one that ended.
    """
    client = context_of(ctx, as_json=as_json, output=output).rest
    found = client.tasks(read(schemas.Job, find(client, job)).id, node=node, status=status, task=task)
    if slowest is not None:
        shown = zip(read(schemas.Page[schemas.Task], found).items, found["items"], strict=True)
        found = {**found, "items": [item for _, item in sorted(shown, key=_seconds, reverse=True)[:slowest]]}
    parts: list[Document | Note] = [Document(found, job_views.tasks, items=page_items)]
    if not found["items"]:
        filtered = node or status or task
        parts.append(Note("no such tasks" if filtered else "ansible ran no tasks, or did not report any"))
    return Result(parts)


@app.command("grid")
def grid(
    ctx: typer.Context,
    job: JobName = None,
    *,
    output: Output = None,
    as_json: AsJson = False,
) -> Result:
    """Show the results of a job: a row per node, a character per task.

    Nodes that failed come first. Without a job: the running one, or if no job runs the last one that ended.
    """
    client = context_of(ctx, as_json=as_json, output=output).rest
    found = client.grid(read(schemas.Job, find(client, job)).id)
    notes = [] if found["tasks"] else [Note("ansible ran no tasks, or did not report any")]
    return Result([Document(found, job_views.grid), *notes])


@app.command("diff")
def diff(
    ctx: typer.Context,
    before: Annotated[str, typer.Argument(metavar="BEFORE", help="A job: its id, `good`, `last` or `active`.")],
    after: Annotated[str, typer.Argument(metavar="AFTER", help="The job to compare with it: id, `last` or `active`.")],
    *,
    output: Output = None,
    as_json: AsJson = False,
) -> Result:
    """Compare two jobs: causes, failures, durations.

    Shows which files of the playbooks, extra vars and versions of ansible and collections differ; tasks that failed or
    changed something on a node in the second job and not in the first one; and tasks that took more than twice as long,
    by at least a second. As the first job, `good` is the last one before the second job that ended Complete, with the
    same action: `clusterctl job diff good last`.
    """
    client = context_of(ctx, as_json=as_json, output=output).rest
    answer = client.compare(parse_job(before), parse_job(after))

    def empty_note() -> Result:
        shown = read(schemas.JobDiff, answer)
        if shown.failing or shown.changed or shown.slower:
            return Result()
        compared = f"in job {shown.after} than in job {shown.before}"
        return Result([Note(f"no task fails, changes or is much slower {compared}")])

    return Result([Document(answer, job_views.diff)], then=empty_note)


@app.command("list")
def list_jobs(
    ctx: typer.Context,
    *,
    status: Annotated[JobStatus | None, typer.Option(case_sensitive=False, help="Only jobs with this status.")] = None,
    action: Annotated[str | None, typer.Option(help="Only jobs with this action.")] = None,
    node: OfNode = None,
    since: Since = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only before this time, given as for --since.")
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=1000, metavar="N", help="Maximum number of jobs.")
    ] = 30,
    cursor: Cursor = None,
    output: Output = None,
    as_json: AsJson = False,
) -> Result:
    """List jobs, newest first."""
    context = context_of(ctx, as_json=as_json, output=output)
    page = context.rest.jobs(
        since=parse_since(since) if since else None,
        until=parse_since(until) if until else None,
        status=status,
        action=action,
        node=node,
        limit=limit,
        cursor=cursor,
    )
    filtered = bool(status or action or node or since or until or cursor)
    then = partial(_page_notes, page, "no such jobs" if filtered else "no jobs yet")
    return Result([Document(page, job_views.jobs, items=page_items)], then=then)


def _page_notes(page: Json, empty: str) -> Result:
    shown = read(schemas.Page[Any], page)
    notes = [] if shown.items else [Note(empty)]
    if shown.next:
        notes.append(Note(f"older jobs exist; show them with --cursor {shown.next}"))
    return Result(notes)


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
            help="Exit with 1 if the job has not ended after this time: seconds, or with a unit as 30m.",
        ),
    ] = None,
    output: Output = None,
    as_json: AsJson = False,
) -> Result:
    """Wait until a job ends, then show it.

    The exit code is 1 if the job does not end Complete. Without a job: the running one, or if no job runs the last
    one that ended.
    """
    context = context_of(ctx, as_json=as_json, output=output)
    job_id = read(schemas.Job, find(context.rest, job)).id
    ended = wait_for_end(context.rest, job_id, timeout=timeout)
    return Result([Document(ended, job_views.job)], then=partial(conclude, ended))


@app.command("cancel")
def cancel(
    ctx: typer.Context,
    job: JobName = None,
    *,
    no_cleanup: Annotated[
        bool,
        typer.Option("--no-cleanup", help="Do not run the cleanup playbook after a configure playbook was stopped."),
    ] = False,
    wait: Annotated[
        bool,
        typer.Option("--wait", "-w", help="Wait until the job ends; exit with 1 if it does not end Cancelled."),
    ] = False,
    output: Output = None,
    as_json: AsJson = False,
) -> Result:
    """Cancel a job. Without a job: the running one.

    A queued job is dropped. For a running job ansible is interrupted, and killed if it does not exit; then the cleanup
    playbook runs. Cancel the job again with --no-cleanup to stop the cleanup playbook, too.
    """
    client = context_of(ctx, as_json=as_json, output=output).rest
    job_id = read(schemas.Job, client.job(parse_job(job or "active"), logs=False)).id
    answer = client.cancel(job_id, cleanup=not no_cleanup)
    if wait:
        ended = wait_for_end(client, job_id)
        return Result([Document(ended, job_views.job)], then=partial(_check_cancelled, ended))

    def hint() -> Result:
        if read(schemas.Job, answer).status in ENDED:
            return Result()
        return Result([Note(f"the job ends when ansible has exited; wait for that with: clusterctl job wait {job_id}")])

    return Result([Document(answer, job_views.job_brief)], then=hint)


def _check_cancelled(ended: Json) -> Result:
    job = read(schemas.Job, ended)
    if job.status is not JobStatus.CANCELLED:
        raise NotComplete(
            f"job {job.id} ended {job.status} before it could be cancelled; see it with: clusterctl job get {job.id}"
        )
    return Result()


@app.command("retry")
def retry(
    ctx: typer.Context,
    job: JobName = None,
    *,
    failed_only: Annotated[bool, typer.Option("--failed-only", help="Only on the nodes that did not pass.")] = False,
    extra_vars: ExtraVars = None,
    dry_run: DryRun = False,
    queue: Queue = False,
    wait: Wait = False,
    follow: Follow = False,
    output: Output = None,
    as_json: AsJson = False,
) -> Result:
    """Bring nodes where a job should have brought them.

    The job is started again with the same action and vars, and those of --extra-vars. The retry of a failed update
    brings its nodes back into the cluster. Nodes that are in the cluster already are left out of the retry of a
    commission. Without a job: the last one that ended.
    """
    context = context_of(ctx, as_json=as_json, output=output)
    label = parse_job(job or "last")
    # A service of version 0.1 does not know the member.
    own_vars = {"extra_vars": parse_extra_vars(extra_vars)} if extra_vars else {}
    request = {"failed_only": failed_only, "queue": queue, **own_vars}
    if dry_run:
        return planned(context.rest.plan_retry(label, **request))
    return started(context, context.rest.retry(label, **request), wait=wait, follow=follow)


app.command("logs")(logs.logs)
app.command("verify")(logs.verify)


def _seconds(shown: tuple[schemas.Task, Json]) -> float:
    """Return the duration of a task in seconds, until now if it runs."""
    task, _ = shown
    return ((task.finished_at or datetime.now(UTC)) - task.started_at).total_seconds() if task.started_at else 0
