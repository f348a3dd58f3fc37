"""Run some rounds of `chaos.py`."""

from pathlib import Path

import pytest
from system.chaos import Round


@pytest.mark.parametrize("seed", [9, 43, 26])  # without wrappers killed, with them, and with real ansible
def test_a_round_of_chaos(seed: int, tmp_path: Path) -> None:
    Round(seed, tmp_path / "clusterm").run(jobs=1)
