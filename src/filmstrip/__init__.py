"""filmstrip runs LTX-Video and Stable Video Diffusion."""

__version__ = "0.1.0"
