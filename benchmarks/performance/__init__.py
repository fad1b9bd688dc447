"""How fast the service is, beside others and beside its targets: `python -m benchmarks run`, `make bench`."""
