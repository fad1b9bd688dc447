"""Telling strangers that a job has ended."""
