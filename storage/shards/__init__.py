"""What travels between the fog and its devices, to the byte: keys, signatures, manifests, shards, acknowledgements."""
