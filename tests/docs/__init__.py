"""The documentation: its snippets, its references to the code, and the site."""
