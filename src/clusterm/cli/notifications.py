"""`clusterm notify-test`."""

from typing import Annotated

import typer

from clusterm.cli.options import Config
from clusterm.errors import ClustermError, quote
from clusterm.settings import load


def notify_test_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the webhook in `notifications.webhooks`.")],
    config: Config = None,
) -> None:
    """Send a test message to a webhook; exit with 1 if it fails.

    The service need not run.
    """
    from clusterm.notifications.sender import send_test  # noqa: PLC0415

    webhooks = {webhook.name: webhook for webhook in load(config).notifications.webhooks}
    if name not in webhooks:
        there_are = f"it has {', '.join(webhooks)}" if webhooks else "it has none; notifications.webhooks names them"
        raise ClustermError(f"the configuration has no webhook {quote(name)}: {there_are}")
    if problem := send_test(webhooks[name]):
        raise ClustermError(f"the webhook {name} did not take the message: {problem.reason}")
    typer.echo(f"the webhook {name} took the message")
