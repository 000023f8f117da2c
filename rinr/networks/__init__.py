"""Network families, one file each, behind one interface, and the engine that fits them."""
