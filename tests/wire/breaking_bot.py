"""The bot, but its graphics card breaks during the first picture. Begun anew, it is `python -m bot`, unbroken."""

from __future__ import annotations

import sys
from typing import Any

from bot.__main__ import main
from engine.renderer import Renderer
from tests.faults import doors

set_up = Renderer.__init__


def broken(self: Renderer, *args: Any) -> None:
    set_up(self, *args)
    doors.Door(self, "unet").arm(doors.sticky, skip=3)


if __name__ == "__main__":
    Renderer.__init__ = broken  # type: ignore[method-assign]
    sys.exit(main())
