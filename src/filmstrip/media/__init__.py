"""Pixels in and out: processors around the VAE, reading pictures and videos, writing videos."""
