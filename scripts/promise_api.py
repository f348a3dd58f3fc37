"""Write what version 1 of the API and its Python client promise to tests/docs/v1.txt, as part of a release.

Nothing of it is removed later. Each line is one promise. A line that begins with "required" limits what requests and
calls have to contain.
"""

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, get_type_hints, is_typeddict

from generate_docs import openapi
from reference_markdown import REF
from reference_of_rest import sent

from clusterctl import api
from clusterm.problem_codes import ProblemCode

PROMISED: Final = Path(__file__).parents[1] / "tests" / "docs" / "v1.txt"


def promises(document: dict[str, Any]) -> set[str]:
    """Return what an OpenAPI document, the codes of problems and the Python client promise."""
    return {*_operations(document), *_schemas(document), *_codes(), *_client()}


def _operations(document: dict[str, Any]) -> Iterator[str]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            name = operation["operationId"]
            yield f"operation {name}: {method.upper()} {path}"
            role = next((role for each in operation["security"] for role in each["token"]), "none")
            yield f"operation {name}: role {role}"
            for parameter in operation.get("parameters", ()):
                yield f"operation {name}: {parameter['in']} {parameter['name']}"
                if parameter["required"]:
                    yield f"required {name}: {parameter['name']}"
            if body := operation.get("requestBody"):
                yield f"operation {name}: takes {_type(body['content']['application/json']['schema'])}"
                if body.get("required"):
                    yield f"required {name}: body"
            for media_type, content in operation["responses"]["200"]["content"].items():
                yield f"operation {name}: returns {media_type} {_type(content['schema'])}"


def _schemas(document: dict[str, Any]) -> Iterator[str]:
    schemas = document["components"]["schemas"]
    operations = {each["operationId"]: each for path in document["paths"].values() for each in path.values()}
    in_requests = sent(operations, schemas)
    for name, schema in schemas.items():
        for value in schema.get("enum", ()):
            yield f"schema {name}: value {value}"
        for member, described in schema.get("properties", {}).items():
            yield f"schema {name}: member {member} {_type(described)}"
        for member in schema.get("required", ()) if name in in_requests else ():
            yield f"required {name}: {member}"


def _codes() -> Iterator[str]:
    for code in ProblemCode:
        yield f"problem {code}: {code.status.value}"


def _client() -> Iterator[str]:
    for name in api.__all__:
        exported = getattr(api, name)
        yield f"client {name}: exported"
        if not inspect.isclass(exported):
            continue
        if issubclass(exported, Exception):
            bases = (base.__name__ for base in exported.__mro__)
            yield from (f"client {name}: is {base}" for base in bases if hasattr(api, base))
        elif is_typeddict(exported):
            yield from (f"client {name}: option {option}" for option in get_type_hints(exported))
        else:
            yield from _call(f"{name}.__init__", exported)
            methods = inspect.getmembers_static(exported, inspect.isfunction)
            for method, function in methods:
                if not method.startswith("_"):
                    yield from _call(f"{name}.{method}", function)


def _call(name: str, function: Callable[..., Any]) -> Iterator[str]:
    yield f"client {name}: callable"
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name != "self":
            yield f"client {name}: argument {parameter.name}"
            if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD:
                yield f"required {name}: {parameter.name}"


def _type(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return "|".join(map(_type, schema["anyOf"]))
    if "items" in schema:
        return f"array({_type(schema['items'])})"
    return str(schema["$ref"].removeprefix(REF) if "$ref" in schema else schema.get("type", "any"))


if __name__ == "__main__":
    PROMISED.write_text("".join(f"{line}\n" for line in sorted(promises(openapi()))))
