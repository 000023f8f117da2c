"""Whether a store is sound, what it holds, and what is done where it is not sound."""
