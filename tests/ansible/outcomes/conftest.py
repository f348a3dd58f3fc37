"""The services that run the rows of a module."""

from collections.abc import Iterator

import pytest
from support.outcomes import Runner


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    runner = Runner(tmp_path_factory.mktemp("outcomes"))
    yield runner
    runner.destroy()
