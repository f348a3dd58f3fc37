"""Whatever a job writes, also in the form of records: all of it is read, once, and every answer can be made of it."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlmodel import select

from clusterm.ansible.job_spec import JobSpec
from clusterm.enums import Action, JobStatus, StepName, TaskStatus
from clusterm.executor.output.ingest import Ingest
from clusterm.executor.output.parser import Line, OutputParser
from clusterm.executor.output.records import parse
from clusterm.secrets.masking import Masker
from clusterm.settings import RetentionSettings
from clusterm.store import job_views, tables
from clusterm.store import jobs as job_queries
from clusterm.store.engine import Store
from clusterm.store.migrations import migrate

NONCE = "n0nce"
NODES = ["a-1", "b-2"]
SPEC = JobSpec(
    job_id=0,
    action=Action.COMMISSION,
    store_url="",
    retention=RetentionSettings(),
    location=Path(),
    playbooks={},
    executable="",
    options=[],
    environment={},
    nonce=NONCE,
    key_file="",
    job_timeout=0,
    idle_timeout=0,
    stop_grace=1,
    every_node_needs_a_play=True,
)
EVENTS = ["play", "task", "start", "item", "retry", "result", "stopped", "cleared", "handled", "stats", "error"]

texts = st.one_of(st.sampled_from(["a-1", "b-2", "localhost", "", "\0", "\x1b[2J", "x" * 10_001]), st.text(max_size=5))
numbers = st.one_of(st.integers(-1, 4), st.sampled_from([2**31, 2**53, 2**63, 2**70, 1.5]))
anything = st.recursive(
    st.none() | st.booleans() | numbers | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
counts = st.dictionaries(st.sampled_from(["ok", "failed", "unreachable", "other"]), numbers, max_size=3)
records = st.fixed_dictionaries(
    {"event": st.sampled_from(EVENTS) | texts},
    optional={
        "number": st.integers(1, 4) | numbers,
        "play": texts,
        "task": texts,
        "path": texts,
        "node": texts,
        "status": st.sampled_from([*TaskStatus]) | texts,
        "message": texts,
        "recap": st.dictionaries(texts, counts, max_size=2),
        "nodes": st.dictionaries(texts, st.sampled_from(["passed", "failed", "unfinished"]) | texts, max_size=2),
        "other": anything,
    },
)
spoilt = st.builds(lambda record, name, value: {**record, name: value}, records, st.sampled_from(["number", "node",
    "task", "status", "recap", "nodes"]), anything)  # fmt: skip


def written(record: Any) -> bytes:
    """Write a record as the plugin does."""
    return f"\x1e{NONCE} {json.dumps(record)}\n".encode(errors="replace")


outputs = st.lists(
    st.one_of(
        records.map(written),
        (spoilt | anything).map(written),
        st.binary(max_size=6),
        st.sampled_from([b"line\n", b"\n", b"half", b"\x1e", f"\x1e{NONCE} ".encode(), b"\xff\0\n"]),
    ),
    max_size=12,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path_factory.mktemp('store') / 'clusterm.db'}")
    migrate(store)
    yield store
    store.close()


@given(data=st.dictionaries(texts, anything, max_size=4) | spoilt)
def test_a_record_is_understood_or_not_but_breaks_nothing(data: dict[str, Any]) -> None:
    callback = parse(data)
    if callback is not None:
        assert callback.event == data["event"]
        assert len(callback.model_dump_json()) < 10**6


@given(output=outputs)
@example(output=[written({"event": "result", "number": 1, "task": "t", "node": "a-1", "status": "ok"})] * 2)
@example(output=[written({"event": "task", "number": 2**63, "task": "t"})])
@example(output=[written({"event": "stats", "recap": {"a-1": {"ok": 2**63, "failed": -1}}, "nodes": {"\0": "passed"}})])
@example(output=[written({"event": "stats", "recap": {}, "nodes": {"\0": "passed", "a-1": "failed"}})])
@example(output=[written({"event": "play", "recap": {"a-1": {"ok": 1}}}), written({"event": "play", "recap": {}})])
@example(output=[b"said\n", written({"event": "error", "message": "\0"})] * 2)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_reading_goes_on_whatever_was_written_or_died(store: Store, tmp_path: Path, output: list[bytes]) -> None:
    at_once, with_deaths = (begin(store), begin(store))
    (tmp_path / "times").touch()
    (tmp_path / "output").write_bytes(b"".join(output))
    take(store, at_once, tmp_path)

    for number in range(len(output)):
        (tmp_path / "output").write_bytes(b"".join(output[: number + 1]))
        take(store, with_deaths, tmp_path, finished=False)
    take(store, with_deaths, tmp_path)

    reader = OutputParser(NONCE)
    lines = [found for found in (*reader.feed(b"".join(output)), *reader.close()) if isinstance(found, Line)]
    kept = everything(store, at_once)
    said = [(row["text"], row["partial"]) for row in kept["lines"] if not row["text"].startswith("[clusterm: ")]
    assert said == [(line.text, line.partial) for line in lines]
    assert [row["seq"] for row in kept["lines"]] == list(range(1, len(kept["lines"]) + 1))
    assert everything(store, with_deaths) == kept


def begin(store: Store) -> int:
    """Make a running job on two nodes, with one step."""
    at = datetime.now(UTC)
    with store.write() as session:
        job = tables.Job(
            action=Action.COMMISSION,
            status=JobStatus.RUNNING,
            host_group="service-master",
            extra_vars={},
            requested_by="127.0.0.1",
            created_at=at,
        )
        session.add(job)
        session.flush()
        for position, node in enumerate(NODES, start=1):
            session.add(tables.JobNode(job_id=job.id, position=position, node=node, held=False))
        session.add(
            tables.JobStep(job_id=job.id, number=1, name=StepName.CONFIGURE, playbook="site.yml", started_at=at)
        )
        return job.id


def take(store: Store, job_id: int, directory: Path, *, finished: bool = True) -> None:
    """Read on, as one executor does in its life."""
    with store.read() as session:
        spec = SPEC.model_copy(update={"job_id": job_id})
        ingest = Ingest(session, job_queries.step(session, job_id, 1), NODES, directory, spec, Masker(()))
    while ingest.read():
        pass
    if finished:
        ingest.finish()
    with store.write() as session:
        ingest.write(session)
    ingest.written()
    ingest.close()


def everything(store: Store, job_id: int) -> dict[str, Any]:
    """Return all that is kept of a job, but for times and numbers that differ between jobs; as answers have it."""
    times = {"at", "started_at", "finished_at", "job_id", "id"}
    kinds: dict[str, Any] = {"lines": tables.LogLine, "tasks": tables.JobTask, "results": tables.TaskResult}
    kinds["failures"] = tables.JobFailure
    rows: dict[str, list[dict[str, Any]]] = {}
    with store.read() as session:
        job = job_queries.get(session, job_id)
        for name, table in kinds.items():
            found: Sequence[Any] = session.exec(select(table).where(table.job_id == job_id)).all()
            rows[name] = [row.model_dump(exclude=times) for row in found]
        wire = job_views.to_wire(session, job).model_dump_json()
    assert json.loads(wire)["lines"] == len(rows["lines"])
    return {**rows, "recap": job.recap, "bytes": job.bytes}
