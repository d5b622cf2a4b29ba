"""Keep Sumatra record stores in sync."""

__version__ = "0.1.0"
