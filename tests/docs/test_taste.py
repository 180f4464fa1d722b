"""How the code should read, as far as a test can tell."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "simfabric"
FILES = sorted(PACKAGE.rglob("*.py"))
COMPONENTS = sorted((PACKAGE / "components").glob("*.py"))
# What a component is, what moves them, and the parts of sessions.py: nothing of the fabric by themselves.
FRAMEWORK = {"__init__", "component", "conductor", "queues", "seated", "session_effects", "session_inputs", "session_trace"}
NAMED = [str(path.relative_to(ROOT)) for path in FILES]


def test_there_is_something_to_look_at():
    assert len(FILES) > 50 and len(COMPONENTS) >= 12


@pytest.mark.parametrize("name", NAMED)
def test_a_file_is_no_longer_than_400_lines_and_leaves_nothing_to_do(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    assert not re.search(r"\b(TODO|FIXME|XXX)\b", text)


@pytest.mark.parametrize("name", NAMED)
def test_every_module_and_every_public_class_and_function_says_its_idea(name):
    tree = ast.parse((ROOT / name).read_text(encoding="utf-8"))
    assert ast.get_docstring(tree) or not tree.body, "the module"
    for node in public(tree):
        assert ast.get_docstring(node), node.name


def public(tree):
    """Public classes and functions of a module, and the public methods of its public classes; `laws` and `implied` are told by their base class."""
    for node in tree.body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from (
                    method for method in node.body if isinstance(method, ast.FunctionDef) and not method.name.startswith("_") and not inherited(node, method)
                )


def inherited(owner, method):
    """Whether a base class of the package says what this method does."""
    bases = {base.id for base in owner.bases if isinstance(base, ast.Name)}
    return any(method.name in DOCUMENTED.get(base, set()) for base in bases)


def documented():
    """The methods that each class of the package explains, those of its bases included."""
    classes = {}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                own = {each.name for each in node.body if isinstance(each, ast.FunctionDef) and ast.get_docstring(each)}
                classes[node.name] = (own, [base.id for base in node.bases if isinstance(base, ast.Name)])

    def all_of(name):
        own, bases = classes.get(name, (set(), []))
        return own.union(*(all_of(base) for base in bases if base != name))

    return {name: all_of(name) for name in classes}


DOCUMENTED = documented()


@pytest.mark.parametrize("path", [path for path in COMPONENTS if path.stem not in FRAMEWORK], ids=lambda path: path.stem)
def test_a_component_says_what_it_leaves_out(path):
    told = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    assert re.search(r"^Leaves out: \S", told, flags=re.M)
