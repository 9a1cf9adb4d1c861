"""Finds small changes of a Python file that some test should notice."""

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

COMPARISONS: dict[type[ast.cmpop], tuple[str, ...]] = {
    ast.Lt: ("<=", ">="),
    ast.LtE: ("<", ">"),
    ast.Gt: (">=", "<="),
    ast.GtE: (">", "<"),
    ast.Eq: ("!=",),
    ast.NotEq: ("==",),
    ast.Is: ("is not",),
    ast.IsNot: ("is",),
    ast.In: ("not in",),
    ast.NotIn: ("in",),
}
ARITHMETIC: dict[type[ast.operator], str] = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "/",
    ast.Div: "*",
    ast.FloorDiv: "*",
    ast.Mod: "//",
    ast.Pow: "*",
    ast.BitOr: "&",
    ast.BitAnd: "|",
}
# Calls whose arguments are texts for people.
MESSAGES = {"warn", "warning", "info", "debug", "error", "log", "get_logger", "add_note", "print"}
# Functions whose first two arguments may be swapped.
SYMMETRIC = {"max", "min", "equal", "maximum", "minimum", "transpose"}
# Arguments, of zip and dataclass, that only assert something.
ASSERTIONS = {"strict", "frozen", "slots"}
# Methods without which a test on the CPU gives the same numbers, or that any test would miss.
UNCHANGED = {"to", "cpu", "cuda", "contiguous", "detach", "copy", "items", "keys", "values"}


@dataclass(frozen=True)
class Mutation:
    """A replacement of the bytes `start` to `end` of a file."""

    file: Path
    line: int
    scopes: tuple[int, ...]  # first lines of the functions around it, from the outermost
    operator: str
    start: int
    end: int
    before: str
    after: str

    def apply(self, source: bytes) -> bytes:
        """The changed source."""
        return source[: self.start] + self.after.encode() + source[self.end :]

    def __str__(self) -> str:
        return f"{self.file}:{self.line} [{self.operator}] {_short(self.before)} -> " + _short(
            self.after
        )


def find_mutations(file: Path, source: bytes) -> list[Mutation]:
    """All mutations of a file, in the order of the source. Each of them compiles."""
    finder = _Finder(file, source)
    finder.visit(ast.parse(source))
    unique = {
        (mutation.start, mutation.end, mutation.after): mutation for mutation in finder.mutations
    }
    return sorted(
        (mutation for mutation in unique.values() if _compiles(mutation.apply(source))),
        key=lambda mutation: (mutation.start, mutation.end, mutation.after),
    )


