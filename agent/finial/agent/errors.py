"""What can go wrong in an agent, as far as anybody outside must tell it apart.

AgentError
├── StorageError          data on disk is damaged, or not to be had
├── BootstrapError        no trust bundle to begin with
├── AttestationRefused    the server does not accept this node
├── AgentBanned           the server has banned this agent
└── AgentRejected         the server does not know this agent any more, and it cannot attest again

Each ends the process with exit status 1; the message says what the operator can do.
"""

from __future__ import annotations


class AgentError(Exception):
    """The agent cannot go on."""


class StorageError(AgentError):
    """Data on disk is damaged, or cannot be read or written."""


class BootstrapError(AgentError):
    """There is no trust bundle to verify the server with."""


class AttestationRefused(AgentError):  # noqa: N818 - a verdict, named as operators know it
    """The server judged this node's evidence and refused it."""


class AgentBanned(AgentError):  # noqa: N818
    """The server has banned this agent; its SVID has been deleted."""


class AgentRejected(AgentError):  # noqa: N818
    """The server refuses this agent's SVID, and the agent cannot attest again by itself."""
