"""Types of command-line arguments that several commands take; argparse shows their messages."""

import argparse


def positive(value: str) -> int:
    """A number from 1. Raises ArgumentTypeError."""
    number = int(value) if value.isdecimal() else 0
    if number < 1:
        message = f"{value!r} is no number from 1"
        raise argparse.ArgumentTypeError(message)
    return number


def share(value: str) -> float:
    """A number from 0 to 1. Raises ArgumentTypeError, or ValueError for what is no number."""
    number = float(value)
    if not 0 <= number <= 1:
        message = f"{value} is not from 0 to 1"
        raise argparse.ArgumentTypeError(message)
    return number
