"""What stands between the broker and Celery: no message that is not understood gets through."""
