"""Generate the reference in docs/reference from the source; with --check, only report files that are out of date.

The part of each file between the two marks is generated; the part above is written by hand.
"""

import inspect
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import typer.core
import typer.main
from reference_markdown import default_of, one_line, table, type_of
from reference_of_rest import rest

import clusterctl.app
import clusterm.cli.main
from clusterm import enums
from clusterm.live_settings import LiveSettings
from clusterm.server.app import create_app
from clusterm.settings import Settings
from clusterm.store.engine import Store
from clusterm.store.migrations import migrate

REFERENCE: Final = Path(__file__).parents[1] / "docs" / "reference"

_BEGIN: Final = "<!-- Generated from the source by `make docs`: edit the source instead. -->\n"
_END: Final = "<!-- End of the generated part. -->\n"


def main(arguments: Sequence[str]) -> int:
    """Write the files that are stale, or with --check only name them, and return the exit status."""
    if arguments not in ([], ["--check"]):
        print("usage: generate_docs.py [--check]", file=sys.stderr)
        return 2
    found = dict(stale(REFERENCE))
    for file, text in found.items():
        if arguments:
            print(f"docs/reference/{file.name} is stale: run `make docs`", file=sys.stderr)
        else:
            file.write_text(text)
            print(f"docs/reference/{file.name} was regenerated")
    return 1 if arguments and found else 0


def stale(reference: Path) -> Iterator[tuple[Path, str]]:
    """Yield the files that are not what the code says, and what they should be."""
    for name, generate in _GENERATED.items():
        file = reference / name
        present = file.read_text()
        above, begin, rest_of_file = present.partition(_BEGIN)
        _, end, below = rest_of_file.partition(_END)
        text = re.sub(r"\n{3,}", "\n\n", "\n".join(generate())).strip("\n")
        if present != (wanted := f"{above}{begin or _BEGIN}\n{text}\n\n{end or _END}{below}"):
            yield file, wanted


def configuration() -> Iterator[str]:
    """Describe every setting."""
    for section, field in Settings.model_fields.items():
        model: Any = field.annotation
        yield from ("", f"## {section}", "", one_line(model.__doc__), "")
        yield from table(
            ("key and environment", "type", "default", "meaning"),
            (_setting(section, key, schema) for key, schema in model.model_json_schema()["properties"].items()),
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


_GENERATED: Final[Mapping[str, Callable[[], Iterator[str]]]] = {
    "cli.md": cli,
    "configuration.md": configuration,
    "enumerations.md": enumerations,
    "rest.md": rest_api,
}


def _setting(section: str, key: str, schema: dict[str, Any]) -> Sequence[str]:
    """Return a row on a setting. A default that depends on the user is not in the schema but described."""
    meaning, _, described = schema["description"].partition(" Default: ")
    default = default_of(schema) or described.removesuffix(".")
    variable = f"CLUSTERM_{section}__{key}".upper()
    _, is_name, name = schema.get("$ref", "").partition("#/$defs/")
    kind = f"[{name}](enumerations.md#{_words(name).lower().replace(' ', '-')})" if is_name else type_of(schema)
    return f"`{section}.{key}`<br>`{variable}`", kind, default, meaning


def _words(name: str) -> str:
    """Turn EventName into Event name."""
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
    """Return what --help says of a parameter; None if it keeps quiet about it."""
    record = parameter.get_help_record(context)
    if record is None:
        return None
    name, meaning = record
    if isinstance(parameter, typer.core.TyperArgument):
        name = parameter.metavar or parameter.name
    return f"`{name}`", meaning


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
