"""Loading modules with weights from a folder, a file or the Hub, and saving them."""
