"""Runs the pull gateway: pulls and watches for thousands of clients, by the rules and on the record of everything else."""

from __future__ import annotations

from types import FrameType
from typing import Any

import uvicorn
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from foundation.collecting import settle
from serving.gateway import Gateway
from serving.gateway_protocol import KEEP_ALIVE_SECONDS, BoundedProtocol, places


class Server(uvicorn.Server):
    """Tells those who watch to come back elsewhere as soon as it is asked to stop: it would wait for them otherwise."""

    def __init__(self, config: uvicorn.Config, gateway: Gateway) -> None:
        super().__init__(config)
        self._gateway = gateway

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop once the answers that are under way have left."""
        self._gateway.let_watchers_go()
        super().handle_exit(sig, frame)


class Command(BaseCommand):
    help = "Answer pulls by alias and version, files by digest and watches, in one process beside the portal."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default=settings.ENV.host)
        parser.add_argument("--port", type=int, default=settings.ENV.gateway_port)

    def handle(self, *args: Any, host: str, port: int, **options: Any) -> None:
        if not port:
            raise CommandError("Say where it listens: --port, or COUNTERSIGN_GATEWAY_PORT.")
        gateway = Gateway()
        BoundedProtocol.limit = places()
        config = uvicorn.Config(
            gateway,
            host=host,
            port=port,
            access_log=False,
            log_config=None,
            lifespan="on",
            # Whom to believe about a client's address is decided by access.clients, as everywhere.
            proxy_headers=False,
            server_header=False,
            http=BoundedProtocol,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=10,
        )
        settle()
        Server(config, gateway).run()
