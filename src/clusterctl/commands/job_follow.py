"""Follows jobs until they end, and reports how they ended."""

from __future__ import annotations

from functools import partial

from clusterctl.api import following
from clusterctl.api.models import Json, read
from clusterctl.api.rest import RestClient
from clusterctl.context import Context
from clusterctl.errors import NotComplete, Refused
from clusterctl.output.output import Document, Note, Result, Stream, note
from clusterctl.output.status_line import status_line, with_status_line
from clusterctl.parsing import parse_job
from clusterctl.views import jobs as job_views
from clusterctl.views import logs as log_views
from clusterm import schemas
from clusterm.enums import JobStatus


def started(context: Context, answer: Json, *, wait: bool, follow: bool) -> Result:
    """Return the result of a command that started a job.

    Args:
        context: the service to ask for the job's end.
        answer: the job, as the service sent it.
        wait: whether to wait for the job's end.
        follow: whether to print the job's log until its end; implies `wait`.
    """
    job = read(schemas.Job, answer)
    queued = job.status is JobStatus.QUEUED
    if not (wait or follow):
        hint = f"follow it with: clusterctl job get {job.id} --follow"
        return Result([Document(answer, job_views.job_brief), Note(f"the job is queued; {hint}" if queued else hint)])
    note(f"job {job.id} {'is queued' if queued else 'started'}: {job.desc}")
    client = context.rest
    if follow:
        return Result([job_log(client, job.id)], then=lambda: conclude(following.end(client, job.id, note)))
    ended = wait_for_end(client, job.id)
    return Result([Document(ended, job_views.job)], then=partial(conclude, ended))


def wait_for_end(client: RestClient, job: int, *, timeout: float | None = None) -> Json:
    """Wait until a job has ended, with its progress in a status line, and return it.

    Args:
        client: the service.
        job: the job's id.
        timeout: seconds to wait; None waits without a limit.

    Raises:
        NotComplete: the job has not ended in time.
    """
    with status_line() as line:

        def print_note(text: str) -> None:
            line.write("")
            note(text)

        return following.end(
            client, job, print_note, timeout=timeout, report=lambda answer: line.write(job_views.job_progress(answer))
        )


def find(client: RestClient, job: str | None) -> Json:
    """Return the named job; without a name the active one, or if no job is active the last one.

    Prints a note if the job is queued, because following it prints nothing until it starts.

    Raises:
        Refused: the job does not exist.
    """
    found = client.job(parse_job(job), logs=False) if job else _active_or_last(client)
    shown = read(schemas.Job, found)
    if shown.status is JobStatus.QUEUED:
        note(f"job {shown.id} is queued: {shown.desc}")
    return found


def conclude(answer: Json) -> Result:
    """Return the note that ends a command that waited for a job.

    Raises:
        NotComplete: the job did not end Complete.
    """
    job = read(schemas.Job, answer)
    if job.status is not JobStatus.COMPLETE:
        reason = f": {job.error}" if job.error else ""
        raise NotComplete(f"job {job.id} ended {job.status}{reason}; see it with: clusterctl job get {job.id}")
    return Result([Note(f"job {job.id} ended Complete")])


def job_log(client: RestClient, job: int, *, printed: bool = True) -> Stream:
    """Return a job's log as it is written, with the job's progress in a status line below it.

    Args:
        client: the service.
        job: the job's id.
        printed: whether to print the log lines; otherwise only the status line is shown.
    """
    lines = with_status_line(following.log_lines(client, job, note), client, job, job_views.job_progress)
    shown = lines if printed else (line for line in lines if not line)
    return Stream(shown, log_views.log_text(timestamps=False), live=True)


def _active_or_last(client: RestClient) -> Json:
    try:
        return client.job("active", logs=False)
    except Refused:
        return client.job("last", logs=False)
