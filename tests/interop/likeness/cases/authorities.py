"""The server's own authorities, moved through their lives; last, for it moves the server's SVID."""

from __future__ import annotations

from tests.interop.likeness.steps import Groups, Step, call

SERVICE = "LocalAuthority"
ORDER = "first", "second", "third", "fourth"


def life(kind: str) -> list[Step]:
    """One kind from the first to the third authority."""

    def act(name: str, verb: str, of: str | None = None) -> Step:
        given = {} if of is None else {"authority_id": of}
        return call(name, f"{SERVICE}.{verb}{kind}Authority", **given)

    def state(name: str) -> Step:
        return call(f"state {name}", f"{SERVICE}.Get{kind}AuthorityState")

    def bundle(name: str) -> Step:
        return call(f"bundle {name}", "Bundle.GetBundle", output_mask=mask)

    def prepared(name: str) -> Step:
        keep = {f"{kind}_{name}": "prepared_authority.authority_id"}
        return Step(f"prepare {name}", f"{SERVICE}.Prepare{kind}Authority", keep=keep)

    mask = {f"{kind.lower()}_authorities": True}
    first, second, third, fourth = (
        f"{{{kind}_{n}}}" for n in ("first", "second", "third", "fourth")
    )
    return [
        Step(
            "state at first",
            f"{SERVICE}.Get{kind}AuthorityState",
            keep={f"{kind}_first": "active.authority_id"},
        ),
        *(act(f"{verb} none", verb) for verb in ("Activate", "Taint", "Revoke")),
        *(act(f"{verb} unknown", verb, "unknown") for verb in ("Activate", "Taint", "Revoke")),
        *(act(f"{verb} the active", verb, first) for verb in ("Activate", "Taint", "Revoke")),
        prepared("second"),
        state("with a prepared one"),
        *(act(f"{verb} the prepared", verb, second) for verb in ("Taint", "Revoke")),
        act("activate another", "Activate", "unknown"),
        act("activate", "Activate", second),
        state("with an old one"),
        act("activate again", "Activate", second),
        act("activate the old", "Activate", first),
        act("revoke untainted", "Revoke", first),
        act("taint", "Taint", first),
        act("taint twice", "Taint", first),
        state("with a tainted one"),
        bundle("with a tainted one"),
        act("revoke", "Revoke", first),
        state("after a revocation"),
        bundle("after a revocation"),
        act("revoke again", "Revoke", first),
        act("taint the revoked", "Taint", first),
        prepared("third"),
        prepared("fourth"),
        state("with one replaced"),
        act("activate the replaced", "Activate", third),
        act("activate the fourth", "Activate", fourth),
        state("at last"),
    ]


UPSTREAM = [
    call("taint none", f"{SERVICE}.TaintX509UpstreamAuthority"),
    call("taint", f"{SERVICE}.TaintX509UpstreamAuthority", subject_key_id="aa"),
    call("revoke none", f"{SERVICE}.RevokeX509UpstreamAuthority"),
    call("revoke", f"{SERVICE}.RevokeX509UpstreamAuthority", subject_key_id="aa"),
]
WIT = [
    call(name, f"{SERVICE}.{name}")
    for name in (
        "GetWITAuthorityState",
        "PrepareWITAuthority",
        "ActivateWITAuthority",
        "TaintWITAuthority",
        "RevokeWITAuthority",
    )
]
GROUPS: Groups = {
    "upstream authorities": UPSTREAM,
    "WIT authorities": WIT,
    "JWT authorities": life("JWT"),
    "X.509 authorities": life("X509"),
}
