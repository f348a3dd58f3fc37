"""The option `--config`, and the store of the configuration."""

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
