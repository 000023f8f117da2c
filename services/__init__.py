"""Processes of one machine: the Prefect server and its workers, for a demo or a single fog node."""
