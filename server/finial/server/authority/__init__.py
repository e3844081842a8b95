"""The trust domain's signing authorities over time.

Belongs here: when an authority is prepared, activated, given up and taken out of the bundle
(`rotator`, pure), and carrying that out over signers, bundle and journal (`series`, `manager`).

Does not belong here: keys and signatures (`finial.server.signer`), the bundle's storage (the
datastore), what is issued under an authority (`finial.server.issuance`).
"""

from finial.server.authority.manager import AuthorityManager, AuthoritySettings
from finial.server.authority.rotator import Authority, State
from finial.server.authority.series import AuthorityError

__all__ = ["Authority", "AuthorityError", "AuthorityManager", "AuthoritySettings", "State"]
