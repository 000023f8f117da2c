"""Ten devices and a fog node over counted and shaped links; how it is measured stands in ``docs/network.md``."""
