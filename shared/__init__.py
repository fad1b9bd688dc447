"""What both doors use: the nouns, the data, the scorer and the flow."""

__version__ = "0.1.0"
