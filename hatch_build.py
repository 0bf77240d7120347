"""Compiles models/native when the project is installed, with a C compiler that comes from PyPI and goes again."""

import os
import platform
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

LIBRARY = "native.so"
# Floats may be added in any order, which lets sums run in wide registers; what is no number stays no number.
FLAGS = (
    *("-shared", "-fPIC", "-O3", "-s", "-std=c11", "-Wall", "-Wextra", "-Wno-sign-compare", "-fno-sanitize=all"),
    *("-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros", "-fassociative-math", "-freciprocal-math"),
    "-ffp-contract=fast",
)


class NativeLibrary(BuildHookInterface[BuilderConfig]):
    """Adds the library to wheels; leaves it beside its sources, where an editable install finds it."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compiles; where that fails the project works without, slower."""
        folder = Path(self.root) / "models" / "native"
        sources = sorted(folder.glob("*.c"))
        if self.target_name != "wheel" or not sources:
            return
        (folder / LIBRARY).unlink(missing_ok=True)  # one of other sources is worse than none
        try:
            compile_library(sources, folder / LIBRARY)
        except (OSError, subprocess.CalledProcessError) as error:
            self.app.display_warning(f"no {LIBRARY}, requests will take longer: {error}")
            return
        build_data["pure_python"], build_data["infer_tag"] = False, True
        build_data["artifacts"].append(f"models/native/{LIBRARY}")


def compile_library(sources: list[Path], library: Path) -> None:
    """Compiles for any machine of this kind, not only for this one: images are run elsewhere."""
    digest = runpy.run_path(str(library.with_name("digest.py")))["digest"](library.parent)
    cpu = "x86_64_v3" if platform.machine().lower() in ("x86_64", "amd64") else "baseline"
    with tempfile.TemporaryDirectory() as cache:
        compiler = [sys.executable, "-m", "ziglang", "cc", *FLAGS, f"-mcpu={cpu}", f'-DRECALL_SOURCES="{digest}"']
        subprocess.run(
            [*compiler, "-o", str(library), *map(str, sources), "-lm", "-lpthread"],
            check=True,
            env={**os.environ, "ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache},
        )
