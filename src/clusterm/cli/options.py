"""The option `--config`, the store of the configuration, and the user of the command."""

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from clusterm.settings import Settings, load

if TYPE_CHECKING:
    from clusterm.store.engine import Store


Config = Annotated[
    str | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        envvar="CLUSTERM_CONFIG",
        help="Configuration file, JSON or TOML; - for standard input. Every key can also be set in the environment, "
        "as CLUSTERM_ANSIBLE__USER.",
        show_default=False,
    ),
]


def local_user() -> str:
    """Return the requester of a change that a command makes: the user of this host who runs it."""
    number = os.getuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:
        name = str(number)
    return f"user {name}"


@contextmanager
def open_store(config: str | None) -> Iterator[tuple["Store", Settings]]:
    """Open the store of a service, also while the service runs."""
    from clusterm.store.engine import Store  # noqa: PLC0415
    from clusterm.store.migrations import check_current  # noqa: PLC0415

    settings = load(config)
    store = Store(settings.store_url)
    try:
        check_current(store)
        yield store, settings
    finally:
        store.close()
