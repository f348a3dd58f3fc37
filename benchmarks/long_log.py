"""Fill a store with one job of very many lines, attributed to nodes and tasks."""

from datetime import UTC, datetime, timedelta
from typing import Final

from history import CHARACTERS
from service import NODES, Clusterm
from sqlmodel import Session

from clusterm.enums import Action, JobStatus, TaskStatus
from clusterm.store import log_lines, tables
from clusterm.store.engine import Store
from clusterm.store.migrations import migrate

BEGAN: Final = datetime(2026, 1, 1, tzinfo=UTC)
LINE_TIME: Final = timedelta(milliseconds=2)

_BATCH: Final = 5000  # lines per transaction
_OF_RESULT: Final = 5  # lines per task result


def fill(clusterm: Clusterm, lines: int) -> None:
    """Add a job of that many lines, with one failure per thousand results, to a clusterm that is not started yet."""
    clusterm.state_dir.mkdir()
    store = Store(f"sqlite:///{clusterm.state_dir / 'clusterm.db'}")
    try:
        migrate(store)
        with store.write() as session:
            _add_job(session, lines)
        for first in range(1, lines + 1, _BATCH):
            with store.write() as session:
                _add_lines(session, first, min(first + _BATCH - 1, lines))
    finally:
        store.close()


def _add_job(session: Session, lines: int) -> None:
    session.add(
        tables.Job(
            action=Action.UPDATE,
            status=JobStatus.COMPLETE,
            host_group="",
            extra_vars={},
            requested_by="127.0.0.1",
            created_at=BEGAN,
            started_at=BEGAN,
            finished_at=BEGAN + lines * LINE_TIME,
            end_order=1,
            lines=lines,
            bytes=lines * (CHARACTERS + 1),
            sha256="0" * 64,
        )
    )
    session.flush()
    session.add_all(
        tables.JobTask(job_id=1, number=number, step=1, play="Configure", name=f"Install package {number}")
        for number in range(lines // _BATCH + 1)
    )


def _add_lines(session: Session, first: int, last: int) -> None:
    task = first // _BATCH
    origins = {seq: NODES[seq // _OF_RESULT % len(NODES)] for seq in range(first, last + 1)}
    line = {"job_id": 1, "text": "." * CHARACTERS, "partial": False, "task": task}
    log_lines.append(
        session,
        [{**line, "seq": seq, "at": BEGAN + seq * LINE_TIME, "node": node} for seq, node in origins.items()],
    )
    session.add_all(
        tables.TaskResult(
            job_id=1,
            number=seq // _OF_RESULT,
            task=task,
            node=node,
            status=TaskStatus.OK if seq % 5000 else TaskStatus.FAILED,
            first_line=seq,
            last_line=seq + _OF_RESULT - 1,
        )
        for seq, node in origins.items()
        if seq % _OF_RESULT == 0
    )
