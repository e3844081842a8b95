"""Rows of the Workload API's WIT profile, and of reflection."""

from tests.conformance.removal import Removal

APP = "agent/finial/agent/app.py"
ENTRIES = "agent/finial/agent/cache/entries.py"
VIEWS = "agent/finial/agent/cache/views.py"
WITS = "agent/finial/agent/cache/wits.py"
WORKLOADS = "agent/finial/agent/cache/workloads.py"
STREAMS = "agent/finial/agent/endpoints/streams.py"
WORKLOAD = "agent/finial/agent/endpoints/workload.py"
REFLECTION = "core/finial/runtime/reflection.py"
WRITING = "core/finial/spiffe/bundle/writing.py"
STUBS = "proto/finial/api/workload/workload_pb2.py"
SERVICE = "proto/finial/api/workload/workload_pb2_grpc.py"

SUPPORTED = "return bool(self._keys) and not self._refused"
LAST = "'FetchWITBundles': grpc.unary_stream_rpc_method_handler("

REMOVALS: dict[str, tuple[Removal, ...]] = {
    "WL-02": (
        Removal(WITS, SUPPORTED, "return True"),
        Removal(APP, "with_wits=settings.experimental.wit_enabled,", "with_wits=True,"),
        Removal(APP, "with_wits=settings.experimental.wit_enabled,", "with_wits=False,"),
    ),
    "WL-33": (
        Removal(VIEWS, "            return entries\n", "            return entries[:1]\n"),
        Removal(VIEWS, "if entry.spiffe_id == self.spiffe_id)", "if entry.id)"),
        Removal(WITS, "return NO_IDENTITY", "return UNAVAILABLE"),
        Removal(
            ENTRIES,
            "if not entry.hint or keeper[entry.hint] is entry)",
            "if keeper[entry.hint])",
        ),
        Removal(
            WORKLOAD,
            "wanted = _requested_id(request.spiffe_id) if request.spiffe_id else None\n"
            "        return self._subscribe",
            "wanted = None\n        return self._subscribe",
        ),
    ),
    "WL-34": (
        Removal(WORKLOADS, "for one in (own, *federated)))", "for one in federated))"),
        Removal(WORKLOADS, "for one in (own, *federated)))", "for one in (own,)))"),
        Removal(WRITING, '"kid": authority.key_id}', '"kid": ""}'),
    ),
    "WEP-17": (Removal(STREAMS, "grpc.StatusCode.UNIMPLEMENTED,", "grpc.StatusCode.INTERNAL,"),),
    "WEP-18": (
        Removal(STUBS, r"\x04hint\x18\x05", r"\x04hint\x18\x06"),
        Removal(
            SERVICE,
            LAST,
            f"'FetchAll': grpc.unary_stream_rpc_method_handler(servicer.FetchWITBundles), {LAST}",
        ),
    ),
    "WEP-19": (
        Removal(
            APP, "workload_pb2_grpc.add_SpiffeWorkloadAPIServicer_to_server(api, server)", "_ = api"
        ),
    ),
    "WEP-20": (
        Removal(APP, "add_reflection(server, server.methods.services)", "add_reflection"),
        Removal(
            REFLECTION,
            "reflection_v1alpha_pb2_grpc.add_ServerReflectionServicer_to_server(v1alpha, server)",
            "_ = v1alpha",
        ),
        Removal(
            REFLECTION,
            "reflection_pb2_grpc.add_ServerReflectionServicer_to_server(v1, server)",
            "_ = v1",
        ),
    ),
}
