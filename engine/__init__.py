"""Loraloom's engine: pictures and adapters, without Discord and without a database.

    >>> import engine
    >>> result = engine.run(engine.Request(prompt="a red flower <lora:ink:0.5>", seed=1))
    >>> result.pictures[0].png[:4]
    b'\\x89PNG'

Names load on first use, so `import engine` costs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .adapters.bank import AdapterBank as AdapterBank
    from .adapters.file import Adapter as Adapter
    from .adapters.file import read_adapter as read_adapter
    from .adapters.inspect import inspect_adapter as inspect_adapter
    from .adapters.merge import load_lora as load_lora
    from .adapters.merge import unload_lora as unload_lora
    from .config import BUILTIN as BUILTIN
    from .config import EngineConfig as EngineConfig
    from .draft import unfolded as unfolded
    from .errors import AdapterError as AdapterError
    from .errors import AdapterInvalid as AdapterInvalid
    from .errors import AdapterMismatch as AdapterMismatch
    from .errors import AdapterNotFound as AdapterNotFound
    from .errors import AdapterUnsupported as AdapterUnsupported
    from .errors import BadRequest as BadRequest
    from .errors import Cancelled as Cancelled
    from .errors import DeviceLost as DeviceLost
    from .errors import EngineError as EngineError
    from .errors import EngineFault as EngineFault
    from .errors import ImageUnreadable as ImageUnreadable
    from .errors import MetadataUnreadable as MetadataUnreadable
    from .errors import ModelError as ModelError
    from .errors import ModelNotFound as ModelNotFound
    from .errors import ModelUnreadable as ModelUnreadable
    from .errors import OutOfMemory as OutOfMemory
    from .errors import PictureBroken as PictureBroken
    from .errors import PromptError as PromptError
    from .fleet import Fleet as Fleet
    from .fleet import OnEvent as OnEvent
    from .folders import Wildcards as Wildcards
    from .grid import KINDS as KINDS
    from .grid import MAX_CELLS as MAX_CELLS
    from .grid import Axis as Axis
    from .grid import Grid as Grid
    from .grid import read_axis as read_axis
    from .infotext import Reading as Reading
    from .infotext import infotext_exif as infotext_exif
    from .infotext import read_infotext as read_infotext
    from .infotext import read_picture as read_picture
    from .infotext import write_infotext as write_infotext
    from .library import BUILTIN_ADAPTERS as BUILTIN_ADAPTERS
    from .library import builtin_adapter as builtin_adapter
    from .library import builtin_samples as builtin_samples
    from .library import hash_digits as hash_digits
    from .models import family_of_model as family_of_model
    from .prompt import ParsedPrompt as ParsedPrompt
    from .prompt import SubPrompt as SubPrompt
    from .prompt import left_out as left_out
    from .prompt import left_to_chance as left_to_chance
    from .prompt import parse_prompt as parse_prompt
    from .prompt import untagged as untagged
    from .prompt import written as written
    from .scheduler import Scheduler as Scheduler
    from .scheduler import Waiting as Waiting
    from .studio import Studio as Studio
    from .studio import open_studio as open  # noqa: A004, F401  the name that DESIGN §5 promises
    from .studio import run as run
    from .thread import LocalFleet as LocalFleet
    from .types import EMPHASES as EMPHASES
    from .types import MAX_SEED as MAX_SEED
    from .types import NOISES as NOISES
    from .types import SAMPLERS as SAMPLERS
    from .types import SCHEDULES as SCHEDULES
    from .types import UPSCALERS as UPSCALERS
    from .types import AdapterInfo as AdapterInfo
    from .types import AdapterReport as AdapterReport
    from .types import AdapterUse as AdapterUse
    from .types import Attempt as Attempt
    from .types import CacheFigures as CacheFigures
    from .types import Conduct as Conduct
    from .types import Done as Done
    from .types import Dropped as Dropped
    from .types import Event as Event
    from .types import Failed as Failed
    from .types import Hires as Hires
    from .types import Holds as Holds
    from .types import Lost as Lost
    from .types import Picture as Picture
    from .types import Progress as Progress
    from .types import Request as Request
    from .types import Result as Result
    from .types import Snapshot as Snapshot
    from .types import Stepped as Stepped
    from .types import WorkerId as WorkerId
    from .types import WorkerView as WorkerView
    from .types import seeded as seeded
    from .work import cost as cost

_HOMES = {
    "adapters.bank": ("AdapterBank",),
    "adapters.file": ("Adapter", "read_adapter"),
    "adapters.inspect": ("inspect_adapter",),
    "adapters.merge": ("load_lora", "unload_lora"),
    "config": ("BUILTIN", "EngineConfig"),
    "draft": ("unfolded",),
    "errors": """
        AdapterError AdapterInvalid AdapterMismatch AdapterNotFound AdapterUnsupported BadRequest
        Cancelled DeviceLost EngineError EngineFault ImageUnreadable MetadataUnreadable ModelError ModelNotFound
        ModelUnreadable OutOfMemory PictureBroken PromptError
    """.split(),
    "fleet": ("Fleet", "OnEvent"),
    "folders": ("Wildcards",),
    "grid": ("KINDS", "MAX_CELLS", "Axis", "Grid", "read_axis"),
    "infotext": ("Reading", "infotext_exif", "read_infotext", "read_picture", "write_infotext"),
    "library": ("BUILTIN_ADAPTERS", "builtin_adapter", "builtin_samples", "hash_digits"),
    "models": ("family_of_model",),
    "prompt": ("ParsedPrompt", "SubPrompt", "left_out", "left_to_chance", "parse_prompt", "untagged", "written"),
    "scheduler": ("Scheduler", "Waiting"),
    "studio": ("Studio", "run"),
    "thread": ("LocalFleet",),
    "types": """
        EMPHASES MAX_SEED NOISES SAMPLERS SCHEDULES UPSCALERS
        AdapterInfo AdapterReport AdapterUse Attempt CacheFigures Conduct Done Dropped Event Failed Hires Holds Lost
        Picture Progress Request Result Snapshot Stepped WorkerId WorkerView seeded
    """.split(),
    "work": ("cost",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names} | {"open": "studio"}
__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> object:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f".{home}", __name__), "open_studio" if name == "open" else name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
