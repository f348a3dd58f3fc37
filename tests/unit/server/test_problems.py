"""Rejections in the log."""

import logging

import pytest
from starlette.requests import Request

from clusterm.access.principal import Principal
from clusterm.enums import TokenRole
from clusterm.problem_codes import ProblemCode
from clusterm.server.problems import reject


@pytest.mark.parametrize(
    ("principal", "sender"),
    [(None, "10.0.0.1"), (Principal(token_id=1, name="ann", role=TokenRole.OPERATOR), "ann at 10.0.0.1")],
)
def test_the_log_names_the_token_and_the_address(
    principal: Principal | None, sender: str, caplog: pytest.LogCaptureFixture
) -> None:
    scope = {"type": "http", "method": "POST", "path": "/globals", "headers": [], "client": ("10.0.0.1", 5)}
    request = Request(scope)
    request.state.principal = principal
    with caplog.at_level(logging.INFO):
        reject(request, ProblemCode.INVALID_REQUEST, "nothing is given")
    assert caplog.messages == [f"POST /globals from {sender} rejected with 422: nothing is given"]
