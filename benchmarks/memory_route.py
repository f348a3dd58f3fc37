"""Run clusterm with an additional route, `/memory`, that returns the bytes of the last PUT from memory."""

from typing import Any
from unittest.mock import patch

from fastapi import FastAPI, Request, Response

from clusterm.cli.main import main
from clusterm.live_settings import LiveSettings
from clusterm.server.app import create_app
from clusterm.store.engine import Store


def create_app_with_memory(store: Store, configuration: LiveSettings, **options: Any) -> FastAPI:
    """Create the service's application, and add the route."""
    app = create_app(store, configuration, **options)
    kept = b""

    @app.put("/memory")
    async def put_memory(request: Request) -> Response:
        nonlocal kept
        kept = await request.body()
        return Response()

    @app.get("/memory")
    def get_memory() -> Response:
        return Response(kept, media_type="application/json")

    return app


if __name__ == "__main__":
    with patch("clusterm.server.serve.create_app", create_app_with_memory):
        main()
