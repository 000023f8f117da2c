"""What an error of a file system says, in a line."""


def told(error: Exception) -> str:
    """An error in words, whatever raised it: clients of remote stores have errors of their own, some without any.

    A server may have written them: spell them safely before they are shown.
    """
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
