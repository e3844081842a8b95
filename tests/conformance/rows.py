"""The rows of the SPIFFE conformance checklist: what is to be held, in a few words of ours.

A line is the row's name, whom it binds, how strongly, and what it is about. Whom: issuer,
validator, publisher and consumer of bundles, fsrv and fcli (federation endpoint: server, client),
endpoint (of the Workload API), client (of it), producer and reader of bundle maps, broker (both
sides). How: M(ust), MN (must not), S(hould), SN (should not), O(ptional).
"""

from __future__ import annotations

from dataclasses import dataclass

LINES = """
ID-01 | issuer validator | M | the scheme is spiffe
ID-02 | issuer validator | M | the trust domain is not empty
ID-03 | issuer validator | MN | neither query nor fragment
ID-04 | issuer validator | M | neither user nor port
ID-05 | issuer validator | M | 39 characters in a trust domain's name
ID-06 | issuer validator | MN | no percent-encoding in it
ID-07 | issuer validator | M | at most 255 bytes of it
ID-08 | validator | MN | addresses and DNS names are names like others
ID-09 | issuer validator | MN | no percent-encoding in the path
ID-10 | issuer validator | MN | no empty segment
ID-11 | issuer validator | MN | no slash at the end
ID-12 | issuer validator | MN | no dot segments
ID-13 | issuer validator | M | 65 characters in a segment
ID-14 | issuer validator | O | the path may be missing
ID-15 | validator | M | paths differ by case
ID-16 | validator | O | scheme and trust domain in lower case only
ID-17 | issuer validator | M | IDs of 2048 bytes work everywhere
ID-18 | issuer | SN | no longer ID is made
ID-19 | issuer | M | a trust domain has an authority with an SVID
ID-20 | issuer | S | the authority's ID is the trust domain's own
ID-21 | issuer | M | ID and key are under the signature
ID-22 | validator | M | only specified documents are SVIDs
X509-01 | issuer | M | one URI name in what is issued
X509-02 | validator | M | not one URI name: refused
X509-03 | issuer validator | O | other names beside it
X509-04 | issuer validator | M | a leaf's ID has a path
X509-05 | issuer | M | names are critical when the subject is empty
X509-06 | issuer | M | a leaf is no CA
X509-07 | issuer | M | a signing certificate is a CA
X509-08 | issuer | O | path lengths are kept
X509-09 | issuer | M | key usage: there, and critical
X509-10 | issuer | M | signing certificates sign certificates
X509-11 | issuer | M | leaves make signatures
X509-12 | issuer | MN | leaves sign neither certificates nor CRLs
X509-13 | issuer | S | leaves say what they are for
X509-14 | issuer | M | for servers and for clients
X509-15 | issuer validator | O | what CAs are for is not nested
X509-16 | issuer | S | a signing certificate is an SVID
X509-17 | issuer | MN | without path
X509-18 | issuer | S | of the leaves' trust domain
X509-19 | validator | MN | it authenticates nobody
X509-20 | validator | M | path validation of RFC 5280
X509-21 | validator | M | a leaf that is a CA: refused
X509-22 | validator | M | a leaf that may sign certificates or CRLs: refused
X509-23 | validator | M | the URI is a SPIFFE ID
X509-24 | issuer | O | URI name constraints bind
X509-25 | publisher | M | use is x509-svid
X509-26 | publisher | MN | no kid
X509-27 | publisher | M | one CA certificate in x5c
X509-28 | publisher | S | self-signed
X509-29 | consumer | M | no x5c: passed over; of several the first
X509-30 | consumer | M | all entries together; none: nothing is trusted
X509-31 | validator | M | the bundle of the ID's own trust domain
JWT-01 | issuer | M | compact serialisation
JWT-02 | validator | MN | no other
JWT-03 | issuer | MN | alg, kid, typ and no more
JWT-04 | issuer | M | one of nine algorithms
JWT-05 | validator | M | others are refused before all else
JWT-06 | validator | M | the key fits the algorithm
JWT-07 | issuer | O | kid is always there
JWT-08 | issuer validator | M | typ is JWT or JOSE, if any
JWT-09 | issuer validator | M | sub is a SPIFFE ID
JWT-10 | issuer | M | an audience is needed to issue
JWT-11 | validator | M | no audience: refused
JWT-12 | validator | M | another audience: refused
JWT-13 | issuer | S | narrow audiences
JWT-14 | issuer | M | exp is written
JWT-15 | validator | M | no exp: refused
JWT-16 | validator | M | expired: refused, with small leeway
JWT-17 | issuer | O | other claims
JWT-18 | validator | M | signed by a key of sub's trust domain
JWT-19 | client | S | how tokens are carried
JWT-20 | publisher | M | use is jwt-svid, kid is set
JWT-21 | consumer | M | keys of other uses validate nothing
JWT-22 | consumer | M | no such key: no token is trusted
WIT-01 | issuer validator | M | kid is there
WIT-02 | validator | M | kid is compared as it stands
WIT-03 | issuer | M | a kid a key
WIT-04 | issuer validator | M | typ is wit+jwt
WIT-05 | issuer validator | M | one of nine algorithms
WIT-06 | issuer | SN | no other headers
WIT-07 | validator | S | unknown headers pass unless critical
WIT-08 | issuer validator | M | sub is a SPIFFE ID
WIT-09 | issuer validator | M | cnf holds a JWK
WIT-10 | issuer validator | M | with one of nine algorithms
WIT-11 | issuer | M | a jti is never met twice
WIT-12 | validator | MN | nor used against replay
WIT-13 | issuer validator | M | exp is there and not past
WIT-14 | validator | M | nbf is not to come
WIT-15 | validator | O | a longest life
WIT-16 | validator | MN | iat does not begin the validity
WIT-17 | issuer | SN | iss is no OIDC issuer
WIT-18 | issuer | MN | no aud
WIT-19 | validator | S | unknown claims pass
WIT-20 | validator | MN | not without proof of possession
WIT-21 | client | MN | no bearer token
WIT-22 | client validator | S | presented by a WIMSE protocol
WIT-23 | client | M | proofs are short-lived
WIT-24 | client | M | only over secure channels
WIT-25 | publisher | M | use is wit-svid, kid is set
WIT-26 | publisher | M | kid is unique over JWT and WIT keys
WIT-27 | consumer | M | keys of other uses validate nothing
BND-01 | publisher | M | a JWK Set
BND-02 | consumer | MN | other members are not needed
BND-03 | publisher | S | a sequence number
BND-04 | publisher | M | that rises with every change
BND-05 | publisher | S | a refresh hint in whole seconds
BND-06 | publisher consumer | M | keys are there
BND-07 | consumer | M | no key: everything is revoked
BND-08 | consumer | M | no usable key: the same
BND-09 | publisher | M | kty and use on each key
BND-10 | consumer | M | unknown kty: passed over
BND-11 | consumer | M | unknown use: passed over
BND-12 | publisher | SN | no other parameters
BND-13 | consumer | S | without hint: poll often
BND-14 | producer | M | a map has trust_domains
BND-15 | producer | M | whose names are unique
BND-16 | reader | M | twice the same name: refused
BND-17 | producer | S | no refresh hints inside
BND-18 | reader | MN | nor heeded
BND-19 | consumer | M | keys of one use never validate another
FED-01 | publisher | M | keys are published before they sign
FED-02 | publisher | S | and withdrawn when nothing depends on them
FED-03 | fcli | S | polls at the hint
FED-04 | fcli | S | keeps the latest bundle
FED-05 | fcli | S | tells freshness by sequence
FED-06 | fcli | O | a bundle set by hand counts until then
FED-07 | fcli | MN | bundles are never merged
FED-08 | fcli | M | both profiles
FED-09 | fsrv | M | at least one profile
FED-10 | fsrv | M | TLS as Mozilla's intermediate
FED-11 | fcli | M | URL, profile and trust domain are given
FED-12 | fcli | M | names and bundles stay paired
FED-13 | fcli | M | https, and no user in the URL
FED-14 | fcli | MN | https_web needs no more
FED-15 | fsrv | S | a public CA's certificate
FED-16 | fsrv | M | with the endpoint's name
FED-17 | fsrv | MN | clients need no credentials
FED-18 | fsrv | M | GET gives the newest bundle
FED-19 | fsrv | M | UTF-8, application/json
FED-20 | fsrv | M | redirects lead to endpoints
FED-21 | fsrv | S | for a time only
FED-22 | fcli | M | https_web: names are checked
FED-23 | fcli | S | redirects are followed
FED-24 | fcli | M | with the same checks
FED-25 | fcli | S | and forgotten
FED-26 | fcli | M | https_spiffe: the endpoint's ID is given
FED-27 | fcli | M | and its first bundle
FED-28 | fcli | M | or its other trust domain
FED-29 | fsrv | M | an X509-SVID is presented
FED-30 | fcli | M | of exactly that ID
FED-31 | fcli | M | judged by the latest bundle
FED-32 | fcli | S | failed polls wait their turn
WEP-01 | endpoint | S | local, a Unix socket
WEP-02 | endpoint client | M | gRPC
WEP-03 | endpoint | MN | no TCP by default
WEP-04 | client | M | the security header on every call
WEP-05 | endpoint | M | refused without it
WEP-06 | endpoint | MN | no TLS needed
WEP-07 | endpoint | MN | no credentials needed
WEP-08 | endpoint | S | callers are known out of band
WEP-09 | client | M | the address from the environment
WEP-10 | client | M | of scheme unix or tcp
WEP-11 | client | M | unix: a path and no more
WEP-12 | client | M | tcp: IP address and port and no more
WEP-13 | client | SN | InvalidArgument is not tried again
WEP-14 | endpoint | M | Unavailable while not ready
WEP-15 | client | O | tried again with growing pauses
WEP-16 | endpoint | S | no identity: PermissionDenied
WEP-17 | endpoint client | M | Unimplemented, and not tried again
WEP-18 | endpoint | MN | the service is not extended
WEP-19 | endpoint | M | the Workload API is exposed
WEP-20 | endpoint | S | reflection
WL-01 | endpoint | M | X.509 and JWT profiles
WL-02 | endpoint | M | WIT profile: whole or Unimplemented
WL-03 | client | SN | no reconnecting for it then
WL-04 | client | S | streams stay open
WL-05 | endpoint | M | messages are the whole state
WL-06 | endpoint | M | the first at once
WL-07 | endpoint | S | others when something changes
WL-08 | client | MN | what is absent is not kept
WL-09 | endpoint | S | mandatory fields of requests
WL-10 | client | S | mandatory fields of answers
WL-11 | client | M | peers by their own trust domain's bundle
WL-12 | endpoint | M | at least one X509-SVID
WL-13 | endpoint | M | DER, one after the other
WL-14 | endpoint | M | all fields; bundles by trust domain ID
WL-15 | endpoint | M | no hint twice
WL-16 | client | S | of the same hint the first
WL-17 | endpoint client | S | PermissionDenied withdraws
WL-18 | client | M | bundles for their own kind of SVID
WL-19 | endpoint | M | X.509 bundles: the own domain's at least
WL-20 | endpoint | S | none for strangers
WL-21 | endpoint | M | an audience for JWT-SVIDs
WL-22 | endpoint | M | one for each identity
WL-23 | endpoint | M | or for the one asked for
WL-24 | endpoint | S | nobody else's
WL-25 | endpoint | M | at least one, all fields
WL-26 | endpoint | M | JWT bundles: JWK Sets, the own domain's at least
WL-27 | endpoint | MN | of JWT keys alone
WL-28 | endpoint | S | none for strangers
WL-29 | endpoint | M | all rules when validating
WL-30 | endpoint | S | claims are shown
WL-31 | endpoint | M | audience and token are needed
WL-32 | client | S | validated by the endpoint, by sub's bundle
WL-33 | endpoint | M | WIT-SVIDs by the same rules
WL-34 | endpoint | M | WIT bundles likewise
WL-35 | endpoint | SN | hints of 1024 bytes at most
WL-36 | endpoint | M | the default identity is first, always
BRK-01 | broker | M | gRPC
BRK-02 | broker | M | the security header
BRK-03 | broker | M | mutual TLS
BRK-04 | broker | M | the server's ID
BRK-05 | broker | S | for designated clients
BRK-06 | broker | M | the address from the environment
BRK-07 | broker | M | an allow list
BRK-08 | broker | M | Unavailable, Unauthenticated
BRK-09 | broker | M | exposed
BRK-10 | broker | M | a reference is needed
BRK-11 | broker | M | of a known type
BRK-12 | broker | M | and well-formed
BRK-13 | broker | M | to what exists
BRK-14 | broker | MN | not believed
BRK-15 | broker | M | not entitled: PermissionDenied
BRK-16 | broker | S | error details
BRK-17 | broker | MN | local references stay local
BRK-18 | broker | M | one entity at a time
BRK-19 | broker | M | PIDs are positive
BRK-20 | broker | M | Kubernetes: plural and group
BRK-21 | broker | M | key or UID
BRK-22 | broker | M | or both
BRK-23 | broker | S | own types are documented
BRK-24 | broker | M | messages are complete
BRK-25 | broker | M | mandatory fields
BRK-26 | broker | M | hints
BRK-27 | broker | M | audiences
BRK-28 | broker | M | bundles
BRK-29 | broker | MN | workloads stay apart
BRK-30 | broker | M | stopped workloads get nothing
BRK-31 | broker | M | and are forgotten
BRK-32 | broker | S | streams stay open
"""


