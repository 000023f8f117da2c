"""How many bits a quantized weight may have, and what it then holds at most."""

MIN_BITS, MAX_BITS = 2, 16


def largest(bits: int) -> int:
    """The largest quantized magnitude: symmetric around zero, so ``2 ** (bits - 1) - 1``.

    Raises:
        ValueError: ``bits`` is outside 2 to 16.
    """
    if not MIN_BITS <= bits <= MAX_BITS:
        raise ValueError(f"bits is {bits}, expected {MIN_BITS} to {MAX_BITS}")
    return 2 ** (bits - 1) - 1
