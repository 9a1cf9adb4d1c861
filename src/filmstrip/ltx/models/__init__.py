"""LTX-Video's networks: transformer, autoencoder and latent upsampler."""
