"""The definitions of actions with which jobs were accepted, as jobs keep them.

A change of the configuration, or of clusterm, does not change what the action of an accepted job is.
"""

import logging
from dataclasses import replace
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from clusterm.common.actions import ACTIONS, UNCHANGED, ActionSpec
from clusterm.common.redaction import MASK, SecretNames
from clusterm.enums import EventName
from clusterm.store import tables

log = logging.getLogger(__name__)

_SPEC: Final = TypeAdapter(ActionSpec)


def dump(spec: ActionSpec, names: SecretNames) -> dict[str, Any]:
    """Return a definition as JSON, with the defaults of vars masked whose names are secret."""
    shown = [replace(var, default=MASK) if names.hide(var.name, var.default) else var for var in spec.vars]
    return dict(_SPEC.dump_python(spec.with_terms(vars=tuple(shown)), mode="json"))


def of_job(job: tables.Job) -> ActionSpec:
    """Return the definition of a job's action.

    That of a job from before definitions were kept is the present one. A definition that cannot be read, as after
    damage, is replaced by one that runs no step and does not change the status of nodes.
    """
    if job.definition is not None:
        try:
            return _SPEC.validate_python(job.definition)
        except ValidationError as error:
            log.error("the definition of job %s cannot be read: %s", job.id, error.errors()[0]["msg"])  # noqa: TRY400
    return ACTIONS.get(job.action) or unreadable(job.action)


def unreadable(name: str) -> ActionSpec:
    """Return a definition in place of one that cannot be read."""
    return ActionSpec(
        name, summary="", description="", steps=(), ended_event=EventName.ACTION_ENDED, transition=UNCHANGED
    )
