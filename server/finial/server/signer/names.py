"""The syntax of the names that a caller may put into a certificate, beside the SPIFFE ID."""

from __future__ import annotations

import re

MAX_DNS_NAME = 253
"""Octets of a DNS name as text (RFC 1035 section 2.3.4)."""

MAX_COMMON_NAME = 64
"""Bytes of a common name in UTF-8. RFC 5280 appendix A.1 (ub-common-name) counts characters, but
readers that count bytes refuse the certificate, so the stricter reading holds."""

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_DNS_NAME = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")


def is_dns_name(name: str) -> bool:
    """Whether it may stand as a DNS name in a certificate; a wildcard is the whole first label."""
    return len(name) <= MAX_DNS_NAME and _DNS_NAME.fullmatch(name) is not None


def is_common_name(name: str) -> bool:
    """Whether it may stand as a subject's common name: short and printable."""
    return name.isprintable() and 0 < len(name.encode()) <= MAX_COMMON_NAME
