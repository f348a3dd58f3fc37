"""A sample of `faults`: a fault of each kind, in each of the processes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.requirements import requires
from system.faults.faults import Bench
from system.faults.injection import Fault, compile_library

pytestmark = requires("cc")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder: Path = tmp_path_factory.mktemp("faults")
    bench = Bench(folder, compile_library(folder))
    yield bench
    bench.close()


@pytest.mark.parametrize(
    "fault",
    [
        Fault("start", "thread", "EAGAIN", 1),
        Fault("start", "thread", "EAGAIN", 4),
        Fault("service", "write", "EIO", 3),
        Fault("service", "sync", "cut", 2),
        Fault("service", "spawn", "EAGAIN", 1),
        Fault("service", "name", "EIO", 3),
        Fault("executor", "open", "EIO", 4),
        Fault("executor", "sync", "mixed", 5),
        Fault("wrapper", "write", "tear", 5),
    ],
    ids=str,
)
def test_a_fault_loses_nothing_and_confuses_nothing(bench: Bench, fault: Fault) -> None:
    assert bench.attempt(fault), "there was no such call"
