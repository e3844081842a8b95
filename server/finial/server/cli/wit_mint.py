"""`wit mint`: a WIT-SVID for any ID of the trust domain; its key is made here and stays here."""

import json
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from finial.api.spire.server.svid_pb2 import MintWITSVIDRequest
from finial.api.spire.server.svid_pb2_grpc import SVIDStub
from finial.api.spire.types_pb2 import SPIFFEID, WITSVID
from finial.runtime.cli.client import TIMEOUT, Call
from finial.runtime.cli.failure import FailureError, file_failure
from finial.runtime.cli.files import SECRET, write_output
from finial.runtime.cli.flags import duration, text
from finial.runtime.cli.output import json_line
from finial.server.cli.admin import admin_command
from finial.server.cli.arguments import whole_seconds
from finial.server.cli.minting import wall_time, wanted_id, warn_if_capped
from finial.spiffe import public_key
from finial.spiffe.private_jwk import JwkPrivateKey, to_private_jwk

RSA_SIZES: Final = {"rsa-2048": 2048, "rsa-4096": 4096}
RSA_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
CURVES: Final[dict[str, tuple[str, ec.EllipticCurve]]] = {
    "ES256": ("ec-p256", ec.SECP256R1()),
    "ES384": ("ec-p384", ec.SECP384R1()),
}


async def mint(call: Call) -> None:
    wanted = wanted_id(call)
    algorithm = call.values.text("signingAlgorithm")
    key = new_key(call.values.text("keyType"), algorithm)
    asked_at = wall_time()
    request = MintWITSVIDRequest(
        id=SPIFFEID(trust_domain=wanted.trust_domain.name, path=wanted.path),
        public_key=public_key.to_spki(key.public_key()),
        signing_algorithm=algorithm,
        ttl=whole_seconds(call.values.seconds("ttl")),
    )
    with call.doing("unable to mint SVID: "):
        svid = (await SVIDStub(call.channel).MintWITSVID(request, timeout=TIMEOUT)).svid
    warn_if_capped(call, "WIT-SVID", asked_at, svid.expires_at)
    jwk = json.dumps(to_private_jwk(key), separators=(",", ":"))
    if folder := call.values.text("write"):
        _write(call, Path(folder), "token", svid.token, "WIT-SVID")
        _write(call, Path(folder), "key", jwk, "Private key")
    elif call.wants_json:
        call.console.show(as_json(svid, jwk))
    else:
        call.console.show(svid.token)
        call.console.show(jwk)


def new_key(key_type: str, algorithm: str) -> JwkPrivateKey:
    """A fresh key that signs by the algorithm; raises FailureError when the two don't fit."""
    if algorithm in RSA_ALGORITHMS:
        if key_type not in RSA_SIZES:
            raise FailureError(
                f"unsupported key type '{key_type}' for signing algorithm '{algorithm}'"
            )
        return rsa.generate_private_key(65537, RSA_SIZES[key_type])
    if algorithm not in CURVES:
        raise FailureError(f"unsupported signing algorithm: {algorithm}")
    fitting, curve = CURVES[algorithm]
    if key_type != fitting:
        raise FailureError(f"unsupported key type '{key_type}' for '{algorithm}' signing algorithm")
    return ec.generate_private_key(curve)


def as_json(svid: WITSVID, jwk: str) -> str:
    """SPIRE's members in SPIRE's order."""
    return json_line(
        {
            "private_key": jwk,
            "svid": {
                "token": svid.token,
                "id": {"trust_domain": svid.id.trust_domain, "path": svid.id.path},
                "expires_at": svid.expires_at,
                "issued_at": svid.issued_at,
            },
        },
        sort=False,
    )


def _write(call: Call, folder: Path, name: str, content: str, what: str) -> None:
    path = folder / name
    try:
        write_output(path, content.encode(), SECRET)
    except OSError as error:
        failure = file_failure("open", str(path), error)
        raise FailureError(f"unable to write {name}: {failure}") from None
    call.console.show(f"{what} written to {path}")


COMMAND = admin_command(
    "wit mint",
    mint,
    text("spiffeID", "SPIFFE ID of the WIT-SVID"),
    text("keyType", "Key type: ec-p256, ec-p384, rsa-2048 or rsa-4096", "ec-p256"),
    text("signingAlgorithm", "What the workload signs its proofs with", "ES256"),
    duration("ttl", "Lifetime, such as 30m; the server's default when not given"),
    text("write", "Folder to write the files token and key to"),
)
