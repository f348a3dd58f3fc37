"""Views of actions."""

from __future__ import annotations

import json
from collections.abc import Iterator

from clusterctl.api.models import Json, read
from clusterctl.output.output import View
from clusterctl.output.rows import Rows
from clusterctl.views.cells import block
from clusterm import schemas


def actions(data: Json) -> View:
    """Return one row per action."""
    yield Rows(
        ("ACTION", "FROM", "BATCH", "VARS", "ROLE", "READY", "DESCRIPTION"),
        [
            (
                each.name,
                " ".join(each.from_status),
                ",".join(map(str, each.batch)) or "-",
                "any" if each.any_vars and not each.vars else " ".join(map(_short, each.vars)) or "-",
                each.role,
                "yes" if each.ready else "no",
                each.description if each.ready else each.problem or "",
            )
            for each in read(schemas.ActionList, data).items
        ],
    )


def action(data: Json) -> View:
    """Return an action, its steps and its vars."""
    shown = read(schemas.ActionInfo, data)
    confirm = "always" if shown.confirm is True else f"more than {shown.confirm} nodes" if shown.confirm else ""
    yield block(
        {
            "Action": shown.name,
            "Description": shown.description,
            "From": " or ".join(shown.from_status),
            "While": shown.while_status or "unchanged",
            "On success": shown.on_success or "unchanged",
            "On failure": shown.on_failure or "unchanged",
            "Host groups": ", ".join(shown.host_groups),
            "Batch": ",".join(map(str, shown.batch)),
            "Max failures": "" if shown.max_failures is None else str(shown.max_failures),
            "Min masters": str(shown.min_masters or ""),
            "Role": shown.role,
            "Confirm": confirm,
            "Check": shown.check,
            "Not ready": shown.problem or "",
        }
    )
    steps = [*shown.steps, *([shown.rollback] if shown.rollback else [])]
    yield "\n"
    yield Rows(("STEP", "PLAYBOOK", "OPTIONS"), [(each.name, each.playbook, _options(each)) for each in steps])
    if shown.vars:
        yield "\n"
        yield Rows(
            ("VAR", "TYPE", "DEFAULT", "DESCRIPTION"),
            [
                (
                    _short(each),
                    "|".join(map(str, each.choices)) or each.type,
                    "" if each.default is None else json.dumps(each.default),
                    each.description,
                )
                for each in shown.vars
            ],
        )


def _short(var: schemas.ActionVarInfo) -> str:
    return f"{var.name}{'*' if var.required else ''}"


def _options(step: schemas.ActionStepInfo) -> str:
    def options() -> Iterator[str]:
        for name in ("tags", "skip_tags"):
            if values := getattr(step, name):
                yield f"{name} {','.join(values)}"
        if step.retries:
            yield f"{step.retries} retries after {step.delay:g} s"
        if step.settle:
            yield f"settles {step.settle:g} s"
        if step.timeout:
            yield f"at most {step.timeout:g} s"

    return ", ".join(options())
