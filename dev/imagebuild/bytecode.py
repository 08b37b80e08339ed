"""Replace sources by bytecode: `module.pyc`, which Python loads without looking for a source."""

import ast
import importlib.util
from collections.abc import Collection, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib._bootstrap_external import _code_to_hash_pyc  # type: ignore[import-not-found]
from pathlib import Path


def compile_all(roots: Iterable[Path], *, described: Collection[str]) -> None:
    """Compile every module below these directories and remove its source.

    Run with `-X no_debug_ranges`: columns refer to removed sources, and are a fifth of the bytecode.
    Assertions stay: libraries say by them what must not happen. Docstrings are memory that no run looks at, except
    where they are the help.

    Args:
        roots: each is the image's `/`.
        described: packages that keep their docstrings.

    Raises:
        SyntaxError: a module is for another Python.
    """
    for root in roots:
        sources = sorted(root.rglob("*.py"))
        with ProcessPoolExecutor() as pool:
            list(pool.map(partial(_compile, root=root, described=described), sources, chunksize=20))


def _compile(source: Path, *, root: Path, described: Collection[str]) -> None:
    data = source.read_bytes()
    tree = ast.parse(data)
    if not set(described).intersection(source.relative_to(root).parts):
        _take_docstrings(tree)
    code = compile(tree, f"/{source.relative_to(root)}", "exec", dont_inherit=True, optimize=0)
    source.with_suffix(".pyc").write_bytes(_code_to_hash_pyc(code, importlib.util.source_hash(data), checked=False))
    source.unlink()


def _take_docstrings(tree: ast.Module) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            match node.body:
                case [ast.Expr(value=ast.Constant(value=str())) as docstring, *rest]:
                    nothing = ast.copy_location(ast.Pass(), docstring)
                    node.body = rest or [nothing]
