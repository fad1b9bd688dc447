"""The queue door: messages in, contracts, one function of `shared`, and the ledger's answer."""
