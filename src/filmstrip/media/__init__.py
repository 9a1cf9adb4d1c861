"""Pixels in and out: processors around the VAE, loading pictures and videos, writing videos with
their recipes."""
