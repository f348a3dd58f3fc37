"""`clusterm demo`."""

from typing import Annotated

import typer


def demo_command(
    *,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the service running at the end, and print how to reach it.")
    ] = False,
) -> None:
    """Run a demo: a service, and playbooks on three local nodes.

    One of the nodes fails first. Takes one to two minutes, and removes all its files at the end.
    """
    from clusterm.demo import demo  # noqa: PLC0415

    demo(keep=keep)
