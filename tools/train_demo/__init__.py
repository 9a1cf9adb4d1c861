"""Train the embedded demo models: `python -m tools.train_demo --help`."""
