"""Composition of the picture at the photo's resolution: hands, feet, legs, outlines, debris."""
