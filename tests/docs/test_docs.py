"""The documentation: complete, in step with the code, and without broken links or commands that do not exist."""

import importlib.util
import os
import re
import shlex
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer.main
from support.documents import DOCS, ROOT, blocks, commands, documents, prose
from typer.testing import CliRunner

import clusterctl.app
import clusterctl.errors
import clusterctl.run
import clusterm.cli.main
from clusterm import enums
from clusterm.settings import Settings, model_of, prefix_of

REFERENCE = DOCS / "reference"
PROGRAMS: dict[str, Any] = {
    str(app.info.name): typer.main.get_command(app) for app in (clusterctl.app.app, clusterm.cli.main.cli)
}

each_document = pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))


# The reference


@pytest.fixture
def generate_docs(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, which is no part of a package."""
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return importlib.import_module("generate_docs")


def test_the_reference_is_in_step_with_the_code(generate_docs: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    status = generate_docs.main(["--check"])
    assert (status, capsys.readouterr().err) == (0, "")


def test_check_names_what_is_stale_and_changes_nothing(
    generate_docs: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = ("cli.md", "configuration.md", "enumerations.md", "problems.md", "python-client.md", "rest.md")
    for name in names:
        (tmp_path / name).write_text("# By hand\n")
    monkeypatch.setattr(generate_docs, "REFERENCE", tmp_path)
    assert generate_docs.main(["--check"]) == 1
    stale = capsys.readouterr().err.splitlines()
    shown = [os.path.relpath(tmp_path / name, generate_docs.ROOT) for name in names]
    assert stale == [f"{name} is stale: run `make docs`" for name in shown]
    assert {(tmp_path / name).read_text() for name in names} == {"# By hand\n"}

    assert generate_docs.main([]) == 0
    assert generate_docs.main(["--check"]) == 0
    assert all((tmp_path / name).read_text().startswith("# By hand\n<!-- ") for name in names)


def test_every_setting_is_documented() -> None:
    text = (REFERENCE / "configuration.md").read_text()
    for section, field in Settings.model_fields.items():
        prefix = prefix_of(section, field.annotation)
        for name, setting in model_of(field.annotation).model_fields.items():
            key = setting.alias or name
            assert f"`{prefix}.{key}`" in text
            assert f"`CLUSTERM_{prefix.replace('.', '__')}__{key}`".upper() in text
            assert setting.description, f"{section}.{key} has no description"


def test_every_command_and_option_is_documented() -> None:
    text = (REFERENCE / "cli.md").read_text().replace(r"\|", "|")
    for path, command in _commands():
        found = re.search(rf"^#+ {re.escape(path)}$(.*?)(^#|\Z)", text, re.MULTILINE | re.DOTALL)
        assert found, f"{path} is not documented"
        assert command.help, f"{path} has no help"
        for parameter in command.params:
            names = parameter.opts if hasattr(parameter, "is_flag") else [parameter.metavar]
            for name in names:
                assert re.search(rf"[`\s]{re.escape(name)}[`,\s]", found[1]), f"{path} {name} is not documented"
            assert parameter.help, f"{path} {parameter.name} has no help"


@pytest.mark.parametrize("kind", [v for v in vars(enums).values() if isinstance(v, type) and issubclass(v, StrEnum)])
def test_every_name_is_documented(kind: type[StrEnum]) -> None:
    text = (REFERENCE / "enumerations.md").read_text()
    for name in kind:
        assert f"| `{name}` |" in text


def test_every_exit_code_is_documented() -> None:
    text = (REFERENCE / "exit-codes.md").read_text()
    codes = {kind.exit_code for kind in vars(clusterctl.errors).values() if hasattr(kind, "exit_code")}
    assert codes
    assert [code for code in codes if f"| {code} |" not in text] == []


def test_every_event_is_described() -> None:
    text = (REFERENCE / "output-formats.md").read_text()
    assert [name for name in enums.EventName if f"`{name}`" not in text] == []


def test_every_status_is_in_the_lifecycle() -> None:
    text = (DOCS / "explanation" / "lifecycle.md").read_text()
    assert [name for name in enums.Status if name not in text] == []


def test_every_route_is_documented(openapi: dict[str, Any]) -> None:
    text = (REFERENCE / "rest.md").read_text()
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            assert f"\n### {method.upper()} {path}\n" in text
            assert operation["summary"]
            assert operation["description"]
            assert operation["tags"]


def test_every_reference_in_the_openapi_document_leads_somewhere(openapi: dict[str, Any]) -> None:
    named = set(re.findall(r"'#/components/schemas/(\w+)'", str(openapi)))
    assert named - set(openapi["components"]["schemas"]) == set()


@pytest.fixture
def openapi(generate_docs: ModuleType) -> dict[str, Any]:
    document: dict[str, Any] = generate_docs.openapi()
    return document


# Links


@each_document
def test_every_link_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(document)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        assert file.is_relative_to(ROOT), f"{target} leads out of the source tree"
        assert file.is_file(), f"{target}: there is no such file"
        if anchor:
            assert anchor in _anchors(file), f"{target}: there is no such heading"


def test_the_index_leads_to_every_document() -> None:
    listed = {(DOCS / target).resolve() for target in re.findall(r"\]\(([\w/-]+\.md)\)", prose(DOCS / "index.md"))}
    assert listed == set(DOCS.rglob("*.md")) - {DOCS / "index.md"}


# Commands


@each_document
def test_every_clusterctl_command_is_understood(
    document: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "site-b.yml").write_text("rack: 7\n")
    (tmp_path / "inventory.ini").write_text("[web]\nweb1 ansible_host=192.168.1.11\n[head]\n")
    (tmp_path / "vault-password").write_text("open sesame")
    for line in _typed(document, "clusterctl"):
        monkeypatch.setattr(sys, "argv", shlex.split(line))
        monkeypatch.setenv("CLUSTERM_URL", "http://127.0.0.1:1")
        status = clusterctl.run.run()
        assert status == 3 or "--help" in line, f"{line}\n{capsys.readouterr().err}"  # understood; nobody is there


@each_document
def test_every_command_exists(document: Path) -> None:
    for program, root in PROGRAMS.items():
        mentioned = re.findall(rf"`({program} [^`]+)`", prose(document))
        for line in [*_typed(document, program), *mentioned]:
            words = shlex.split(line)[1:]
            command = root
            while words and (found := getattr(command, "commands", {}).get(words[0])):
                command = found
                words.pop(0)
            missing = getattr(command, "commands", {}) and words and not words[0].startswith("-")
            assert not missing, f"there is no {line!r}"
            options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
            assert {word for word in words if word.startswith("--")} <= options | _global_options(root), line


@each_document
def test_every_clusterm_command_is_understood(document: Path) -> None:
    for line in _typed(document, "clusterm"):
        result = CliRunner().invoke(clusterm.cli.main.cli, [*shlex.split(line)[1:], "--help"])
        assert result.exit_code == 0, f"{line}\n{result.output}"


# The front page


def test_the_readme_fits_on_one_screen() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 60
    assert max(map(len, lines)) <= 125


def test_the_readme_names_the_two_commands() -> None:
    typed = [command.line.split("#")[0].strip() for block in blocks(ROOT / "README.md") for command in commands(block)]
    assert typed[:2] == ["make demo", "make test"]


def _commands() -> Iterator[tuple[str, Any]]:
    """Yield every command that is not hidden, with what is typed to run it."""
    open_ = list(PROGRAMS.items())
    while open_:
        path, command = open_.pop()
        yield path, command
        open_ += [
            (f"{path} {name}", each) for name, each in getattr(command, "commands", {}).items() if not each.hidden
        ]


def _typed(document: Path, program: str) -> list[str]:
    """Return the lines that a document tells to type to run a program, without pipes and redirections."""
    lines = [command.line for block in blocks(document) for command in commands(block)]
    return [re.split(r" [|<>&]", line)[0] for line in lines if line.split()[0] == program]


def _global_options(root: Any) -> set[str]:
    return {option for parameter in root.params for option in parameter.opts}


def _anchors(file: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a document."""
    titles = re.findall(r"^#+ (.+)$", prose(file), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
