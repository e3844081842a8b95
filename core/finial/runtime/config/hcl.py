"""HCL 1, as SPIRE's configuration files use it, into a document.

Blocks with labels, assignments, lists, objects, numbers, booleans, strings, heredocs, comments;
a block that is repeated becomes a list. Items need no separator; a comma between them is fine.
"""

from finial.runtime.config.document import MOST_DEPTH, Document, Node, insert
from finial.runtime.config.errors import ConfigError, Mark
from finial.runtime.config.hcl_tokens import Kind, Token, tokens
from finial.runtime.config.source import Source

BOOLEANS = {"true": True, "false": False}


def parse_hcl(text: str, file: str) -> Document:
    """The document of an HCL 1 text; raises ConfigError, and nothing else, for any other text."""
    source = Source(text, file)
    return Document(file, Node(source.mark(0), _Parser(source).body("end", 0)))


class _Parser:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._tokens = tokens(source)
        self._token = next(self._tokens)

    def body(self, closing: Kind, depth: int) -> dict[str, Node]:
        """Items up to the closing token, which is left standing."""
        if depth > MOST_DEPTH:
            raise self._error(f"nested deeper than {MOST_DEPTH} levels")
        table: dict[str, Node] = {}
        while not self._is(closing):
            if self._is("end"):
                raise self._error("a block that is not closed", "close it with }")
            self._item(table, depth)
            if self._is(","):
                self._take()
        return table

    def _item(self, table: dict[str, Node], depth: int) -> None:
        keys = self._keys()
        if self._is("=") and len(keys) == 1:
            self._take()
            value = self._value(depth)
        elif self._is("{"):
            value = self._object(depth + len(keys) - 1)
        else:
            raise self._error(f"expected a block or = after {keys[-1]}, found {self._token}")
        node = Node(self._mark(keys[-1]), value.value)
        for key, label in zip(reversed(keys[:-1]), reversed(keys[1:]), strict=True):
            node = Node(self._mark(key), {str(label.value): node})
        insert(table, str(keys[0].value), node)

    def _keys(self) -> list[Token]:
        keys: list[Token] = []
        while self._token.kind in ("ident", "string"):
            keys.append(self._take())
        if not keys:
            raise self._error(f"expected a key, found {self._token}")
        return keys

    def _value(self, depth: int) -> Node:
        token = self._token
        if token.kind == "{":
            return self._object(depth)
        if token.kind == "[":
            return self._list(depth)
        if token.kind in ("string", "heredoc", "number"):
            self._take()
            return Node(self._mark(token), token.value)
        if token.kind == "ident" and token.value in BOOLEANS:
            self._take()
            return Node(self._mark(token), BOOLEANS[str(token.value)])
        hint = "texts are quoted" if token.kind == "ident" else ""
        raise self._error(f"expected a value, found {token}", hint)

    def _object(self, depth: int) -> Node:
        opening = self._take()
        table = self.body("}", depth + 1)
        self._take()
        return Node(self._mark(opening), table)

    def _list(self, depth: int) -> Node:
        if depth >= MOST_DEPTH:
            raise self._error(f"nested deeper than {MOST_DEPTH} levels")
        opening = self._take()
        items: list[Node] = []
        while not self._is("]"):
            items.append(self._value(depth + 1))
            if self._is(","):
                self._take()
            elif not self._is("]"):
                raise self._error(f"expected a comma or ] in a list, found {self._token}")
        self._take()
        return Node(self._mark(opening), items)

    def _is(self, kind: Kind) -> bool:
        return self._token.kind == kind

    def _take(self) -> Token:
        token = self._token
        if token.kind != "end":
            self._token = next(self._tokens)
        return token

    def _mark(self, token: Token) -> Mark:
        return self._source.mark(token.offset)

    def _error(self, message: str, way_out: str = "") -> ConfigError:
        return self._source.error(self._token.offset, message, way_out)
