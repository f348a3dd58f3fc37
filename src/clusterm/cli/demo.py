"""`clusterm demo`."""

from typing import Annotated

import typer


def demo_command(
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running at the end, and say how to reach it.")] = False,
) -> None:
    """Show what clusterm does: a real service, real playbooks on three local nodes, one of them failing first.

    Takes a minute or two, and leaves nothing behind.
    """
    from clusterm.demo import demo  # noqa: PLC0415

    demo(keep=keep)