@dataclass(frozen=True)
class Row:
    """One rule of the checklist."""

    id: str
    who: tuple[str, ...]
    level: str
    title: str

    @property
    def family(self) -> str:
        """What stands before the number."""
        return self.id.partition("-")[0]


def _read(line: str) -> Row:
    name, who, level, title = (part.strip() for part in line.split("|"))
    return Row(name, tuple(who.split()), level, title)


ROWS: dict[str, Row] = {row.id: row for row in map(_read, LINES.strip().splitlines())}

_NO_BROKER = "no Broker API is served, and none is called"
_NO_PEERS = "binds clients that authenticate peers; our command lines show what they are given"
_NO_PRESENTING = "binds workloads that present tokens to each other; ours present none"

NOT_OURS: dict[str, str] = {
    **{row.id: _NO_BROKER for row in ROWS.values() if row.family == "BRK"},
    "JWT-13": "what audiences an operator's workloads ask for is theirs",
    "JWT-19": _NO_PRESENTING,
    "WIT-21": _NO_PRESENTING,
    "WIT-24": _NO_PRESENTING,
    "WL-11": _NO_PEERS,
    "WL-18": _NO_PEERS,
    "FED-15": "which CA signs an endpoint's certificate is the operator's choice",
}
"""Rows that do not bind what Finial is, and why."""

UNCOVERED: dict[str, str] = {}
"""Rows that bind Finial and are not covered, and why. One that is covered may not stand here."""
