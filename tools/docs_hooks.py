"""Hooks of the site's build, named in mkdocs.yml."""

import logging

# griffe reads `__all__` without running it, and cannot see the names that come from the registry.
COMPUTED_ALL = "Unsupported item in filmstrip.__all__"


def on_config(config: object) -> None:
    """Hide the one expected warning, since `--strict` fails at any warning."""
    logger = logging.getLogger("mkdocs.plugins.griffe")
    logger.addFilter(lambda record: COMPUTED_ALL not in record.getMessage())
