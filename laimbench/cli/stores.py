"""Stores as arguments and options."""

from typing import Any

import typer

from laimbench.store_address import StoreAddress

FORM = "a SQLite file, or postgresql://USER:PASSWORD@HOST/DATABASE"
HOW = {"parser": StoreAddress.of, "metavar": "STORE"}


def store_argument(help: str = "The store") -> Any:
    """Return what makes a parameter the name of a store; ``help`` says what the store is for."""
    return typer.Argument(help=f"{help}: {FORM}.", **HOW)


def store_option(help: str, **more: Any) -> Any:
    """Return the same of an option."""
    return typer.Option(help=f"{help}: {FORM}.", **HOW, **more)
