"""What `python -m worker` can be told to do, a file for each."""
