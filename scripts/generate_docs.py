"""Generate what is written from the source; with --check, only report files that are out of date.

That is the reference, the layout, the manual pages, the completions and a module of the client. In the reference, the
part of each file between the two marks is generated; the part above is written by hand.
"""

import ast
import inspect
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, Final

import man_pages
import typer.core
import typer.main
from client_options import client_options
from reference_markdown import default_of, one_line, table, type_of
from reference_of_client import client
from reference_of_rest import rest

import clusterctl.app
import clusterm.cli.main
from clusterm import enums
from clusterm.live_settings import LiveSettings
from clusterm.problem_codes import ProblemCode
from clusterm.server.app import create_app
from clusterm.settings import Settings, model_of, prefix_of
from clusterm.store.engine import Store
from clusterm.store.migrations import migrate

ROOT: Final = Path(__file__).parents[1]
REFERENCE: Final = ROOT / "docs" / "reference"

_BEGIN: Final = "<!-- Generated from the source by `make docs`: edit the source instead. -->\n"
_END: Final = "<!-- End of the generated part. -->\n"


def main(arguments: Sequence[str]) -> int:
    """Write the stale files, or with --check only list them, and return the exit status."""
    if arguments not in ([], ["--check"]):
        print("usage: generate_docs.py [--check]", file=sys.stderr)
        return 2
    found = {**dict(stale(REFERENCE, _REFERENCE)), **dict(stale(ROOT, _GUIDE)), **dict(stale_files())}
    for file, text in found.items():
        name = os.path.relpath(file, ROOT)
        if arguments:
            print(f"{name} is stale: run `make docs`", file=sys.stderr)
        else:
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
            print(f"{name} was regenerated")
    return 1 if arguments and found else 0


def stale(folder: Path, generators: Mapping[str, Callable[[], Iterator[str]]]) -> Iterator[tuple[Path, str]]:
    """Yield each file of a folder that differs from the code, with its new text."""
    for name, generate in generators.items():
        file = folder / name
        present = file.read_text()
        above, begin, rest_of_file = present.partition(_BEGIN)
        _, end, below = rest_of_file.partition(_END)
        text = re.sub(r"\n{3,}", "\n\n", "\n".join(generate())).strip("\n")
        if present != (wanted := f"{above}{begin or _BEGIN}\n{text}\n\n{end or _END}{below}"):
            yield file, wanted


def stale_files() -> Iterator[tuple[Path, str]]:
    """Yield each file that is generated as a whole and differs from the code, with its new text."""
    for name, generate in _WHOLE.items():
        file, text = ROOT / name, "\n".join(generate()) + "\n"
        if not file.exists() or file.read_text() != text:
            yield file, text


def completion(shell: str) -> Iterator[str]:
    """Yield the completion script of clusterctl for a shell."""
    environment = {**os.environ, "_CLUSTERCTL_COMPLETE": f"source_{shell}"}
    program = Path(sys.executable).with_name("clusterctl")
    yield subprocess.run([program], env=environment, capture_output=True, text=True, check=True).stdout.strip()
    if shell == "zsh":  # which runs the file in place of the function, when the user completes for the first time
        yield '[ "$funcstack[1]" = "_clusterctl" ] && _clusterctl_completion "$@"'


def options_of_client() -> Iterator[str]:
    """Yield the module of the client's optional arguments."""
    yield client_options(openapi()).removesuffix("\n")


def configuration() -> Iterator[str]:
    """Describe every setting."""
    for section, field in Settings.model_fields.items():
        model = model_of(field.annotation)
        prefix = prefix_of(section, field.annotation)
        yield from ("", f"## {section}", "", one_line(model.__doc__), "")
        yield from table(
            ("key and environment", "type", "default", "meaning"),
            (_setting(prefix, key, schema) for key, schema in model.model_json_schema()["properties"].items()),
        )
        for name, schema in model.model_json_schema().get("$defs", {}).items():
            if "properties" in schema:
                yield from ("", f"### {_words(name)}", "", one_line(schema["description"]), "")
                members = schema["properties"].items()
                rows = ([f"`{key}`", type_of(each), default_of(each), each["description"]] for key, each in members)
                yield from table(("key", "type", "default", "meaning"), rows)


def cli() -> Iterator[str]:
    """Describe every command of both programs."""
    for app in (clusterctl.app.app, clusterm.cli.main.cli):
        root = typer.main.get_command(app)
        yield from _command(root, str(root.name), level=2)


def enumerations() -> Iterator[str]:
    """Describe every enumeration, with the comments beside its values."""
    for kind in vars(enums).values():
        if isinstance(kind, type) and issubclass(kind, StrEnum) and kind is not StrEnum:
            yield from ("", f"## {_words(kind.__name__)}", "", one_line(kind.__doc__ or ""), "")
            comments = re.findall(r'^ {4}\w+ = "([^"]+)"(?:  # (.+))?$', inspect.getsource(kind), re.MULTILINE)
            yield from table(("name", "meaning"), ((f"`{name}`", comment) for name, comment in comments))


