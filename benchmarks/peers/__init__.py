"""Other libraries' recommenders, each behind one interface, tuned and asked as our own models are."""
