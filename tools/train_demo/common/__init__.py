"""Code that the training of both embedded models shares."""
