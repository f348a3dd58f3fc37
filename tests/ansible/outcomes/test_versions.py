"""The versions of ansible-core that run the rows."""

import os

import pytest
from support import ansible_versions


@pytest.mark.skipif("CI" not in os.environ, reason="a machine may lack the Python that a version needs")
def test_ci_has_several_versions() -> None:
    assert len([version for version in ansible_versions.ALL if ansible_versions.is_there(version)]) >= 3
