"""Functions without their annotations, which older Pythons do not read and which name what only this program has."""

from __future__ import annotations

import ast
from typing import Any


def without_annotations(source: str) -> str:
    """The source of one function, with blanks where annotations stood, so that all else keeps its place.

    Where that is not certain to be the same function, the source as it is.
    """
    tree = ast.parse(source)
    lines = [bytearray(line.encode('utf-8')) for line in source.splitlines(True)]
    for node in ast.walk(tree):
        if isinstance(node, ast.arg) and node.annotation is not None:
            # From behind the name to the end, the colon between them included.
            start = node.lineno, node.col_offset + len(node.arg.encode('utf-8'))
            _blank(lines, start, node.annotation)
        elif isinstance(node, ast.FunctionDef) and node.returns is not None:
            arrow = _arrow_before(lines, node.returns)
            if arrow is not None:
                _blank(lines, arrow, node.returns)
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            target: Any = node.target
            _blank(lines, (target.end_lineno, target.end_col_offset), node.annotation)
    bare = b''.join(lines).decode('utf-8')
    try:
        if ast.dump(ast.parse(bare)) == ast.dump(_Bare().visit(ast.parse(source))):
            return bare
    except SyntaxError:
        pass
    return source


def _blank(lines: list[bytearray], start: tuple[int, int], node: Any) -> None:
    line, column = start
    while line <= node.end_lineno:
        text = lines[line - 1]
        end = node.end_col_offset if line == node.end_lineno else len(text.rstrip(b'\r\n'))
        text[column:end] = b' ' * (end - column)
        line, column = line + 1, 0


def _arrow_before(lines: list[bytearray], node: ast.expr) -> tuple[int, int] | None:
    """Where the arrow of a return annotation stands, on the line of the annotation."""
    column = lines[node.lineno - 1].rfind(b'->', 0, node.col_offset)
    return None if column < 0 else (node.lineno, column)


class _Bare(ast.NodeTransformer):
    """A tree without annotations."""

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is None:
            return node
        assign = ast.Assign([node.target], self.visit(node.value), None)
        return ast.copy_location(assign, node)
