"""The processes that hold the CA keys, and the pool through which the server asks them to sign.

Belongs here: what a signer refuses (`policy`), what it signs (`template`, `token`, `downstream`),
the check before each signature (`lint`), where keys rest (`keystore`); and on the other side of
the socket pair `pool`, with no key in it.

Does not belong here: which identity somebody may have (the registry), how long it lives
(issuance), when an authority begins and ends (`finial.server.authority`).

Who is exec'd by whom: the server's API process execs the first signer. All others are exec'd by
a signer, because only so can keys be handed on without a trust in the API process: whoever is
able to start a "sibling" of its own is able to ask for the keys.
"""
