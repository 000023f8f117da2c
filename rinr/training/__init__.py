"""Training on decoded frames, and measuring what was learned."""
