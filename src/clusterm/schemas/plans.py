"""Plans: the effect of a request, without running it."""

from typing import Any

from pydantic import (
    Field,
)

from clusterm.schemas.base import ActionName, ResponseModel, StepLabel
from clusterm.schemas.nodes import Node


class PlannedStep(ResponseModel):
    """A playbook run of a planned job."""

    name: StepLabel
    playbook: str = Field(description="Path of the playbook.", examples=["/etc/clusterm/playbooks/site.yml"])
    condition: str | None = Field(
        description="Condition under which the step runs; null for always.", examples=["if configure fails"]
    )
    retries: int = Field(default=0, description="How often it is repeated on the nodes that have failed it.")
    error: str | None = Field(description="Reason for which the step cannot run now; null if it can.")


class Objection(ResponseModel):
    """A reason for which a request would be rejected."""

    nodes: list[str] = Field(description="Nodes affected; empty if the reason concerns the whole request.")
    reason: str


class Plan(ResponseModel):
    """The effect of a request if it were sent now."""

    action: ActionName
    host_group: str
    nodes: list[Node] = Field(description="The nodes of the job, in their current state.")
    batches: list[list[str]] = Field(description="Names of the nodes by batch; a single batch without a limit.")
    max_failures: int = Field(
        default=0, description="How many nodes may fail before the job stops after a batch.", examples=[2]
    )
    partial_success: bool = Field(default=False, description="Nodes pass even if other nodes of the job fail.")
    check: bool
    steps: list[PlannedStep] = Field(description="The steps that run on each batch.")
    inventory: dict[str, Any] = Field(description="The inventory of all batches together, secrets redacted.")
    extra_vars: dict[str, Any] = Field(
        description="Merged extra vars of configuration, globals and request, secrets redacted."
    )
    var_sources: dict[str, str] = Field(
        default_factory=dict,
        description="Where the value of each extra var comes from: `configuration`, `globals`, `request` or `default`.",
        examples=[{"release": "request"}],
    )
    confirm: int = Field(default=0, description="The number of nodes to send as `confirm`.", examples=[40])
    waits_for: str | None = Field(
        description="The job that must end first if the request would be queued; otherwise null."
    )
    objections: list[Objection] = Field(description="All reasons for a rejection; empty if it would be accepted.")
