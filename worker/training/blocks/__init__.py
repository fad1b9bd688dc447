"""A training that is split: workers make blocks of S's rows, the trainer puts them together."""
