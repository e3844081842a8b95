"""What a signer does with each request of the API process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from finial.api.finial import signer_pb2
from finial.server.signer import authority_key, complaints, keystore, signing
from finial.server.signer.keyring import Keyring
from finial.server.signer.policy import policy_from
from finial.server.signer.refusal import Code, Refused, policy_violation
from finial.spiffe.errors import SpiffeError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from finial.server.signer.authority_key import AuthorityKey
    from finial.server.signer.keystore import KeyManager
    from finial.server.signer.policy import Policy

MAX_NAMED = 200
"""Characters of a refused name that are logged."""


class SignerService:
    """The state of one signer: policy, keys, siblings; and the answer to each request.

    `share` hands every key to the siblings and `spawn` starts one more, given the descriptor of
    its link to the API process; both are the surrounding process's.
    """

    def __init__(
        self,
        *,
        now: Callable[[], float],
        share: Callable[[signer_pb2.Share], None],
        spawn: Callable[[int, signer_pb2.Share], int],
    ) -> None:
        self._now = now
        self._share = share
        self._spawn = spawn
        self._keys = Keyring()
        self._settings = signer_pb2.Configure()
        self._policy: Policy | None = None
        self._manager: KeyManager = keystore.MemoryKeyManager()

    @property
    def ready(self) -> bool:
        """Whether policy and keys are known."""
        return self._policy is not None

    def answer(self, request: signer_pb2.Request, descriptors: Sequence[int]) -> signer_pb2.Reply:
        """Carry out a request; what cannot be done is a refusal in the reply, no exception."""
        try:
            reply = self._carry_out(request, descriptors)
        except Refused as refused:
            complaints.say("warn", "signer refused a request", reason=str(refused))
            reply = signer_pb2.Reply(refusal=refused.to_message())
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as fault:  # noqa: BLE001  (one request must not take the keys with it)
            # Not only Exception: what panics in cryptography's Rust, on some CSR, arrives as none.
            complaints.say("error", "signer failed on a request", fault=type(fault).__name__)
            refusal = Refused(Code.INTERNAL, "the signer failed on this request")
            reply = signer_pb2.Reply(refusal=refusal.to_message())
        reply.id = request.id
        return reply

    def join(self, share: signer_pb2.Share) -> None:
        """Take policy (from the first message only) and keys from the signer that started this one.

        Raises:
            Refused, ValueError: the message is not one that a sound signer sends.
        """
        if self._policy is None:
            self._configure(share.configure)
        self._keys.replace(authority_key.restore(each) for each in share.authorities)

    def _carry_out(
        self, request: signer_pb2.Request, descriptors: Sequence[int]
    ) -> signer_pb2.Reply:
        body = request.WhichOneof("body")
        if body == "configure":
            return self._start(request.configure)
        policy = self._policy
        if policy is None:
            raise policy_violation("the signer has not been given a policy")
        if body is not None and body.startswith("sign_"):
            return self._sign(request, policy)
        if body == "generate_authority":
            return self._generate(request.generate_authority, policy)
        if body == "drop_authority":
            order = request.drop_authority
            return self._hold(self._keys.without(order.slot, order.authority_id))
        if body == "list_authorities":
            return self._authorities()
        if body == "spawn" and len(descriptors) == 1:
            pid = self._spawn(descriptors[0], self._everything())
            return signer_pb2.Reply(spawned=signer_pb2.Spawned(pid=pid))
        raise policy_violation("the request is not one that signers know")

    def _start(self, settings: signer_pb2.Configure) -> signer_pb2.Reply:
        if self._policy is not None:
            raise policy_violation("the policy is fixed once the signer has started")
        keys = keystore.key_manager(settings).load()
        self._configure(settings)
        self._keys.replace(keys)
        return self._authorities()

    def _configure(self, settings: signer_pb2.Configure) -> None:
        try:
            self._policy = policy_from(settings.policy, self._now)
        except (SpiffeError, ValueError) as error:
            raise policy_violation(str(error)) from None
        self._manager = keystore.key_manager(settings)
        self._settings = settings

    def _generate(self, order: signer_pb2.GenerateAuthority, policy: Policy) -> signer_pb2.Reply:
        policy.check_authority(order)
        try:
            made = authority_key.generate(order, policy.trust_domain.name, policy.ca_subject)
        except ValueError as error:
            raise policy_violation(str(error)) from None
        return self._hold(self._keys.with_added(made))

    def _hold(self, keys: list[AuthorityKey]) -> signer_pb2.Reply:
        """Stored first, shared second: no sibling signs with a key that a crash could lose."""
        self._manager.store(keys)
        self._keys.replace(keys)
        self._share(self._everything())
        return self._authorities()

    def _everything(self) -> signer_pb2.Share:
        keys = [each.to_message() for each in self._keys.all()]
        return signer_pb2.Share(configure=self._settings, authorities=keys)

    def _authorities(self) -> signer_pb2.Reply:
        records = [each.record for each in self._keys.all()]
        return signer_pb2.Reply(authorities=signer_pb2.Authorities(authorities=records))

    def _sign(self, request: signer_pb2.Request, policy: Policy) -> signer_pb2.Reply:
        if request.HasField("sign_x509"):
            return self._sign_x509(request.sign_x509, policy)
        if request.HasField("sign_jwt"):
            return self._sign_jwt(request.sign_jwt, policy)
        if request.HasField("sign_wit"):
            return self._sign_wit(request.sign_wit, policy)
        return self._sign_downstream(request.sign_downstream, policy)

    def _sign_x509(self, batch: signer_pb2.SignX509, policy: Policy) -> signer_pb2.Reply:
        authority = self._keys.find(batch.authority_id, signer_pb2.X509)
        reply = signer_pb2.Reply()
        outcomes = signing.sign_x509(batch.orders, authority, policy)
        for order, outcome in zip(batch.orders, outcomes, strict=True):
            if isinstance(outcome, Refused):
                _complain(outcome, order.spiffe_id)
                reply.x509.results.add(refusal=outcome.to_message())
            else:
                reply.x509.results.append(outcome)
        return reply

    def _sign_jwt(self, batch: signer_pb2.SignJwt, policy: Policy) -> signer_pb2.Reply:
        authority = self._keys.find(batch.authority_id, signer_pb2.JWT)
        reply = signer_pb2.Reply()
        outcomes = signing.sign_jwt(batch.orders, authority, policy)
        for order, outcome in zip(batch.orders, outcomes, strict=True):
            if isinstance(outcome, Refused):
                _complain(outcome, order.spiffe_id)
                reply.jwt.results.add(refusal=outcome.to_message())
            else:
                reply.jwt.results.append(outcome)
        return reply

    def _sign_wit(self, batch: signer_pb2.SignWit, policy: Policy) -> signer_pb2.Reply:
        authority = self._keys.find(batch.authority_id, signer_pb2.WIT)
        reply = signer_pb2.Reply()
        outcomes = signing.sign_wit(batch.orders, authority, policy)
        for order, outcome in zip(batch.orders, outcomes, strict=True):
            if isinstance(outcome, Refused):
                _complain(outcome, order.spiffe_id)
                reply.wit.results.add(refusal=outcome.to_message())
            else:
                reply.wit.results.append(outcome)
        return reply

    def _sign_downstream(
        self, batch: signer_pb2.SignDownstream, policy: Policy
    ) -> signer_pb2.Reply:
        """Every one is said aloud, by the process that signed it: it is a part of the authority."""
        authority = self._keys.find(batch.authority_id, signer_pb2.X509)
        reply = signer_pb2.Reply()
        outcomes = signing.sign_downstream(batch.orders, authority, policy)
        for order, outcome in zip(batch.orders, outcomes, strict=True):
            if isinstance(outcome, Refused):
                _complain(outcome, f"spiffe://{policy.trust_domain.name}")
                reply.x509.results.add(refusal=outcome.to_message())
            else:
                complaints.say(
                    "info",
                    "signer signed the authority of a downstream server",
                    serial=str(int.from_bytes(outcome.serial, "big")),
                    authority_id=batch.authority_id,
                    expires_at=order.not_after,
                )
                reply.x509.results.append(outcome)
        return reply


def _complain(refused: Refused, spiffe_id: str) -> None:
    """A breach of policy is an alarm; a bad request of some caller's is everyday."""
    level = "warn" if refused.code in {Code.POLICY, Code.INTERNAL} else "info"
    complaints.say(
        level,
        "signer refused to sign",
        spiffe_id=spiffe_id[:MAX_NAMED],
        code=signer_pb2.Refusal.Code.Name(refused.code),
        reason=str(refused)[: 2 * MAX_NAMED],
        pid=os.getpid(),
    )
