"""Layers that both model families use; `ops` has the operations that they are made of."""
