"""From interactions to a neighbour model."""
