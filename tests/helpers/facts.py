"""What a text for the user must say, whatever its words."""

from __future__ import annotations


def assert_facts(text: str, *facts: str) -> None:
    """Each fact stands in the text, in this order."""
    place = 0
    for fact in facts:
        at = text.find(fact, place)
        assert at >= 0, f"{fact!r} is missing, or out of order, in: {text}"
        place = at + len(fact)
