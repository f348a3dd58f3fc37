"""Whatever is sent to the API as its document describes it, or nearly so: the answers are as the document says."""

from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi import checks
from support.programs import SCRIPTED
from support.service import WAIT_TIMEOUT_S, Clusterm

CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.status_code_conformance,
]


@pytest.fixture(scope="module")
def service(module_clusterm: Clusterm) -> Clusterm:
    """A clusterm with nodes and jobs, one of which has failed."""
    module_clusterm.use_program(SCRIPTED)
    clusterm = module_clusterm.start()
    clusterm.add_nodes("node1-a", "node2-b")
    clusterm.run("commission", ["node1-a"], extra_vars={"lines": 3})
    clusterm.run("commission", ["node2-b"], extra_vars={"status": 1})
    return clusterm


def test_answers_are_as_the_document_says(service: Clusterm, subtests: pytest.Subtests) -> None:
    document = schemathesis.openapi.from_url(f"{service.http.base_url}/openapi.json")
    with requests.Session() as session:
        session.trust_env = False
        for found in document.get_all_operations():
            assert isinstance(found, Ok)
            operation = found.ok()

            @settings(derandomize=True, max_examples=25, suppress_health_check=list(HealthCheck))
            @given(case=operation.as_strategy(GenerationMode.POSITIVE) | operation.as_strategy(GenerationMode.NEGATIVE))
            def conforms(case: Case[Any]) -> None:
                wait = case.query.get("wait")
                if isinstance(wait, (int, float)) and 0 <= wait <= 25:
                    case.query = {**case.query, "wait": 0}  # nothing happens meanwhile
                if case.query.get("format") == "events":  # of which the document describes the data, not the envelope
                    case.query = {**case.query, "format": "ndjson"}
                case.call_and_validate(session=session, timeout=WAIT_TIMEOUT_S, checks=CHECKS)

            with subtests.test(operation.label):
                conforms()
