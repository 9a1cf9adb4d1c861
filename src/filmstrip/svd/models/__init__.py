"""Stable Video Diffusion's networks: UNet and autoencoder."""
