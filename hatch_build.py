"""Builds the compiled module `coherd._native.compiled`, if that is possible: a hook of hatchling, and a command.

An installation without it is whole: pure twins do the same. So the hook never fails; it says what it did not do, and
why. As a command, `python hatch_build.py [--sanitize] [ROOT]` builds in place, and fails where the compiler does.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

MODULE = "coherd._native.compiled"
FOLDER = "client/coherd/_native"
REQUIREMENTS = ["cython==3.3.1", "setuptools==84.2.1"]
"""What translates and compiles, in the environment of the build alone. `dev` in pyproject.toml has the same."""
_SANITIZED = ["-fsanitize=address", "-fno-omit-frame-pointer", "-g", "-O1"]


def obstacle() -> str | None:
    """Why nothing can be compiled here; None: it may work."""
    if os.environ.get("COHERD_PURE") == "1":
        return "COHERD_PURE=1"
    if sys.implementation.name != "cpython":
        return f"it is for CPython, this is {sys.implementation.name}"
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    if shutil.which(compiler) is None:
        return f"there is no C compiler: {compiler} was not found"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return "Python's headers are missing: on Debian, python3-dev has them"
    return None


def source_digest(folder: Path) -> str:
    """Of the source that a compiled module is made of: tells whether it is current."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.p[yx][xi]")):
        if path.suffix != ".pyi":
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def compile_module(root: Path, into: Path, *, sanitize: bool = False) -> Path:
    """Translate the source below a root and compile it into a folder: the path of the module.

    Raises:
        Exception: of Cython, setuptools or the compiler.
    """
    from Cython.Build import cythonize
    from setuptools import Distribution, Extension
    from setuptools.command.build_ext import build_ext

    flags = _SANITIZED if sanitize else ["-O2", "-g0"]
    with tempfile.TemporaryDirectory() as scratch:
        source = str(root / FOLDER / "compiled.pyx")
        macros = [("SOURCE_DIGEST", f'"{source_digest(root / FOLDER)}"')]
        linked = flags if sanitize else []
        extension = Extension(MODULE, [source], define_macros=macros, extra_compile_args=flags, extra_link_args=linked)
        modules = cythonize([extension], build_dir=scratch, quiet=True, compiler_directives={"language_level": 3})
        command = build_ext(Distribution({"name": "coherd", "ext_modules": modules}))
        command.build_lib, command.build_temp = scratch, scratch
        command.ensure_finalized()
        command.run()
        built = Path(scratch, command.get_ext_filename(MODULE))
        target = into / built.name
        beside = into / f".{built.name}.{os.getpid()}"
        shutil.copyfile(built, beside)
        beside.replace(target)  # a process that has the old one loaded goes on with it
        return target


class CustomBuildHook(BuildHookInterface[Any]):
    """Adds the compiled module to a wheel, or builds it in place for an editable installation."""

    def dependencies(self) -> list[str]:
        """Cython and setuptools, only where they are of use."""
        return [] if self.target_name != "wheel" or obstacle() else REQUIREMENTS

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, or say why not."""
        if self.target_name != "wheel":
            return
        why = obstacle()
        if why is None:
            try:
                self._build(version, build_data)
                return
            except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it is: the pure twin is whole
                why = f"{type(error).__name__}: {error}"
        self.app.display_warning(f"coherd is built without its compiled module, and does the same in Python. {why}")

    def _build(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        if version == "editable":
            compile_module(root, root / FOLDER)
            return
        self._scratch = tempfile.mkdtemp()
        built = compile_module(root, Path(self._scratch))
        build_data["force_include"][str(built)] = f"coherd/_native/{built.name}"
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Clear away what was built for a wheel."""
        if hasattr(self, "_scratch"):
            shutil.rmtree(self._scratch, ignore_errors=True)


def main(arguments: list[str]) -> int:
    """Build in place below a root; without a compiler say so."""
    sanitize = "--sanitize" in arguments
    root = Path(next((one for one in arguments if one != "--sanitize"), Path(__file__).parent)).resolve()
    why = obstacle()
    if why is not None:
        print(f"not compiled, the pure twins are used: {why}", file=sys.stderr)
        return os.environ.get("COHERD_NATIVE") == "require"
    print(f"compiled {compile_module(root, root / FOLDER, sanitize=sanitize).name}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
