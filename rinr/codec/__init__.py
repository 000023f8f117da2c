"""The format: bytes, quantization, entropy coding, network payloads and encoded frames."""
