"""gRPC server reflection, v1 and v1alpha: what a server serves, for tools without its protos.

Only the services that the server registers are described, with the files that they need: other
protocols that this process happens to speak are nobody's business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool

from finial.api.grpc import (
    reflection_pb2,
    reflection_pb2_grpc,
    reflection_v1alpha_pb2,
    reflection_v1alpha_pb2_grpc,
)
from finial.runtime.rpc import StatusError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from google.protobuf.descriptor import Descriptor, FileDescriptor

    from finial.runtime.rpc import Server

OWN: Final = frozenset(
    {"grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"}
)
"""The services by which a server is asked; they are listed, too."""

MAX_SHOWN: Final = 200
"""Characters of a name that an answer repeats."""


def add_reflection(server: Server, services: Iterable[str]) -> None:
    """Serve reflection of these services, by full name, and of itself.

    Raises:
        KeyError: one of them is in no .proto file of this process.
    """
    described = Described(OWN.union(services))
    v1: Any = Reflection(described, reflection_pb2)
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(v1, server)
    v1alpha: Any = Reflection(described, reflection_v1alpha_pb2)
    reflection_v1alpha_pb2_grpc.add_ServerReflectionServicer_to_server(v1alpha, server)


class Described:
    """The services' descriptors, and those of all that their files import."""

    def __init__(self, services: Iterable[str]) -> None:
        self.services = sorted(services)
        self._pool: Any = descriptor_pool.Default()
        self._files: dict[str, FileDescriptor] = {}
        for service in self.services:
            for file in _with_imports(self._pool.FindServiceByName(service).file):
                self._files[file.name] = file

    def by_name(self, name: str) -> list[bytes]:
        """The file of that name, then its imports, serialized. Raises KeyError."""
        return [_serialized(file) for file in _with_imports(self._files[name])]

    def by_symbol(self, symbol: str) -> list[bytes]:
        """The file that declares the full name, then its imports. Raises KeyError."""
        try:
            file = self._pool.FindFileContainingSymbol(symbol)
        except KeyError:  # the pool finds methods by a door of their own
            file = self._pool.FindMethodByName(symbol).containing_service.file
        return self.by_name(file.name)

    def by_extension(self, containing: str, number: int) -> list[bytes]:
        """The file that declares the extension, then its imports. Raises KeyError."""
        message = self._message(containing)
        return self.by_name(self._pool.FindExtensionByNumber(message, number).file.name)

    def extension_numbers(self, containing: str) -> list[int]:
        """The numbers of a message's extensions. Raises KeyError."""
        found = self._pool.FindAllExtensions(self._message(containing))
        return sorted(each.number for each in found if each.file.name in self._files)

    def _message(self, name: str) -> Descriptor:
        message: Descriptor = self._pool.FindMessageTypeByName(name)
        if message.file.name not in self._files:
            raise KeyError(name)
        return message


class Reflection:
    """One version of the service; `pb` has its messages."""

    def __init__(self, described: Described, pb: Any) -> None:
        self._described = described
        self._pb = pb
        self._answers: dict[str, Callable[[Any, Any], None]] = {
            "file_by_filename": self._file_by_filename,
            "file_containing_symbol": self._file_containing_symbol,
            "file_containing_extension": self._file_containing_extension,
            "all_extension_numbers_of_type": self._all_extension_numbers_of_type,
            "list_services": self._list_services,
        }

    async def ServerReflectionInfo(  # noqa: N802
        self,
        request_iterator: AsyncIterator[Any],
        context: Any,  # noqa: ARG002 - gRPC's signature
    ) -> AsyncIterator[Any]:
        async for request in request_iterator:
            yield self.answer(request)

    def answer(self, request: Any) -> Any:
        """Answer one question. Raises StatusError for none."""
        kind = request.WhichOneof("message_request")
        if kind is None:
            raise StatusError(grpc.StatusCode.INVALID_ARGUMENT, "the request asks nothing")
        response = self._pb.ServerReflectionResponse(
            valid_host=request.host, original_request=request
        )
        try:
            self._answers[kind](request, response)
        except (KeyError, TypeError):  # TypeError: the name is not a text that descriptors have
            asked = str(getattr(request, kind))[:MAX_SHOWN]
            response.error_response.error_code = grpc.StatusCode.NOT_FOUND.value[0]
            response.error_response.error_message = f"not found: {asked}"
        return response

    def _file_by_filename(self, request: Any, response: Any) -> None:
        _put(response, self._described.by_name(request.file_by_filename))

    def _file_containing_symbol(self, request: Any, response: Any) -> None:
        _put(response, self._described.by_symbol(request.file_containing_symbol))

    def _file_containing_extension(self, request: Any, response: Any) -> None:
        wanted = request.file_containing_extension
        found = self._described.by_extension(wanted.containing_type, wanted.extension_number)
        _put(response, found)

    def _all_extension_numbers_of_type(self, request: Any, response: Any) -> None:
        name = request.all_extension_numbers_of_type
        numbers = self._described.extension_numbers(name)
        answer = response.all_extension_numbers_response
        answer.base_type_name = name
        answer.extension_number.extend(numbers)

    def _list_services(self, request: Any, response: Any) -> None:  # noqa: ARG002
        services = response.list_services_response.service
        for name in self._described.services:
            services.add(name=name)


def _put(response: Any, files: list[bytes]) -> None:
    response.file_descriptor_response.file_descriptor_proto.extend(files)


def _with_imports(file: FileDescriptor) -> list[FileDescriptor]:
    """A file and all that it imports, each once."""
    found = {file.name: file}
    waiting = [file]
    while waiting:
        for needed in waiting.pop().dependencies:
            if needed.name not in found:
                found[needed.name] = needed
                waiting.append(needed)
    return list(found.values())


def _serialized(file: FileDescriptor) -> bytes:
    message = descriptor_pb2.FileDescriptorProto()
    file.CopyToProto(message)
    return message.SerializeToString()
