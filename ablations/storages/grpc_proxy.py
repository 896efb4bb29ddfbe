"""Optuna's gRPC proxy in front of a database: both of its ends."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc  # type: ignore[import-untyped]
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, GrpcStorageProxy
from optuna.storages._grpc.auto_generated import api_pb2_grpc
from optuna.storages._grpc.client import GrpcClientCache
from optuna.storages._grpc.servicer import OptunaStorageProxyService

from ablations.storages.urls import parsed
from ablations.typed_commands import PROXY_PORT
from studies.errors import AblationError

ANSWER_S = 20.0
"""How long a proxy may take for an answer, before it counts as away."""
LONG_ANSWER_S = 300.0
"""The same where a whole queue is asked for."""


def open_proxy(url: str) -> BaseStorage:
    """Reach a database through `ablate proxy`."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what matters is raised
    address = parsed(url)
    if address.host is None:
        raise AblationError(f"storage {url!r} names no host; write grpc://HOST:{PROXY_PORT}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return _ImpatientProxy(host=address.host, port=address.port or PROXY_PORT)


def serve_proxy(
    storage: BaseStorage, host: str, port: int, threads: int, on_start: Callable[[], None]
) -> None:
    """Serve a storage over gRPC, without encryption or passwords, until something is raised here.

    Raises:
        RuntimeError: the address cannot be had.
    """
    # Optuna's own function says not when the server is up, and lets two serve on one port in turn.
    server = grpc.server(ThreadPoolExecutor(threads), options=[("grpc.so_reuseport", 0)])
    service = OptunaStorageProxyService(storage)
    api_pb2_grpc.add_StorageServiceServicer_to_server(service, server)  # type: ignore[no-untyped-call]
    server.add_insecure_port(f"{host}:{port}")
    server.start()
    on_start()
    try:
        server.wait_for_termination()
    finally:
        server.stop(grace=None)


class _ImpatientProxy(GrpcStorageProxy):
    """Optuna's client, which waits not for ever for a host that is gone without a word."""

    def _setup(self) -> None:
        super()._setup()
        channel = grpc.intercept_channel(self._channel, _Deadlines())
        self._stub = api_pb2_grpc.StorageServiceStub(channel)  # type: ignore[no-untyped-call]
        self._cache = GrpcClientCache(self._stub)


class _Deadlines(grpc.UnaryUnaryClientInterceptor):  # type: ignore[misc]
    """Gives every call a deadline."""

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        """Pass the call on; it raises DEADLINE_EXCEEDED after that time."""
        limit_s = LONG_ANSWER_S if details.method.endswith("/GetTrials") else ANSWER_S
        return continuation(details._replace(timeout=limit_s), request)
