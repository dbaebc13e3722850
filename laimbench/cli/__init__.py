"""The command ``laimbench``: one file per verb, errors of one line, honest exit codes."""

from laimbench.cli.app import main

__all__ = ["main"]
