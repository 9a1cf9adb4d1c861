"""The command line, `filmstrip ...`."""
