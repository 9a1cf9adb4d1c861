"""Reading pictures and videos, writing videos, and the processors around a VAE."""
