"""The one place the versions stand."""

__version__ = "0.1.0"

CODEC_VERSION = "2"
"""Changes whenever the same frame and settings would give other payload bytes: every image is then encoded anew."""
