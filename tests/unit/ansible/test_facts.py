"""Names of discovered machines, made from their facts."""

import hashlib
import json
from pathlib import Path

import pytest
from support.factories import NOW

from clusterm.ansible.facts import file_stem, identify
from clusterm.ansible.job_spec import JobSpec, prepare
from clusterm.common.actions import ACTIONS
from clusterm.enums import Action
from clusterm.schemas import Job, MonitoredNode
from clusterm.settings import Settings


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({"hostname": "web1", "product_serial": "4C4C", "machine_id": "ffee"}, "web1-4C4C"),
        ({"hostname": "web1", "product_serial": " VMware-56 4d\n", "machine_id": "ffee"}, "web1-VMware-56-4d"),
        *(
            ({"hostname": "web1", "product_serial": serial, "machine_id": "ffee"}, "web1-ffee")
            for serial in (
                "",
                "NA",
                "None",
                "To Be Filled By O.E.M.",
                "Default string",
                "System Serial Number",
                "000",
                "\n",
            )
        ),
        ({"hostname": "web1"}, "web1-a.example"),
        ({"hostname": "../etc/{{x}}", "machine_id": "$(id)"}, "etc-x-id"),
        (
            {"hostname": "ü", "product_serial": "y" * 500},
            "a.example-" + "y" * 119 + "-" + hashlib.sha256(b"y" * 500).hexdigest()[:8],
        ),
    ],
)
def test_a_machine_is_called_by_its_name_and_serial(tmp_path: Path, facts: dict[str, str], name: str) -> None:
    (tmp_path / "facts").mkdir()
    (tmp_path / "facts" / "connections.json").write_text('{"a.example": "ssh"}')
    (tmp_path / "facts" / f"{file_stem('a.example')}.json").write_text(json.dumps(facts))
    found = identify(plan(tmp_path), tmp_path, ["a.example"], lambda: False)["a.example"]
    assert isinstance(found, MonitoredNode)
    assert (found.name, found.addr) == (name, "a.example")


def plan(root: Path) -> JobSpec:
    settings = Settings.model_validate({"manager": {"state_dir": str(root / "state")}})
    job = Job.model_construct(  # type: ignore[call-arg]
        id=1, action=Action.DISCOVER, nodes=["a.example"], host_group="", check=False, created_at=NOW
    )
    return JobSpec.load(prepare(settings, job, ACTIONS[Action.DISCOVER], [], {}, {}))
