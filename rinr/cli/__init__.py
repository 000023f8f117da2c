"""The command line ``rinr``: one file a command."""
