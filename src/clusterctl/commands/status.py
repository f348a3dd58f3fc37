"""`clusterctl status`: how the service is."""

import typer

from clusterctl.api.models import read
from clusterctl.context import context_of
from clusterctl.errors import NotReady
from clusterctl.options import AsJson
from clusterctl.output.output import Document, Result
from clusterctl.views.status import status as glance
from clusterm.schemas import ServiceStatus


def status(ctx: typer.Context, *, as_json: AsJson = False) -> Result:
    """Show how the service is: is it ready, what does it do, how did it go last, and how much room is left.

    Exits with 1 if it is not ready, and says what is wrong; with 3 if it cannot be reached.
    """
    answer = context_of(ctx, as_json=as_json).client.status()
    yield Document(answer, glance)
    found = read(ServiceStatus, answer)
    if not found.ready:
        wrong = [f"{name}: {check.why}" for name, check in found.checks.items() if check.needed and not check.ok]
        raise NotReady(f"the service is not ready: {'; '.join(wrong)}")
