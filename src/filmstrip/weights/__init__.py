"""From the Hub or a disk to modules, and back."""
