"""Rows FED-01 and FED-02."""

from tests.conformance.removal import Removal

ROTATOR = "server/finial/server/authority/rotator.py"

REMOVALS: dict[str, tuple[Removal, ...]] = {
    "FED-01": (
        # Prepared only when it is to sign at once.
        Removal(
            ROTATOR,
            "return self.not_after - min(life / 2, LONGEST_PREPARATION)",
            "return self.activate_next_at",
        ),
    ),
    "FED-02": (
        Removal(ROTATOR, "return self.not_after + KEPT_AFTER_EXPIRY", "return 0"),
        Removal(ROTATOR, "return Prune(done) if done else None", "return None"),
    ),
}
