"""The matrix as figures: `python -m tests.bot.authorisation`."""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
import time
from pathlib import Path

from .commands import try_commands
from .components import press_at_once, try_components
from .desks import MORE
from .usecases import CASES, try_use_cases


async def main() -> int:
    logging.disable(logging.CRITICAL)
    bad, cells = 0, 0
    with tempfile.TemporaryDirectory() as name:
        trials = {
            "commands": try_commands,
            "use-cases": lambda folder: try_use_cases(folder, (*CASES, *MORE)),
            "components": try_components,
        }
        for what, trial in trials.items():
            start = time.process_time()
            tally = await trial(Path(name) / what)
            cells += tally.cells
            bad += len(tally.leaks) + len(tally.faults)
            seconds = time.process_time() - start
            print(f"{what}: {tally.cells} cells, {len(tally.leaks)} leaks, {len(tally.faults)} faults, {seconds:.0f} s")
            for sentence in (*tally.leaks, *tally.faults):
                print(f"  {sentence}")
        effects = await press_at_once(Path(name) / "at once")
    times = sorted(set(effects.values()))
    print(f"in all: {cells} cells; of 50 presses at once on each of {len(effects)} buttons as many count: {times}")
    return int(bad > 0 or set(effects.values()) != {1})


sys.exit(asyncio.run(main()))
