"""The revisions of the ledger's schema; each is frozen once a release has carried it."""
