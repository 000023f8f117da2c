"""What runs on a device, with neither Prefect nor a server."""
