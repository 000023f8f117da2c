"""Prefect tasks: thin adapters that give the other rooms retries, artifacts and progress."""