class _Finder(ast.NodeVisitor):
    """Collects the mutations of a syntax tree, except in texts and annotations."""

    def __init__(self, file: Path, source: bytes) -> None:
        self.file = file
        self.source = source
        self.mutations: list[Mutation] = []
        self.scopes: tuple[int, ...] = ()
        lines = source.splitlines(keepends=True)
        self.offsets = [0]
        for line in lines:
            self.offsets.append(self.offsets[-1] + len(line))

    # Nodes without mutations.

    def visit_Import(self, node: ast.Import) -> None: ...
    def visit_ImportFrom(self, node: ast.ImportFrom) -> None: ...
    def visit_JoinedStr(self, node: ast.JoinedStr) -> None: ...

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_arg(self, node: ast.arg) -> None: ...

    def visit_keyword(self, node: ast.keyword) -> None:
        if node.arg not in ASSERTIONS:
            self.visit(node.value)

    def visit_Raise(self, node: ast.Raise) -> None:
        self.replace(node, "removed raise", "pass")

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            return
        self.negate(node.test)
        self.generic_visit(node)

    # Scopes.

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if node.name in ("__repr__", "__str__"):
            return
        self.visit(node.args)
        decorators = [decorator.lineno for decorator in node.decorator_list]
        self.visit_inside(min([node.lineno, *decorators]), node.body)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.visit_inside(node.lineno, [node.body])

    def visit_inside(self, first_line: int, nodes: Sequence[ast.AST]) -> None:
        outer = self.scopes
        self.scopes = (*outer, first_line)
        for node in nodes:
            self.visit(node)
        self.scopes = outer

    # Statements.

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Constant) or _is_message(node.value):
            return
        if isinstance(node.value, ast.Call):
            self.replace(node, "removed call", "pass")
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.replace(node, "removed statement", "pass")
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        if ast.unparse(node.targets[0]) == "__all__":
            return
        if self.scopes and all(isinstance(t, ast.Attribute | ast.Subscript) for t in node.targets):
            self.replace(node, "removed statement", "pass")
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        self.negate(node.test)
        self.generic_visit(node)

    def visit_Break(self, node: ast.Break) -> None:
        self.replace(node, "break", "continue")

    def visit_Continue(self, node: ast.Continue) -> None:
        self.replace(node, "continue", "break")

    # Expressions.

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.negate(node.test)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for condition in node.ifs:
            self.negate(condition)
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        operands = [node.left, *node.comparators]
        for operator, left, right in zip(node.ops, operands, node.comparators, strict=False):
            for other in COMPARISONS[type(operator)]:
                self.replace_between(left, right, other, "comparison")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if isinstance(node.left, ast.Constant | ast.JoinedStr) and not _is_number(node.left):
            return  # a text
        other = ARITHMETIC.get(type(node.op))
        if other is not None:
            self.replace_between(node.left, node.right, other, "arithmetic")
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        other = "or" if isinstance(node.op, ast.And) else "and"
        for left, right in zip(node.values, node.values[1:], strict=False):
            self.replace_between(left, right, other, "boolean")
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not | ast.USub):
            self.replace(node, "removed operator", f"({self.text(node.operand)})")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self.replace(node, "constant", str(not node.value))
        elif isinstance(node.value, int):
            self.replace(node, "constant", str(node.value + 1))
        elif isinstance(node.value, float):
            self.replace(node, "constant", repr(node.value * 1.5 or 1.0))

    def visit_Slice(self, node: ast.Slice) -> None:
        for bound in (node.lower, node.upper):
            if bound is not None:
                self.replace(bound, "slice", f"({self.text(bound)}) + 1")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if _is_message(node):
            return
        args = node.args
        starred = any(isinstance(arg, ast.Starred) for arg in args[:2])
        if len(args) >= 2 and not starred and _name(node) not in SYMMETRIC:
            first, second = args[:2]
            between = self.source[self.span(first)[1] : self.span(second)[0]].decode()
            swapped = self.text(second) + between + self.text(first)
            start, end = self.span(first)[0], self.span(second)[1]
            self.add(first.lineno, "swapped arguments", start, end, swapped)
        method = node.func
        if (
            isinstance(method, ast.Attribute)
            and isinstance(method.value, ast.Call | ast.Attribute | ast.Name | ast.BinOp)
            and method.attr not in UNCHANGED
            and ast.unparse(method.value) not in ("self", "torch", "F", "np", "math", "nn")
        ):
            self.replace(node, "removed call", f"({self.text(method.value)})")
        self.generic_visit(node)

    # Helpers.

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        """The bytes of a node."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return (
            self.offsets[node.lineno - 1] + node.col_offset,
            self.offsets[node.end_lineno - 1] + node.end_col_offset,
        )

    def text(self, node: ast.expr) -> str:
        start, end = self.span(node)
        return self.source[start:end].decode()

    def replace(self, node: ast.expr | ast.stmt, operator: str, after: str) -> None:
        self.add(node.lineno, operator, *self.span(node), after)

    def negate(self, condition: ast.expr) -> None:
        simple = isinstance(condition, ast.Compare) and len(condition.ops) == 1
        inverted = isinstance(condition, ast.UnaryOp) and isinstance(condition.op, ast.Not)
        if not simple and not inverted:  # other operators change those
            self.replace(condition, "negated condition", f"(not ({self.text(condition)}))")

    def replace_between(self, left: ast.expr, right: ast.expr, after: str, operator: str) -> None:
        """Replace an operator, with the parentheses around it kept."""
        start, end = self.span(left)[1], self.span(right)[0]
        between = self.source[start:end].decode()
        closing = between[: len(between) - len(between.lstrip(" \n)"))]
        opening = between[len(between.rstrip(" \n(")) :]
        self.add(left.lineno, operator, start, end, f"{closing or ' '}{after}{opening or ' '}")

    def add(self, line: int, operator: str, start: int, end: int, after: str) -> None:
        before = self.source[start:end].decode()
        if before == after:
            return
        self.mutations.append(
            Mutation(self.file, line, self.scopes, operator, start, end, before, after)
        )


def _is_message(node: ast.expr) -> bool:
    """Whether a call writes a text for people, or makes an error."""
    if not isinstance(node, ast.Call):
        return False
    name = _name(node)
    return name in MESSAGES or name.endswith("Error")


def _name(call: ast.Call) -> str:
    """The name of the function or method that is called."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else ast.unparse(call.func)


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float)


def _compiles(source: bytes) -> bool:
    try:
        compile(source, "mutant", "exec")
    except SyntaxError:
        return False
    return True


def _short(text: str, width: int = 70) -> str:
    text = " ".join(text.split())
    return text if len(text) <= width else text[: width - 3] + "..."
