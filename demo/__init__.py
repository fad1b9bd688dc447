"""The whole service on one machine: real servers from wheels, sample data, worker and gateway."""
