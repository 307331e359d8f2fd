"""The API gateway's port: opened for the first application that has routes, or for the first function URL, and then kept."""

from __future__ import annotations

from collections.abc import Callable

from eventflow.gateway.composition import GatewayService
from eventflow.http_guard import Limits, check_authorities, check_certificate, guarded
from eventflow.http_server import HttpServer
from eventflow.settings import Settings

#: What the API gateway takes: AWS's 10,240 bytes of request line and headers ("Amazon API Gateway quotas"), and no connection that does nothing.
LIMITS = Limits(head_bytes=10_240, head_seconds=30.0, idle_seconds=60.0)


class GatewayServer:
    """``opened`` is called when it listens."""

    def __init__(self, gateway: GatewayService, settings: Settings, opened: Callable[[], None]) -> None:
        self._gateway = gateway
        self._settings = settings
        self._opened = opened
        self._server: HttpServer | None = None

    @property
    def url(self) -> str | None:
        """None until it listens."""
        return None if self._server is None else self._server.url

    def open(self) -> str:
        """Its address; it listens from now on, if it did not before. Raises EventflowError for a taken port."""
        if self._server is None:
            self._server = self._listen()
            self._server.serve(self._gateway.app, self._gateway.accept)
            self._opened()
        return self._server.url

    def _listen(self) -> HttpServer:
        settings = self._settings
        tls = None
        if settings.tls_cert is not None and settings.tls_key is not None:
            tls = settings.tls_cert, settings.tls_key
            check_certificate(*tls)
        if settings.tls_client_ca is not None:
            check_authorities(settings.tls_client_ca)
        return HttpServer(
            settings.gateway_host,
            settings.gateway_port,
            flag="--gateway-port",
            protocol=guarded(LIMITS),
            keep_alive=int(LIMITS.idle_seconds),
            tls=tls,
            client_ca=settings.tls_client_ca,
        )

    async def close(self, grace: float) -> None:
        """Let requests be answered for so many seconds."""
        if self._server is not None:
            await self._server.close(grace)
            await self._gateway.logged()
