"""Training of the embedded LTX model: text, vae, latents, transformer, judge."""
