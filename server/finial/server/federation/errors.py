"""What can go wrong with keeping another trust domain's bundle current."""

from __future__ import annotations


class RefreshError(Exception):
    """A refresh that somebody asked for failed; the text says at what, and why."""
