"""Layers that both families of models use, and in `ops` the operations inside them."""
