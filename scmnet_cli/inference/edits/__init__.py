"""Edits of a photo: garments, hair and parts of the face, with every other pixel as it was."""
