"""A service that runs the playbooks of this folder."""

from collections.abc import Iterator

import pytest
from differential.runs import PLAYBOOKS, Site, running_site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running service whose nodes are this machine."""
    with running_site(tmp_path_factory.mktemp("module") / "site", PLAYBOOKS) as site:
        yield site
