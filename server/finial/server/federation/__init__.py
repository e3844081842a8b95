"""Federation as the server does it: serving bundles and keys over HTTPS, and fetching others'.

Belongs here: the bundle endpoint, OIDC discovery, fetching other trust domains' bundles and which
addresses that may lead to, and the manager that refreshes what is federated with. The rules
themselves are `finial.spiffe.federation`; HTTP is `finial.runtime.web`.
"""
