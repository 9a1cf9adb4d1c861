"""Hooks of the site's build, named in mkdocs.yml."""

import logging

# griffe reads `__all__` without running it, and cannot see the names that come from the registry.
COMPUTED_ALL = "Unsupported item in filmstrip.__all__"


def on_config(config: object) -> None:
    """Drop the one warning that is expected, so that `--strict` ends at any other."""
    logger = logging.getLogger("mkdocs.plugins.griffe")
    logger.addFilter(lambda record: COMPUTED_ALL not in record.getMessage())
