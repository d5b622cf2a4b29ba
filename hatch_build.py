"""Put man pages, completions of shells and the example configuration into each wheel, for share/."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Manual(BuildHookInterface[Any]):
    """Makes them from the commands of the tree that the wheel is built of."""

    _share: TemporaryDirectory[str] | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Make them, but for no editable wheel: each edit would outdate them, and there is `make man`."""
        if version == "editable":
            return
        sys.path.insert(0, self.root)
        from docs.manual import write

        self._share = TemporaryDirectory(prefix="smtd-share-")
        write(Path(self._share.name))
        build_data["shared_data"][self._share.name] = "share"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what is in the wheel now."""
        if self._share is not None:
            self._share.cleanup()
