# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small faults in the rules of the rollover, one at a time: the table tests, or else some seeds of the simulation, must see each.

    python tests/mutation/mutants.py

What was found is kept in .cache/mutants.json, so a run goes on where the last one stopped; a mutant that was seen is not tried
again, one that survived is as soon as the tests differ.  Remove the file to have all tried.  explained.txt names the mutants that
no test can see, each with the reason.
"""
from __future__ import annotations

import ast
import copy
import hashlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "ansible_collections.selfhost.dane.plugins.module_utils"
TARGETS = ("history", "rollover")
TABLES = [str(ROOT / f"tests/unit/test_{name}.py") for name in (*TARGETS, "rollover_schemes")]
RESULTS, EXPLAINED = ROOT / ".cache/mutants.json", ROOT / "tests/mutation/explained.txt"
SEEDS = (1, 2, 3)                              # of each world of the simulation: half a minute
LIMIT = 120                                    # seconds of the processor for one mutant: who needs more runs for ever

SWAPS: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    ast.Lt: (ast.LtE, ast.Gt), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.Lt), ast.GtE: (ast.Gt, ast.Lt), ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,), ast.In: (ast.NotIn,), ast.NotIn: (ast.In,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
    ast.And: (ast.Or,), ast.Or: (ast.And,), ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Add,),
    ast.BitAnd: (ast.BitOr,), ast.BitOr: (ast.BitAnd,)}
NAMES = {"max": "min", "min": "max", "any": "all", "all": "any"}


def variants(node: ast.AST) -> Iterator[ast.AST]:
    """The small faults that `node` may have."""
    def changed(**fields: object) -> ast.AST:
        other = copy.copy(node)
        for name, value in fields.items():
            setattr(other, name, value)
        return other

    if isinstance(node, ast.Compare):
        yield from (changed(ops=[*node.ops[:at], swap(), *node.ops[at + 1:]]) for at, op in enumerate(node.ops) for swap in SWAPS.get(type(op), ()))
    elif isinstance(node, (ast.BoolOp, ast.BinOp)):
        yield from (changed(op=swap()) for swap in SWAPS.get(type(node.op), ()))
        if isinstance(node, ast.BinOp):
            yield from (node.left, node.right)
        else:
            for at in range(len(node.values)):
                rest = node.values[:at] + node.values[at + 1:]
                yield changed(values=rest) if len(rest) > 1 else rest[0]
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.operand
    elif isinstance(node, ast.Constant) and isinstance(node.value, (bool, int)):
        yield changed(value=not node.value if isinstance(node.value, bool) else node.value + 1)
    elif isinstance(node, ast.Name) and node.id in NAMES:
        yield changed(id=NAMES[node.id])
    elif isinstance(node, (ast.IfExp, ast.If)):
        yield from (changed(test=ast.Constant(value)) for value in (True, False))
    elif isinstance(node, ast.comprehension) and node.ifs:
        yield changed(ifs=[])
    elif isinstance(node, ast.Call):
        yield from (changed(keywords=node.keywords[:at] + node.keywords[at + 1:]) for at, one in enumerate(node.keywords) if one.arg)
        if isinstance(node.func, ast.Name) and node.func.id in ("max", "min") and len(node.args) > 1:
            yield from node.args


def mutants(source: str, name: str) -> Iterator[tuple[str, ast.Module]]:
    """Each mutant of `source`, with what it does in words: the function, the old text, the new text."""
    tree = ast.parse(source)
    seen: dict[str, int] = {}
    for function in ast.walk(tree):
        if not isinstance(function, (ast.FunctionDef, ast.ClassDef)):
            continue
        inside = [node for statement in function.body if not isinstance(statement, ast.FunctionDef) for node in ast.walk(statement)]
        places = [(parent, field, at) for parent in (function, *inside) for field, value in ast.iter_fields(parent)
                  if field not in ("decorator_list", "annotation", "returns")
                  for at, child in enumerate(value if isinstance(value, list) else [value])
                  if isinstance(child, ast.AST) and (parent is not function or child in function.body and not isinstance(child, ast.FunctionDef))]
        for parent, field, at in places:
            value = getattr(parent, field)
            node = value[at] if isinstance(value, list) else value
            for variant in variants(node):
                def put(one: ast.AST, value: object = value, parent: ast.AST = parent, field: str = field, at: int = at) -> None:
                    setattr(parent, field, [*value[:at], one, *value[at + 1:]] if isinstance(value, list) else one)

                put(variant)
                text = f"{name} {function.name}: {first_line(node)} -> {first_line(variant)}"
                seen[text] = seen.get(text, 0) + 1
                yield text + (f" #{seen[text]}" if seen[text] > 1 else ""), ast.fix_missing_locations(copy.deepcopy(tree))
                put(node)


def first_line(node: ast.AST) -> str:
    return " ".join(ast.unparse(node).partition("\n")[0].split())


def install(name: str, tree: ast.Module) -> None:
    """Let the module `name` be that of `tree`."""
    spec = importlib.util.find_spec(f"{PACKAGE}.{name}")
    assert spec and spec.origin
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    exec(compile(tree, spec.origin, "exec"), module.__dict__)  # noqa: S102
    setattr(importlib.import_module(PACKAGE), name, module)


def usual() -> dict[str, int]:
    """How many keys roll in each world with the rules as they are; asked of another process, for none of it may be imported here."""
    script = "import json, worlds; print(json.dumps({world: sum(worlds.live(world, seed).counts['rolls'] for seed in %r) for world in worlds.WORLDS}))"
    done = subprocess.run([sys.executable, "-c", script % (SEEDS,)], cwd=ROOT / "tests/simulation", check=True, capture_output=True, text=True)
    found: dict[str, int] = json.loads(done.stdout)
    return found


def judge(name: str, tree: ast.Module, rolls: dict[str, int]) -> int:
    """0 if nobody sees that the module is another, 1 if the tables do, 2 if the simulation does."""
    install(name, tree)
    if pytest.main(["-x", "-q", "-W", "ignore::pytest.PytestAssertRewriteWarning", *TABLES]) != 0:
        return 1
    sys.path.insert(0, str(ROOT / "tests/simulation"))
    import worlds  # noqa: PLC0415
    for world in worlds.WORLDS:
        fleets = [worlds.live(world, seed) for seed in SEEDS]
        if any(fleet.wrong for fleet in fleets) or sum(fleet.counts["rolls"] for fleet in fleets) < rolls[world] / 2:
            return 2
    return 0


def tried(name: str, tree: ast.Module, rolls: dict[str, int]) -> str:
    """What a process of its own says of it."""
    child = os.fork()
    if child == 0:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        signal.setitimer(signal.ITIMER_PROF, LIMIT)
        verdict = 3
        try:
            verdict = judge(name, tree, rolls)
        finally:
            os._exit(verdict)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return {0: "survived", 1: "tables", 2: "simulation", 3: "error", -signal.SIGPROF: "endless"}.get(code, "error")


def main() -> int:
    os.chdir(ROOT)
    os.environ["CI"] = "1"                     # the same examples each time
    for name in ("dns.message", "hypothesis.stateful", "cryptography.hazmat.primitives.asymmetric.ec"):
        importlib.import_module(name)          # what takes long, once for all
    rolls = usual()
    for name in TARGETS:
        if tried(name, ast.parse((ROOT / f"plugins/module_utils/{name}.py").read_text()), rolls) != "survived":
            sys.exit(f"the tests fail with {name}.py as it is; mend that first: python -m pytest {' '.join(TABLES)}")
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    files = [*map(Path, TABLES), *sorted((ROOT / "tests/simulation").glob("*.py"))]
    tests = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    found: dict[str, str] = {}
    for name in TARGETS:
        path = ROOT / f"plugins/module_utils/{name}.py"
        for text, tree in mutants(path.read_text(), path.name):
            identity = hashlib.sha256(ast.unparse(tree).encode()).hexdigest()
            before = results.get(identity, {})
            if before.get("verdict", "survived") == "survived" and before.get("tests") != tests:
                begun = time.monotonic()
                results[identity] = {"verdict": tried(name, tree, rolls), "tests": tests}
                RESULTS.parent.mkdir(exist_ok=True)
                RESULTS.with_suffix(".new").write_text(json.dumps(results))
                RESULTS.with_suffix(".new").replace(RESULTS)
                print(f"{results[identity]['verdict']:10} {time.monotonic() - begun:4.1f} s  {text}", flush=True)
            found[text] = results[identity]["verdict"]
    lines = [line for line in EXPLAINED.read_text().splitlines() if line and not line.startswith("#")]
    explained = {line.split(" | ")[0] for line in lines}
    survivors = [text for text, verdict in found.items() if verdict == "survived"]
    for text in survivors:
        print("survivor" if text not in explained else "explained", text)
    stale = [text for text in explained if text not in survivors]
    for text in stale:
        print("explained, but seen or not there:", text)
    counts = {verdict: list(found.values()).count(verdict) for verdict in sorted(set(found.values()))}
    print(f"{len(found)} mutants: " + ", ".join(f"{verdict} {count}" for verdict, count in counts.items()))
    return 1 if stale or set(survivors) - explained else 0


if __name__ == "__main__":
    sys.exit(main())