def problems() -> Iterator[str]:
    """Describe every code of problems."""
    yield from table(
        ("code", "status", "meaning"),
        ((f"`{code}`", str(code.status.value), code.meaning) for code in ProblemCode),
    )


def rest_api() -> Iterator[str]:
    """Describe the REST API."""
    return rest(openapi())


def openapi() -> dict[str, Any]:
    """Return the OpenAPI document of a service."""
    with tempfile.TemporaryDirectory() as directory:
        store = Store(f"sqlite:///{Path(directory) / 'clusterm.db'}")
        migrate(store)
        document = create_app(store, LiveSettings(store, None, Settings())).openapi()
        store.close()
    return document


def layout() -> Iterator[str]:
    """Describe every package by its docstring, and the layers in the order in which they may import each other."""
    for package in ("clusterm", "clusterctl"):
        folder = ROOT / "src" / package
        found = [each for each in folder.iterdir() if each.suffix == ".py" or (each / "__init__.py").exists()]
        rows = ((f"`{_shown(each)}`", _summary(each)) for each in sorted(found) if not each.name.startswith("__"))
        yield from ("", f"`src/{package}/`: {_summary(folder)}", "")
        yield from table(("module or package", "content"), rows)
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    yield from ("", "A module may import modules of the lines below its own, and of its own package:", "", "```")
    yield from layers
    yield from ("```", "")


_REFERENCE: Final[Mapping[str, Callable[[], Iterator[str]]]] = {
    "cli.md": cli,
    "configuration.md": configuration,
    "enumerations.md": enumerations,
    "problems.md": problems,
    "python-client.md": client,
    "rest.md": rest_api,
}
_WHOLE: Final[Mapping[str, Callable[[], Iterator[str]]]] = {
    "src/clusterctl/api/request_options.py": options_of_client,
    "packaging/man/clusterctl.1": man_pages.clusterctl_page,
    "packaging/man/clusterm.1": man_pages.clusterm_page,
    "packaging/man/clusterm.toml.5": man_pages.configuration_page,
    "packaging/completions/clusterctl.bash": partial(completion, "bash"),
    "packaging/completions/_clusterctl": partial(completion, "zsh"),
    "packaging/completions/clusterctl.fish": partial(completion, "fish"),
}
_GUIDE: Final[Mapping[str, Callable[[], Iterator[str]]]] = {"CONTRIBUTING.md": layout}


def _shown(module: Path) -> str:
    return module.name if module.suffix else f"{module.name}/"


def _summary(module: Path) -> str:
    """Return the first paragraph of the docstring of a module or package."""
    file = module if module.suffix else module / "__init__.py"
    return one_line((ast.get_docstring(ast.parse(file.read_text())) or "").partition("\n\n")[0])


def _setting(section: str, key: str, schema: dict[str, Any]) -> Sequence[str]:
    """Return the row of a setting. A default that depends on the user is in the description, not in the schema."""
    meaning, _, described = schema["description"].partition(" Default: ")
    default = default_of(schema) or described.removesuffix(".")
    variable = f"CLUSTERM_{section}__{key}".replace(".", "__").upper()
    _, is_name, name = schema.get("$ref", "").partition("#/$defs/")
    kind = f"[{name}](enumerations.md#{_words(name).lower().replace(' ', '-')})" if is_name else type_of(schema)
    return f"`{section}.{key}`<br>`{variable}`", kind, default, meaning


def _words(name: str) -> str:
    """Convert `EventName` to `Event name`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).capitalize()


def _command(command: Any, path: str, *, level: int) -> Iterator[str]:
    context = typer.Context(command, info_name=path)
    yield from ("", f"{'#' * level} {path}")
    for paragraph in inspect.cleandoc(command.help).split("\n\n"):
        yield from ("", one_line(paragraph))
    yield from ("", "```", " ".join([path, *command.collect_usage_pieces(context)]), "```", "")
    yield from table(
        ("argument or option", "meaning"),
        [shown for each in command.params if (shown := _parameter(each, context))],
    )
    if command.epilog:
        yield from ("", command.epilog)
    for subcommand in getattr(command, "commands", {}).values():
        if not subcommand.hidden:
            yield from _command(subcommand, f"{path} {subcommand.name}", level=min(level + 1, 4))


def _parameter(parameter: Any, context: typer.Context) -> tuple[str, str] | None:
    """Return the help of a parameter; None if --help does not list the parameter."""
    record = parameter.get_help_record(context)
    if record is None:
        return None
    name, meaning = record
    if isinstance(parameter, typer.core.TyperArgument):
        name = parameter.metavar or parameter.name
    return f"`{name}`", meaning


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
