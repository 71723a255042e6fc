"""Limbs of a photo before the warp: which limb owns a pixel, which limbs are hidden, and what replaces them."""
