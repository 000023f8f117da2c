"""Planning a fleet: what a round of its pictures would cost in each way of sending, on a sample of one's own frames."""
