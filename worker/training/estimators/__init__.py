"""Ways to learn neighbours, one per file: histories (users x titles) in, S (titles x titles) cut to the top K out."""
