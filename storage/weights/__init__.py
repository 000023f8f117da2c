"""How the weight store keeps its tables: on Delta Lake, sorted, with an index of keys."""
