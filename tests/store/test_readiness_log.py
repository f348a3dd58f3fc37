"""The log of the readiness."""

import logging

import pytest

from clusterm.background.readiness_log import ReadinessLog
from clusterm.schemas import HealthCheck


def test_changes_of_readiness_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    checks = {
        "database": HealthCheck(ok=True, needed=True, why=None),
        "serf": HealthCheck(ok=False, needed=False, why="no agent"),
    }
    task = ReadinessLog(lambda: checks)
    full, missing = (HealthCheck(ok=False, needed=True, why=why) for why in ("the disk is full", "it is missing"))
    with caplog.at_level(logging.INFO):
        for present in (checks["database"], full, full, missing, checks["database"], checks["database"]):
            checks["database"] = present
            task.run()
    assert caplog.messages == [
        "the service is not ready: the disk is full",
        "the service is not ready: it is missing",
        "the service is ready again",
    ]
