"""Every action is complete: a specification, playbooks that settings name, routes, columns for its terms."""

import pytest

from clusterm import schemas
from clusterm.common.actions import ACTIONS, NODE_ACTIONS, ActionSpec, HostGroupUse
from clusterm.enums import BEGINNINGS, Action, Status, StepName
from clusterm.routes import nodes
from clusterm.settings import AnsibleSettings
from clusterm.store import tables

each_spec = pytest.mark.parametrize("spec", ACTIONS.values(), ids=lambda spec: spec.name)


def test_every_action_has_a_spec() -> None:
    assert set(ACTIONS) == set(Action)
    assert [name for name, spec in ACTIONS.items() if spec.name != name] == []


@each_spec
def test_every_step_has_a_playbook_in_the_settings(spec: ActionSpec) -> None:
    steps = list(spec.all_steps())
    assert steps
    assert {step.playbook_setting for step in steps} <= set(AnsibleSettings.model_fields)
    assert {step.name for step in steps} <= set(StepName)


@each_spec
def test_every_action_has_a_route_and_its_texts(spec: ActionSpec) -> None:
    routes = {route.path: route for route in nodes.routes.routes}  # type: ignore[attr-defined]
    assert routes[f"/{spec.name}/nodes"].summary == spec.summary  # type: ignore[attr-defined]
    assert spec.description
    assert bool(spec.suggestion) is spec.on_nodes


@pytest.mark.parametrize("spec", NODE_ACTIONS, ids=lambda spec: spec.name)
def test_an_action_on_nodes_is_recorded_when_it_begins(spec: ActionSpec) -> None:
    assert spec.begun_event in BEGINNINGS
    kinds = [spec.enters_cluster, spec.stays_in_cluster, spec.leaves_cluster]
    assert kinds.count(True) == 1, "so that exactly one rule about masters holds"


def test_actions_relate_to_the_cluster_by_their_transition() -> None:
    assert [spec.name for spec in NODE_ACTIONS if spec.enters_cluster] == [Action.COMMISSION]
    assert [spec.name for spec in NODE_ACTIONS if spec.stays_in_cluster] == [Action.UPDATE]
    assert [spec.name for spec in NODE_ACTIONS if spec.leaves_cluster] == [Action.DECOMMISSION]
    assert [spec.name for spec in NODE_ACTIONS if spec.host_group is HostGroupUse.REQUIRED] == [Action.COMMISSION]
    running = [spec.transition.running for spec in NODE_ACTIONS if spec.transition]
    assert set(running) == {Status.PROVISIONING, Status.MAINTENANCE, Status.CANCELLED}


def test_every_term_of_a_job_is_stored_and_shown() -> None:
    terms = set(schemas.JobTerms.model_fields)
    assert terms <= set(tables.Job.model_fields)
    assert terms <= set(schemas.Job.model_fields)
    assert terms <= set(schemas.NodesRequest.model_fields)
