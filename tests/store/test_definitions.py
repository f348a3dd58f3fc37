"""The definition that a job keeps of its action."""

from datetime import UTC, datetime
from typing import Any

import pytest

from clusterm.common.actions import ACTIONS, ActionSpec, VarSpec
from clusterm.common.redaction import SecretNames
from clusterm.enums import JobStatus
from clusterm.store import definitions, tables
from clusterm.store import jobs as job_queries
from clusterm.store.engine import Store


def kept(store: Store, action: str, definition: Any) -> ActionSpec:
    """Store a job, and return the definition with which it is read."""
    with store.write() as session:
        job = tables.Job(
            action=action,
            definition=definition,
            status=JobStatus.QUEUED,
            host_group="",
            extra_vars={},
            requested_by="ann",
            created_at=datetime.now(UTC),
        )
        session.add(job)
        session.flush()
        job_id = job.id
    with store.read() as session:
        return definitions.of_job(job_queries.get(session, job_id))


@pytest.mark.parametrize("spec", ACTIONS.values(), ids=lambda spec: spec.name)
def test_a_definition_is_read_as_it_was_stored(store: Store, spec: ActionSpec) -> None:
    assert kept(store, spec.name, definitions.dump(spec, SecretNames())) == spec


def test_a_job_keeps_a_definition_that_nothing_else_has_any_more(store: Store) -> None:
    gone = definitions.dump(ACTIONS["update"], SecretNames()) | {"name": "patch", "description": "of the past"}
    assert kept(store, "patch", gone).description == "of the past"


def test_a_job_from_before_has_the_present_definition(store: Store) -> None:
    assert kept(store, "update", None) is ACTIONS["update"]


@pytest.mark.parametrize("damaged", [{}, {"name": 7}, {"steps": "x"}])
def test_a_damaged_definition_runs_nothing_and_leaves_nodes_as_they_were(store: Store, damaged: Any) -> None:
    spec = kept(store, "patch", damaged)
    assert (spec.name, spec.steps, spec.on_nodes) == ("patch", (), True)
    assert spec.transition
    assert (spec.transition.running, spec.transition.success, spec.transition.failure) == (None, None, None)


def test_vars_are_kept_with_the_definition_and_secret_defaults_are_masked(store: Store) -> None:
    declared = (VarSpec("api_token", default="x"), VarSpec("pool", secret=True), VarSpec("release", default="9.4"))
    spec = kept(store, "patch", definitions.dump(ACTIONS["update"].with_terms(vars=declared), SecretNames()))
    assert [(var.name, var.secret, var.default) for var in spec.vars] == [
        ("api_token", False, "********"),
        ("pool", True, None),
        ("release", False, "9.4"),
    ]
