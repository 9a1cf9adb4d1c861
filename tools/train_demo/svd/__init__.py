"""Training of the embedded SVD model: vision, vae, latents, unet, judge."""
