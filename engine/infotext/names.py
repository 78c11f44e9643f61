"""Names of samplers and schedules: those of other tools in the WebUI's words, and what stands in for the missing."""

from __future__ import annotations

from ..types import SAMPLERS, SCHEDULES

AUTOMATIC = ("", "automatic", "auto", "default")
_KDIFFUSION = {
    "euler": "Euler",
    "euler_ancestral": "Euler a",
    "euler_a": "Euler a",
    "heun": "Heun",
    "heunpp2": "Heun",
    "dpm_2": "DPM2",
    "dpm_2_ancestral": "DPM2 a",
    "dpm2": "DPM2",
    "dpm2_a": "DPM2 a",
    "lms": "LMS",
    "plms": "PLMS",
    "pndm": "PLMS",
    "dpm_fast": "DPM fast",
    "dpm_adaptive": "DPM adaptive",
    "dpmpp_2s_ancestral": "DPM++ 2S a",
    "dpmpp_2s": "DPM++ 2S a",
    "dpmpp_sde": "DPM++ SDE",
    "dpmpp_2m": "DPM++ 2M",
    "dpmpp_2m_sde": "DPM++ 2M SDE",
    "dpmpp_3m_sde": "DPM++ 3M SDE",
    "dpmpp_3m": "DPM++ 3M",
    "ddim": "DDIM",
    "ddpm": "DDPM",
    "lcm": "LCM",
    "uni_pc": "UniPC",
    "uni_pc_bh2": "UniPC",
    "unipc": "UniPC",
    "restart": "Restart",
    "deis": "DEIS",
    "nai_smea": "Euler a",
}
_SCHEDULES = {  # the first of them that is here
    "normal": ("Normal", "Uniform"),  # k-diffusion's own
    "native": ("Karras",),  # NovelAI's
    "polyexponential": ("Polyexponential", "Exponential"),  # with the usual rho of 1 they are the same sigmas
    "ddim_uniform": ("DDIM", "Uniform"),
}
_OWN_SCHEDULE = ("DPM++ 2M", "DPM++ SDE", "DPM++ 2M SDE", "DPM++ 3M SDE", "DPM++ 2S a", "DPM2", "DPM2 a")
"""Since WebUI 1.9 these have a schedule of their own, not Uniform as before, and as elsewhere."""


def webui_sampler(name: str) -> tuple[str, str]:
    """(sampler, schedule) in the WebUI's words, of a name of k-diffusion's, diffusers' or InvokeAI's."""
    key = name.strip().casefold().removeprefix("k_").removesuffix("_gpu").removesuffix("_cfg_pp")
    schedule = ""
    if key.endswith(("_k", "_karras")):
        key, schedule = key.rpartition("_")[0], "Karras"
    return _KDIFFUSION.get(key, name.strip()), schedule


def webui_schedule(name: str) -> str:
    """The schedule in the WebUI's words, or as it is where we do not know it."""
    key = name.strip().casefold().replace(" ", "_")
    ours = {schedule.casefold().replace(" ", "_"): schedule for schedule in SCHEDULES}
    return ours.get(key) or next((one for one in _SCHEDULES.get(key, ()) if one in SCHEDULES), name.strip())


def split_name(sampler: str, schedule: str | None) -> tuple[str, str]:
    """(sampler, schedule) of what a WebUI wrote. `schedule` None: it is one before 1.9, with both in one name."""
    name, own = sampler.strip(), ""
    for suffix in SCHEDULES:
        if name.casefold().endswith(f" {suffix.casefold()}"):
            name, own = name[: -len(suffix) - 1], suffix
            break
    if schedule is None:
        return name, own or ("Uniform" if name in _OWN_SCHEDULE else "")
    return name, own if schedule.casefold() in AUTOMATIC else webui_schedule(schedule)


def known_sampler(name: str, schedule: str) -> tuple[str, str] | None:
    """(sampler, schedule) as a Request takes them, upper and lower case alike; None where there is no such sampler."""
    ours = {sampler.casefold(): sampler for sampler in SAMPLERS}
    if both := ours.get(f"{name} {schedule}".casefold()):
        return both, ""
    one = ours.get(name.casefold())
    return None if one is None else (one, schedule)


def near_sampler(name: str) -> str:
    """One of ours for a sampler that is not here: as random as it, and of its family where there is one."""
    folded = name.casefold()
    if folded.endswith((" a", "sde")) or folded in ("restart", "ddpm", "lcm"):
        return "Euler a"
    return "DPM++ 2M" if folded.startswith("dpm") else "DDIM"
