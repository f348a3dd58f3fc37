"""Generators make clients from the OpenAPI document that compile, and the one in Python runs a job."""

import compileall
import json
import os
import subprocess
import textwrap
from pathlib import Path
from typing import Final

import pytest
from support.documents import ROOT
from support.programs import SCRIPTED
from support.service import WAIT_TIMEOUT_S, Clusterm

GENERATORS: Final = ROOT / ".venv-generators"
PYTHON: Final = GENERATORS / "bin"
NODE: Final = GENERATORS / "node_modules" / ".bin"

IN_PYTHON = """
    import sys

    from generated import Client
    from generated.api.jobs import get_job, get_job_log
    from generated.api.nodes import commission_nodes, get_node, list_nodes
    from generated.models import Job, JobStatus, NodePage, NodesRequest, Outcome, Problem, Status

    client = Client(base_url=sys.argv[1])
    begun = commission_nodes.sync(client=client, body=NodesRequest(nodes=["node1-a"], host_group="service-master"))
    assert isinstance(begun, Job), begun
    log = get_job_log.sync(client=client, job=str(begun.id), follow=True)
    assert isinstance(log, str) and log.endswith("\\n"), log
    ended = get_job.sync(client=client, job=str(begun.id), logs=False)
    assert isinstance(ended, Job) and ended.status is JobStatus.COMPLETE, ended
    assert ended.outcomes.additional_properties == {"node1-a": Outcome.PASSED}, ended
    first = list_nodes.sync(client=client, limit=1)
    assert isinstance(first, NodePage) and first.items[0].inventory_state.status is Status.ALLOCATED, first
    second = list_nodes.sync(client=client, limit=1, cursor=first.next_)
    assert isinstance(second, NodePage) and second.next_ is None, second
    missing = get_node.sync(client=client, name="nobody")
    assert isinstance(missing, Problem) and missing.code == "node_not_found", missing
"""

IN_TYPESCRIPT = """
    import type { components, operations, paths } from "./api";

    type Job = operations["get_job"]["responses"][200]["content"]["application/json"];
    type Problem = operations["get_job"]["responses"][404]["content"]["application/problem+json"];

    export const path: keyof paths = "/v1/commission/nodes";
    export const page: components["schemas"]["JobPage"] = { items: [], next: null };
    export const hasFailed = (job: Job): boolean => job.status === "Errored" && job.failures.length > 0;
    export const isUnknown = (problem: Problem): boolean => problem.code === "job_not_found";
    // @ts-expect-error: no job has this status
    export const isOver = (job: Job): boolean => job.status === "Over";
"""


def requires(program: Path) -> pytest.MarkDecorator:
    """Mark a test that needs a generator: where it is absent the test is skipped, but in CI it runs, and so fails."""
    absent = not program.exists() and "CI" not in os.environ
    return pytest.mark.skipif(absent, reason=f"{program.name} is not installed: make client-generators")


def run(*command: str | Path, cwd: Path) -> str:
    """Run a program that must succeed, and return its output."""
    environment = {**os.environ, "PATH": f"{PYTHON}{os.pathsep}{os.environ['PATH']}"}
    ended = subprocess.run(
        command,
        check=False,
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=WAIT_TIMEOUT_S,
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


@pytest.fixture(scope="module")
def service(module_clusterm: Clusterm) -> Clusterm:
    module_clusterm.use_program(SCRIPTED)
    service = module_clusterm.start()
    service.add_nodes("node1-a", "node2-b")
    return service


@pytest.fixture
def document(service: Clusterm, tmp_path: Path) -> Path:
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(service.get("/openapi.json")))
    return file


@requires(PYTHON / "openapi-python-client")
def test_a_python_client_runs_a_job(service: Clusterm, document: Path, tmp_path: Path) -> None:
    settings = tmp_path / "generator.yml"
    settings.write_text("post_hooks: []\n")
    told = run(
        *(PYTHON / "openapi-python-client", "generate", "--path", document, "--config", settings),
        *("--meta", "none", "--output-path", "generated"),
        cwd=tmp_path,
    )
    assert "warning" not in told.lower(), told
    assert compileall.compile_dir(tmp_path / "generated", quiet=1)
    (tmp_path / "use.py").write_text(textwrap.dedent(IN_PYTHON))
    run(PYTHON / "python", "use.py", str(service.http.base_url), cwd=tmp_path)


@requires(NODE / "tsc")
def test_types_for_typescript_compile(document: Path, tmp_path: Path) -> None:
    run(NODE / "openapi-typescript", document, "--output", "api.ts", cwd=tmp_path)
    (tmp_path / "use.ts").write_text(textwrap.dedent(IN_TYPESCRIPT))
    run(NODE / "tsc", "--noEmit", "--strict", "--skipLibCheck", "use.ts", cwd=tmp_path)
