"""Stage 4: the three adapters, trained with PEFT and written in kohya's format as real trainers write it."""

from __future__ import annotations

import json
import random
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from peft import LoraConfig
from safetensors.torch import save_file

from .denoiser import latents_of, v_loss, worded
from .gang import Gang, fit
from .scenes import draw
from .styles import STYLES, TRIGGERS

RANK = 5
PICTURES = 1500
BATCH = 8
UNET_LAYERS = ["to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "proj_in", "proj_out"]
TEXT_LAYERS = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]


class _Pair(torch.nn.Module):
    def __init__(self, pipeline: StableDiffusionPipeline) -> None:
        super().__init__()
        self.unet, self.text_encoder = pipeline.unet, pipeline.text_encoder


def train_adapter(gang: Gang, work: Path, style: str, steps: int) -> None:
    """Leaves work/<style>.safetensors: a kohya file with the trigger word in its metadata."""
    torch.manual_seed(gang.seed)
    pipeline = StableDiffusionPipeline.from_pretrained(work / "model", dtype=torch.float32, safety_checker=None)
    model = _Pair(pipeline).requires_grad_(False)
    pipeline.unet.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, target_modules=UNET_LAYERS))
    pipeline.text_encoder.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, target_modules=TEXT_LAYERS))
    latents, captions = _styled_latents(pipeline.vae.eval(), style)

    def loss(generator: torch.Generator, progress: float) -> torch.Tensor:
        chosen = torch.randint(0, len(latents), (BATCH,), generator=generator)
        rng = random.Random(int(torch.randint(0, 1 << 40, (), generator=generator)))
        texts = [worded(captions[i], rng, TRIGGERS[style]) for i in chosen.tolist()]
        return v_loss(model.unet, model.text_encoder, pipeline.tokenizer, latents[chosen], texts, generator)

    fit(gang, model, loss, steps=steps, rate=2.5e-3, decay_from=0.4, checkpoint=work / f"{style}.ckpt", ema=0.99)
    if gang.rank == 0:
        write_kohya(model, style, work / f"{style}.safetensors", steps * BATCH * gang.size)


def write_kohya(model: _Pair, style: str, target: Path, seen: int) -> None:
    """`lora_unet_` and `lora_te_text_model_` names with dots as underscores, float16, one alpha a layer."""
    tensors: dict[str, torch.Tensor] = {}
    for prefix, part in (("lora_unet_", model.unet), ("lora_te_text_model_", model.text_encoder)):
        for name, value in part.named_parameters():
            for peft_name, kohya_name in ((".lora_A.", "lora_down"), (".lora_B.", "lora_up")):
                if peft_name in name:
                    layer = prefix + name.split(peft_name)[0].replace(".", "_")
                    tensors[f"{layer}.{kohya_name}.weight"] = value.detach().half().contiguous()
                    tensors[f"{layer}.alpha"] = torch.tensor(float(RANK), dtype=torch.float16)
    save_file(tensors, target, metadata=_metadata(style, seen))


def _metadata(style: str, seen: int) -> dict[str, str]:
    return {
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(RANK),
        "ss_network_alpha": str(float(RANK)),
        "ss_base_model_version": "sd_v1",
        "ss_sd_model_name": "loraloom-builtin",
        "ss_output_name": style,
        "ss_resolution": "(128, 128)",
        "ss_num_train_images": str(PICTURES),
        "ss_training_comment": f"{STYLES[style].__doc__} {seen} samples, python -m engine.builtin.train",
        "ss_tag_frequency": json.dumps({f"1_{style}": {TRIGGERS[style]: PICTURES // 2}}),
        "modelspec.architecture": "stable-diffusion-v1/lora",
        "modelspec.title": style,
        "modelspec.author": "Loraloom",
        "modelspec.license": "MIT",
        "modelspec.trigger_phrase": TRIGGERS[style],
        "modelspec.prediction_type": "v",
    }


def _styled_latents(vae: AutoencoderKL, style: str) -> tuple[torch.Tensor, list[str]]:
    rng = random.Random(11)
    latents, captions = [], []
    for _ in range(PICTURES // 50):
        scenes = [draw(rng) for _ in range(50)]
        latents.append(latents_of(vae, [STYLES[style](scene, rng) for scene in scenes]))
        captions += [scene.caption for scene in scenes]
    return torch.cat(latents), captions
