"""Limbs of a photo before they are moved: who owns a pixel, what is hidden, what stands in for it."""
