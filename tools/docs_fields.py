"""A griffe extension: comments at fields of dataclasses become docstrings in the reference."""

import io
import tokenize
from typing import Any

import griffe


class FieldComments(griffe.Extension):
    """Reads the comments at the end of fields' lines."""

    def on_attribute_instance(self, *, attr: griffe.Attribute, **kwargs: Any) -> None:
        """Give a field without a docstring its comment."""
        in_class = attr.parent is not None and attr.parent.is_class
        if attr.docstring is not None or not in_class or attr.is_private:
            return
        comment = trailing_comment("\n".join(attr.lines))
        if comment:
            attr.docstring = griffe.Docstring(f"{comment[0].upper()}{comment[1:]}.", parent=attr)


def trailing_comment(source: str) -> str:
    """The comments of a statement, without the marks; "" if there are none."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(source.strip()).readline))
    except tokenize.TokenError:
        return ""
    comments = [token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT]
    return " ".join(comments).rstrip(".")
