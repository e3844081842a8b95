"""Rows WEP-*: the endpoint."""

from tests.conformance.removal import Removal

APP = "agent/finial/agent/app.py"
CALL = "core/finial/runtime/rpc/call.py"
CONTEXT_OF_API = "agent/finial/agent/endpoints/workload.py"
EARLY = "agent/finial/agent/endpoints/early.py"
FRAMING = "core/finial/runtime/rpc/framing.py"
GATE = "agent/finial/agent/endpoints/gate.py"
METHOD = "core/finial/runtime/rpc/method.py"
PROTO = "proto/finial/api/workload/workload_pb2.py"
STREAMS = "agent/finial/agent/endpoints/streams.py"
UNIX = "attestors/finial/attestors/workload/unix.py"

LISTEN = "    await server.listen_unix(settings.socket_path"
WRONG_HEADER = 'if values != ["true"]:'
DENIED = 'StatusError(grpc.StatusCode.PERMISSION_DENIED, "no identity issued")'
NOT_FOUND = 'StatusError(grpc.StatusCode.NOT_FOUND, "no identity issued")'

REMOVALS: dict[str, tuple[Removal, ...]] = {
    "WEP-01": (
        Removal(APP, "PUBLIC_SOCKET_MODE = 0o777", "PUBLIC_SOCKET_MODE = 0o700"),
        Removal(APP, "PUBLIC_FOLDER_MODE = 0o755", "PUBLIC_FOLDER_MODE = 0o700"),
    ),
    "WEP-02": (
        Removal.together(
            (FRAMING, 'len(message).to_bytes(4, "big")', 'len(message).to_bytes(4, "little")'),
            (
                FRAMING,
                'int.from_bytes(data[1:PREFIX], "big")',
                'int.from_bytes(data[1:PREFIX], "little")',
            ),
            (
                FRAMING,
                'size = int.from_bytes(buffer[1:PREFIX], "big")',
                'size = int.from_bytes(buffer[1:PREFIX], "little")',
            ),
        ),
    ),
    "WEP-03": (
        Removal(
            APP,
            LISTEN,
            '    globals()["tcp"] = await asyncio.start_server(print, "127.0.0.1", 0)\n' + LISTEN,
            (Removal(APP, "import random\n", "import asyncio\nimport random\n"),),
        ),
    ),
    "WEP-05": (
        Removal(GATE, WRONG_HEADER, "if values is None:"),
        Removal(GATE, WRONG_HEADER, "if not values:"),
        Removal(GATE, WRONG_HEADER, 'if "true" not in values:'),
        Removal(GATE, WRONG_HEADER, 'if set(values) != {"true"}:'),
        Removal(GATE, WRONG_HEADER, 'if [value.lower() for value in values] != ["true"]:'),
        Removal(GATE, "if key == HEADER]", "if HEADER in key]"),
        Removal(GATE, 'GUARDED = "/SpiffeWorkloadAPI/"', 'GUARDED = "/SpiffeWorkloadAPI/Fetch"'),
        Removal(GATE, 'GUARDED = "/SpiffeWorkloadAPI/"', 'GUARDED = "/"'),
    ),
    "WEP-06": (
        Removal(
            GATE, WRONG_HEADER, 'if values != ["true"] or not hasattr(context.caller, "svid"):'
        ),
    ),
    "WEP-07": (
        Removal(
            GATE,
            WRONG_HEADER,
            "named = {key for key, _ in context.invocation_metadata()}\n"
            '            if values != ["true"] or "authorization" not in named:',
        ),
    ),
    "WEP-08": (Removal(UNIX, 'f"uid:{credentials.uid}"', 'f"uid:{credentials.uid + 1}"'),),
    "WEP-14": (
        Removal(
            EARLY,
            'grpc.StatusCode.UNAVAILABLE, "agent has not synchronised',
            'grpc.StatusCode.PERMISSION_DENIED, "agent has not synchronised',
        ),
    ),
    "WEP-16": (Removal(STREAMS, DENIED, NOT_FOUND), Removal(CONTEXT_OF_API, DENIED, NOT_FOUND)),
    "WEP-17": (
        Removal(
            METHOD,
            "StatusError(grpc.StatusCode.UNIMPLEMENTED",
            "StatusError(grpc.StatusCode.UNKNOWN",
        ),
    ),
    "WEP-18": (Removal(PROTO, r"\x0fValidateJWTSVID\x12", r"\x0fValidateJWTSVIE\x12"),),
    "WEP-19": (
        Removal(
            APP,
            "        workload_pb2_grpc.add_SpiffeWorkloadAPIServicer_to_server(api, server)\n",
            "        assert api is not None\n",
        ),
    ),
}
