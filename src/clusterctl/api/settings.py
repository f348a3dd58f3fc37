"""The client's methods for the globals and the configuration of a service."""

from typing import Any

from clusterctl.api.models import read
from clusterctl.api.rest import RestClient
from clusterm import schemas


class Globals:
    """The extra vars that every job gets: `client.globals`."""

    def __init__(self, rest: RestClient) -> None:
        self._rest = rest

    def get(self) -> schemas.Globals:
        """Return the global extra vars, secrets redacted."""
        return read(schemas.Globals, self._rest.globals())

    def set(self, extra_vars: dict[str, Any]) -> schemas.Globals:
        """Replace all global extra vars, and return them."""
        return read(schemas.Globals, self._rest.set_globals(extra_vars))


class Config:
    """The configuration of the running service: `client.config`."""

    def __init__(self, rest: RestClient) -> None:
        self._rest = rest

    def get(self) -> dict[str, Any]:
        """Return the configuration: settings by section, secrets redacted."""
        return self._rest.config()

    def set(self, config: dict[str, Any]) -> dict[str, Any]:
        """Change settings of the section `ansible`, and return the configuration. Other settings keep their values."""
        return self._rest.set_config(config)
