"""The package's build compiles the native library; without a compiler it does so without it.

A wheel with the library is for one platform and any Python; in an editable install the library
lies in the source tree.
"""

import importlib.util
import sysconfig
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class NativeBuildHook(BuildHookInterface):  # type: ignore[misc]
    """Called by hatchling before it collects the files of a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        del version
        if self.target_name != "wheel":
            return
        native = _module(Path(self.root) / "models" / "native" / "build.py")
        try:
            library = native.build()
        except native.BuildError as error:
            self.app.display_warning(
                f"bf16 will run on torch, which is slower, and int8 not at all: {error}"
            )
            return
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform}"
        build_data["artifacts"].append(f"/models/native/{library.name}")


def _module(path: Path) -> ModuleType:
    """By its path: the packages around it need more than a build has."""
    spec = importlib.util.spec_from_file_location("native_build", path)
    if spec is None or spec.loader is None:
        raise RuntimeError(f"{path} cannot be read")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
