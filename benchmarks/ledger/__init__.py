"""The ledger beside its peers: `make bench-ledger`, or `python -m benchmarks.ledger --help`."""
