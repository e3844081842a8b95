"""Which path is answered by whom."""

from collections.abc import Callable, Mapping
from typing import Final

from finial.runtime.web.message import Request, Response

Resource = Callable[[Request], Response]

OTHER: Final = "*"


class Routes:
    """Resources by path; each is a GET.

    A HEAD is answered where `head` says so, as a GET without its body.
    """

    def __init__(self, resources: Mapping[str, Resource], *, head: bool = False) -> None:
        self._resources = dict(resources)
        self._methods = ("GET", "HEAD") if head else ("GET",)

    def label(self, request: Request) -> str:
        """What the request is called in logs: a name out of few, whatever is asked for."""
        method = request.method if request.method in self._methods else OTHER
        return f"{method} {request.path if request.path in self._resources else OTHER}"

    def answer(self, request: Request) -> Response:
        """Answer a request."""
        resource = self._resources.get(request.path)
        if resource is None:
            return Response.refusal(404, "404 page not found")
        if request.method not in self._methods:
            allow = ("Allow", ", ".join(self._methods))
            return Response.refusal(405, "405 method not allowed", allow)
        return resource(request)
