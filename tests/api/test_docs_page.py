"""The page that explains the API works without the internet, and what it shows is a valid OpenAPI document."""

import json
import re
from typing import Any

import pytest
from fastapi.openapi.models import OpenAPI
from support.service import Clusterm

VERBS = {
    *("get", "list", "commission", "decommission", "update", "discover", "plan", "set", "rename", "remove", "import"),
    *("cancel", "retry", "compare", "explain", "report", "run", "drain", "undrain", "create", "revoke"),
}
"""What the ids of operations begin with; an object follows."""


@pytest.fixture(scope="module")
def service(module_clusterm: Clusterm) -> Clusterm:
    return module_clusterm.start()


def test_the_page_and_all_that_it_loads_come_from_the_service_itself(service: Clusterm) -> None:
    response = service.http.get("/docs")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    page = response.text
    assert not re.search(r"(?:https?:)?//(?!www\.w3\.org/)[\w.-]+\.\w", page), "another host is named"
    loaded = re.findall(r"""(?:src|href|url)\s*[=:]\s*["']([^"']+)["']""", page)
    assert {path.rpartition(".")[2] for path in loaded} >= {"js", "css", "json"}
    for path in loaded:
        answer = service.http.get(path)
        assert answer.status_code == 200, path
        assert answer.content
        if path.endswith(".css"):
            assert not re.search(r"@import|url\(\s*[\"']?(?:https?:)?//", answer.text)


def test_no_other_page_loads_from_elsewhere(service: Clusterm) -> None:
    assert service.http.get("/redoc").status_code == 404


def test_the_document_is_valid(service: Clusterm) -> None:
    document = service.get("/openapi.json")
    assert document["openapi"].startswith("3.1")
    OpenAPI.model_validate(document)
    assert document["info"]["title"] == "clusterm"
    assert document["info"]["version"]
    assert document["info"]["description"]


def test_every_reference_leads_somewhere_and_everything_is_referred_to(service: Clusterm) -> None:
    document = service.get("/openapi.json")
    text = json.dumps(document)
    referred = set(re.findall(r'"\$ref": "#/components/schemas/([^"]+)"', text))
    assert text.count('"$ref": ') == len(re.findall(r'"\$ref": "#/components/schemas/', text))
    assert referred == set(document["components"]["schemas"])


def test_operation_ids_are_unique_and_path_parameters_are_described(service: Clusterm) -> None:
    document: dict[str, Any] = service.get("/openapi.json")
    ids = []
    for path, operations in document["paths"].items():
        for about in operations.values():
            ids.append(about["operationId"])
            assert about["operationId"].partition("_")[0] in VERBS, path
            assert re.fullmatch(r"[a-z]+(_[a-z]+)+", about["operationId"]), path
            named = {one["name"] for one in about.get("parameters", []) if one["in"] == "path"}
            assert named == set(re.findall(r"\{(\w+)\}", path))
    assert len(ids) == len(set(ids))


def test_names_of_schemas_are_words(service: Clusterm) -> None:
    assert [name for name in service.get("/openapi.json")["components"]["schemas"] if not name.isalpha()] == []
