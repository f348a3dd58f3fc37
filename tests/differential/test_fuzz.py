"""Random playbooks: the job's word and ansible's never differ. `make fuzz` tries many of them."""

import os
from typing import Any, Final

from differential.compare import differences
from differential.random_playbooks import playbooks, to_yaml
from differential.runs import Case, Site
from hypothesis import HealthCheck, given, note, settings

EXAMPLES: Final = os.environ.get("FUZZ_EXAMPLES")
"""How many playbooks to try; without it a few, which are always the same."""


@settings(
    max_examples=int(EXAMPLES or 6),
    derandomize=EXAMPLES is None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(playbook=playbooks)
def test_random_playbooks(site: Site, playbook: list[dict[str, Any]]) -> None:
    text = to_yaml(playbook)
    note(text)
    (site.playbooks / "random.yml").write_text(text)
    recorded, stored = site.run(Case("random.yml"))
    found = differences(recorded, stored, list(site.nodes))
    assert not found, "\n".join(map(str, found))
