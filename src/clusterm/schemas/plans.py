"""What a request would do."""

from typing import Any

from pydantic import (
    Field,
)

from clusterm.enums import Action, StepName
from clusterm.schemas.base import ResponseModel
from clusterm.schemas.nodes import Node


class PlannedStep(ResponseModel):
    """One playbook run that a job would do."""

    name: StepName
    playbook: str = Field(description="Its path.", examples=["/etc/clusterm/playbooks/site.yml"])
    condition: str | None = Field(description="When it runs; null for always.", examples=["if configure fails"])
    error: str | None = Field(description="Why it cannot be run as things are.")


class Objection(ResponseModel):
    """A reason why a request would be refused."""

    nodes: list[str] = Field(description="The nodes it is about; none where it is about the whole request.")
    reason: str


class Plan(ResponseModel):
    """What a request would do, if it were sent now."""

    action: Action
    host_group: str
    nodes: list[Node] = Field(description="The nodes it means, as they are.")
    batches: list[list[str]] = Field(description="Their names, batch by batch; one batch where there is no limit.")
    check: bool
    steps: list[PlannedStep] = Field(description="What is run on each batch.")
    inventory: dict[str, Any] = Field(description="The inventory of all batches together, secrets redacted.")
    extra_vars: dict[str, Any] = Field(
        description="Those of the configuration, the globals and the request put together, secrets redacted."
    )
    waits_for: str | None = Field(description="The job that would have to end first, if it may wait for its turn.")
    objections: list[Objection] = Field(description="All reasons why it would be refused; none if it would be taken.")
