"""PEM, for commands that print what they were sent and need no cryptography for it."""

import base64
import textwrap


def certificate_pem(der: bytes) -> str:
    """One certificate."""
    return pem("CERTIFICATE", der)


def private_key_pem(pkcs8: bytes) -> str:
    """A private key in PKCS#8 form, not encrypted."""
    return pem("PRIVATE KEY", pkcs8)


def pem(label: str, data: bytes) -> str:
    """A PEM block (RFC 7468), ending in a line feed."""
    body = "\n".join(textwrap.wrap(base64.b64encode(data).decode(), 64))
    return f"-----BEGIN {label}-----\n{body}\n-----END {label}-----\n"
