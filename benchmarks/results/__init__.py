"""What is published of measurements: documents and the page, written from the records and from nothing else."""
