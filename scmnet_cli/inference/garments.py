"""The kinds of garment that an edit changes, and everyday words for them; imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping

KINDS = ("upper", "pants", "skirt", "dress", "hair", "face", "arms", "legs")
"""Kinds of garment that an edit can change; a dress replaces upper, skirt and pants."""

ON_TORSO = ("upper", "dress")
"""Kinds of garment that have sleeves."""

WORDS: Mapping[str, str] = {
    **dict.fromkeys(("trousers", "jeans", "shorts", "leggings", "bottoms"), "pants"),
    **dict.fromkeys(
        ("shirt", "t-shirt", "tee", "top", "blouse", "jacket", "coat", "blazer", "sweater", "jumper", "hoodie",
         "cardigan", "vest", "pullover"), "upper",
    ),
    **dict.fromkeys(("gown", "frock"), "dress"),
    **dict.fromkeys(("hairstyle", "haircut", "hat"), "hair"),
    **dict.fromkeys(("shoes", "boots", "socks", "tights", "stockings"), "legs"),
    "sleeves": "arms",
    **dict.fromkeys(("lips", "lipstick"), "mouth"),
    "eyebrows": "brows",
}  # fmt: skip
"""Everyday words, each with the kind that it means."""


def kind_of(word: str) -> str:
    """Return the kind of garment that a word means: ``trousers`` are pants; other words stay as they are."""
    return WORDS.get(word.lower(), word)
