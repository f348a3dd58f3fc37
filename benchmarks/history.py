"""Fill a store with ended jobs, in the form that the service stores."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from service import NODES, Clusterm
from sqlmodel import Session

from clusterm.enums import Action, EventName, JobStatus, Result, State, Status, StepName
from clusterm.store import log_lines, tables
from clusterm.store.engine import Store
from clusterm.store.migrations import migrate

LINES: Final = 100
"""Number of lines per job."""

CHARACTERS: Final = 250
"""Number of characters per line."""


def fill(clusterm: Clusterm, jobs: int) -> None:
    """Add a history of jobs, each on all nodes, to a clusterm that is not started yet."""
    clusterm.state_dir.mkdir()
    store = Store(f"sqlite:///{clusterm.state_dir / 'clusterm.db'}")
    try:
        migrate(store)
        with store.write() as session:
            session.add_all(_nodes())
            for number in range(1, jobs + 1):
                _add_job(session, number)
    finally:
        store.close()


def _nodes() -> Iterator[tables.Node]:
    for number, name in enumerate(NODES, start=1):
        label, _, serial = name.partition("-")
        yield tables.Node(
            name=name,
            label=label,
            serial=serial,
            address=f"127.0.1.{number}",
            status=Status.ALLOCATED,
            prev_status=Status.MAINTENANCE,
            state=State.DISCOVERED,
            prev_state=State.UNKNOWN,
            host_group="service-master",
        )


def _add_job(session: Session, number: int) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number)
    session.add(
        tables.Job(
            id=number,
            action=Action.UPDATE,
            status=JobStatus.COMPLETE,
            host_group="",
            extra_vars={},
            requested_by="127.0.0.1",
            created_at=at,
            started_at=at,
            finished_at=at,
            end_order=number,
            lines=LINES,
            bytes=LINES * (CHARACTERS + 1),
            recap={name: {"ok": 5, "changed": 1} for name in NODES},
        )
    )
    session.flush()
    session.add_all(
        tables.JobNode(job_id=number, position=position, node=name, held=False)
        for position, name in enumerate(NODES, start=1)
    )
    session.add(
        tables.JobStep(
            job_id=number,
            number=1,
            name=StepName.CONFIGURE,
            playbook="site.yml",
            started_at=at,
            finished_at=at,
            exit_status=0,
            first_line=1,
        )
    )
    line = {"job_id": number, "at": at, "text": "." * CHARACTERS, "partial": False, "task": None, "node": None}
    log_lines.append(session, [{**line, "seq": seq} for seq in range(1, LINES + 1)])
    session.add_all(
        tables.Event(at=at, node=name, event=EventName.UPDATED, result=Result.PASS, job_id=number, detail=None)
        for name in NODES
    )
