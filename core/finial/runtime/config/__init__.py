"""Configuration as text, turned into typed values or into a list of what is wrong with it.

Here: reading HCL 1, JSON and TOML with the position of every key, the durations and other field
types that sections are built from, and the check of a document against a schema. Not here: the
schemas themselves (`finial.server.config`, `finial.agent.config`), nor any default that only one
side knows.
"""

from finial.runtime.config.document import Document, Node
from finial.runtime.config.errors import ConfigError, Mark, Problem
from finial.runtime.config.loader import load_file, parse_document
from finial.runtime.config.plugins import PluginKind, only, read_plugins
from finial.runtime.config.schema import Reader, Section, Unserved
from finial.runtime.duration import format_duration, parse_duration

__all__ = [
    "ConfigError",
    "Document",
    "Mark",
    "Node",
    "PluginKind",
    "Problem",
    "Reader",
    "Section",
    "Unserved",
    "format_duration",
    "load_file",
    "only",
    "parse_document",
    "parse_duration",
    "read_plugins",
]
