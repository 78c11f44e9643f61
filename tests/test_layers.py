"""Who may import whom (DESIGN §3), read from the import statements themselves.

Imports under `if TYPE_CHECKING:` do not count: they cost nothing when the program runs.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import engine

ROOT = Path(__file__).resolve().parent.parent
ONLY_IN = {
    "discord": "bot/client bot/cogs bot/views bot/replies bot/sandbox",
    "sqlalchemy": "bot/store migrations",
    "torch": "engine/adapters engine/pipeline engine/renderer engine/builtin",
    "diffusers": "engine/adapters engine/pipeline engine/builtin",
    "threading": "engine/thread",
    "_thread": "engine/thread",
    "concurrent": "engine/adapters/blocks",  # a switch's own threads, which end with it: they run LLVM's loop, no more
    "bot": "bot migrations",
    "engine": "engine bot",
}


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """Every node below that is there when the program runs."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
            children: list[ast.stmt] = child.orelse
            for other in children:
                yield other
                yield from _running(other)
        else:
            yield child
            yield from _running(child)


def _imported(node: ast.AST) -> list[str]:
    """The modules of other packages that this node imports, however. A relative import never leaves its own."""
    match node:
        case ast.Import():
            return [alias.name for alias in node.names]
        case ast.ImportFrom(level=0, module=str(module)):
            return [module]
        case ast.Call(func=func, args=[ast.Constant(value=str(module)), *_]):
            return [module] if ast.unparse(func).endswith(("import_module", "__import__")) else []
    return []


def broken_rules(place: str, source: str) -> list[str]:
    """One sentence for each import that `place`, a path from the root, may not have."""
    here = place.removesuffix(".py")
    found = []
    for node in _running(ast.parse(source, place)):
        for module in _imported(node):
            top = module.partition(".")[0]
            homes = ONLY_IN.get(top)
            if homes is not None and not any(here == home or here.startswith(home + "/") for home in homes.split()):
                found.append(f"{place} imports {module}, which only {homes} may")
            elif top == "engine" and module != "engine" and here.startswith("bot/"):
                found.append(f"{place} imports {module}, not through the front door: from engine import ...")
        if here.startswith("bot/"):
            inner = []
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module == "engine":
                inner = [alias.name for alias in node.names]
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "engine":
                inner = [node.attr]
            found += [
                f"{place} uses engine.{name}, which is not public" for name in inner if name not in engine.__all__
            ]
    return found


def test_nobody_imports_what_is_not_theirs() -> None:
    files = [path for folder in ("engine", "bot", "migrations") for path in sorted((ROOT / folder).rglob("*.py"))]
    assert files
    found = [
        rule for path in files for rule in broken_rules(path.relative_to(ROOT).as_posix(), path.read_text("utf-8"))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("bot/orders/imagine.py", "import discord"),
        ("bot/__main__.py", "def main():\n    from discord.ext import commands"),
        ("bot/clients.py", "import discord"),
        ("bot/jobs/runner.py", "import discord.abc as abc"),
        ("engine/studio.py", "import discord"),
        ("bot/orders/imagine.py", "from sqlalchemy import select"),
        ("bot/client.py", "import sqlalchemy.ext.asyncio"),
        ("engine/types.py", "import torch"),
        ("engine/prompt/grammar.py", "try:\n    import torch\nexcept ImportError:\n    pass"),
        ("bot/client.py", "import importlib\nimportlib.import_module('torch')"),
        ("engine/renderer.py", "from diffusers import DDIMScheduler"),
        ("engine/studio.py", "import threading"),
        ("bot/jobs/runner.py", "from threading import Lock"),
        ("bot/jobs/runner.py", "from concurrent.futures import ThreadPoolExecutor"),
        ("engine/adapters/bank.py", "import concurrent.futures"),
        ("bot/jobs/runner.py", "from engine.types import Request"),
        ("bot/jobs/runner.py", "import engine.scheduler"),
        ("bot/jobs/runner.py", "from engine import scheduler"),
        ("bot/jobs/runner.py", "import engine\nengine.thread.LocalFleet"),
        ("engine/studio.py", "import bot"),
        ("engine/studio.py", "from bot.orders import values"),
        ("migrations/env.py", "import engine"),
        ("bot/jobs/runner.py", "if TYPE_CHECKING:\n    pass\nelse:\n    import torch"),
    ],
)
def test_each_rule_can_fail(place: str, source: str) -> None:
    assert len(broken_rules(place, source)) == 1


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("bot/client.py", "from discord.ext import commands"),
        ("bot/cogs/imagine.py", "import discord\nfrom engine import Request\nfrom ..orders import values"),
        ("bot/store/models.py", "from sqlalchemy import orm"),
        ("migrations/versions/0001.py", "import sqlalchemy\nfrom bot.store import models"),
        ("engine/adapters/lokr.py", "import torch"),
        ("engine/renderer.py", "import torch"),
        ("engine/thread.py", "import threading"),
        ("engine/adapters/blocks.py", "from concurrent.futures import ThreadPoolExecutor"),
        ("bot/jobs/runner.py", "import engine\nengine.Request"),
        ("bot/orders/imagine.py", "if TYPE_CHECKING:\n    import discord"),
        ("engine/types.py", "import typing\nif typing.TYPE_CHECKING:\n    import torch"),
    ],
)
def test_what_the_design_allows_passes(place: str, source: str) -> None:
    assert broken_rules(place, source) == []


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("engine", {"torch", "diffusers", "transformers", "numpy", "discord", "sqlalchemy", "bot"}),
        ("engine.prompt", {"torch", "diffusers", "transformers"}),
        ("engine.scheduler", {"torch", "diffusers", "transformers"}),
        ("bot.orders", {"torch", "diffusers", "transformers", "discord"}),
        ("bot.jobs", {"torch", "diffusers", "transformers", "discord"}),
        ("bot.store", {"torch", "diffusers", "transformers", "discord"}),
        ("bot.importing", {"torch", "diffusers", "transformers", "discord", "sqlalchemy", "huggingface_hub"}),
    ],
)
def test_importing_stays_light(module: str, unwanted: set[str]) -> None:
    code = f"import {module}, sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert module.partition(".")[0] in ran.stdout.split()
    assert not unwanted & set(ran.stdout.split())


def test_the_engine_offers_exactly_what_it_declares() -> None:
    tree = ast.parse((ROOT / "engine" / "__init__.py").read_text("utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    declared = [alias.asname for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted(map(str, declared)) == sorted(engine.__all__) == sorted(dir(engine))
    assert {name for name in engine.__all__ if getattr(engine, name, None) is None} == set()
    with pytest.raises(AttributeError, match="no_such_name"):
        engine.no_such_name  # noqa: B018
