"""Text and picture encoders: what a pipeline asks of T5 (and, later, CLIP)."""
