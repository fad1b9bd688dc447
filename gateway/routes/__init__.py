"""The gateway's addresses, a file per kind."""
