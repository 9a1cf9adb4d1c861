"""From a folder, a file or the Hub to modules with weights, and back."""
