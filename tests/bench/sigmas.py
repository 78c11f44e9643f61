"""How far our sigma tables lie from the WebUI's formulas, by sampler and schedule: `python -m tests.bench.sigmas`."""

from __future__ import annotations

import torch

from engine import SAMPLERS, SCHEDULES
from engine.pipeline.samplers import make_scheduler
from tests.engine.pipeline import kdiffusion
from tests.engine.pipeline.test_schedules import ALL, STABLE_DIFFUSION, STEPS


def main() -> None:
    known = kdiffusion.training_sigmas()
    columns = ("", *SCHEDULES)
    print(f"largest relative deviation over {', '.join(map(str, STEPS))} steps")
    print(f"{'':<18}" + "".join(f"{name or 'Automatic':>15}" for name in columns))
    for sampler in SAMPLERS:
        print(f"{sampler:<18}" + "".join(f"{_shown(sampler, schedule, known):>15}" for schedule in columns))


def _shown(sampler: str, schedule: str, known: list[float]) -> str:
    if (sampler, schedule) not in ALL:
        return "diffusers'"
    return f"{max(_deviation(sampler, schedule, steps, known) for steps in STEPS):.1e}"


def _deviation(sampler: str, schedule: str, steps: int, known: list[float]) -> float:
    scheduler = make_scheduler(sampler, STABLE_DIFFUSION, schedule=schedule)
    scheduler.set_timesteps(steps, torch.device("cpu"))
    expected = kdiffusion.table(sampler, schedule, steps, known)
    pairs = zip(scheduler.sigmas, expected, strict=True)
    return max(abs(ours - theirs) / theirs if theirs else abs(ours) for ours, theirs in pairs)


if __name__ == "__main__":
    main()
