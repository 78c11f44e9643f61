"""The bot, but its graphics card breaks during the first picture; with BREAKS=hang in its environment it hangs there,
and who ends the bot waits only a second for it. Begun anew, it is `python -m bot`, unbroken.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import torch

from bot import client
from bot.__main__ import main
from engine.renderer import Renderer
from tests.faults import doors

HANGS = os.environ.get("BREAKS") == "hang"
set_up = Renderer.__init__


class Hang(doors.Hang):
    def __call__(self, output: torch.Tensor) -> torch.Tensor:
        print("it hangs", file=sys.stderr)
        return super().__call__(output)


def broken(self: Renderer, *args: Any) -> None:
    set_up(self, *args)
    doors.Door(self, "unet").arm(Hang() if HANGS else doors.sticky, skip=3)


if __name__ == "__main__":
    Renderer.__init__ = broken  # type: ignore[method-assign]
    if HANGS:
        client.DRAIN = 1.0
    sys.exit(main())
