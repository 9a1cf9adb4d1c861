"""Text encoders of pipelines."""
