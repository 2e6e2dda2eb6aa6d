"""Who a client is.

`records` says what a key is and how the file of keys reads; `keystore` keeps that file;
`verifier` answers, fast and often, whose key a client presents.

`openalgo` answers the same from OpenAlgo's own keys, which `database` reads; `verifiers` makes
one of several that answer.
"""
