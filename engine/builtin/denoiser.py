"""Stage 2 and 3: the latents of the captioned pictures, then UNet and text encoder together, from nothing.

SD 1.x layout throughout: 4 levels, 2 layers a block, the same 192 attention layers by the same names as SD 1.5, only
narrower. v-prediction (Salimans & Ho 2022), stratified timesteps, 10 % of captions dropped for guidance.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from PIL import Image
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from .autoencoder import SCALING, to_tensor
from .gang import Gang, fit
from .scenes import draw, pixels
from .vocabulary import FLAWS, QUALITY

WIDTH = 96  # of the text encoder, and so of cross-attention
BATCH = 16  # a worker
SCHEDULE = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "timestep_spacing": "trailing",
}
SHEET = (  # sixteen prompts at seeds 0..15, none picked out
    "a red flower",
    "a branch of pink flowers on white",
    "a branch of red flowers on blue",
    "a house with a red roof",
    "a house with a blue roof and a pine tree at night",
    "a cherry tree on a sunny day",
    "two autumn trees at sunset",
    "a red boat with white sails on the sea",
    "an orange fish in the sea",
    "a black cat on yellow",
    "snowy mountains above a lake at sunset",
    "the sun over green hills",
    "a large yellow star on blue",
    "a red circle above a blue square on white",
    "a pink heart on white",
    "a purple flower on yellow",
)


class Denoiser(torch.nn.Module):
    """UNet and text encoder as one module, so that both are trained and averaged together."""

    def __init__(self, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        self.unet = UNet2DConditionModel(
            sample_size=16,
            layers_per_block=2,
            block_out_channels=(32, 64, 80, 80),
            down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
            up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
            cross_attention_dim=WIDTH,
            attention_head_dim=2,  # the number of heads: SD 1.x's own misnomer
            norm_num_groups=4,
        )
        self.text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer),
                hidden_size=WIDTH,
                intermediate_size=4 * WIDTH,
                num_hidden_layers=2,
                num_attention_heads=4,
                max_position_embeddings=77,
                projection_dim=WIDTH,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
                hidden_act="quick_gelu",
            )
        )
        with torch.no_grad():
            for module in self.unet.modules():
                if isinstance(module, ResnetBlock2D):
                    module.conv2.weight.zero_()
                    module.conv2.bias.zero_()
                elif isinstance(module, Transformer2DModel):
                    module.proj_out.weight.zero_()
                    module.proj_out.bias.zero_()
            self.unet.conv_out.weight.zero_()
            self.unet.conv_out.bias.zero_()


def encode_pictures(gang: Gang, work: Path, count: int) -> None:
    """Leaves work/latents-<rank>.pt: this worker's share of `count` pictures as (latents fp16, captions)."""
    target = work / f"latents-{gang.rank}.pt"
    if target.exists():
        return
    vae = AutoencoderKL.from_pretrained(work / "vae").eval().to(memory_format=torch.channels_last)
    rng = random.Random(1000 + gang.rank)
    latents, captions = [], []
    for _ in range(count // gang.size // 50):
        scenes = [draw(rng) for _ in range(50)]
        latents.append(latents_of(vae, [scene.picture for scene in scenes]))
        captions += [scene.caption for scene in scenes]
    torch.save((torch.cat(latents).half(), captions), target.with_suffix(".part"))
    target.with_suffix(".part").replace(target)


@torch.no_grad()
def latents_of(vae: AutoencoderKL, pictures: Sequence[Image.Image]) -> torch.Tensor:
    """float32 (n, 4, 16, 16), scaled as the UNet sees them."""
    batch = torch.from_numpy(np.stack([pixels(picture) for picture in pictures]))
    mean: torch.Tensor = vae.encode(to_tensor(batch)).latent_dist.mean * SCALING
    return mean.contiguous()


def train_denoiser(gang: Gang, work: Path, steps: int) -> None:
    """Leaves work/model: the whole pipeline as a diffusers folder in float16, and sheets of samples on the way."""
    torch.manual_seed(gang.seed)
    tokenizer = CLIPTokenizer.from_pretrained(work / "tokenizer")
    model = Denoiser(tokenizer)
    latents, captions = torch.load(work / f"latents-{gang.rank}.pt", weights_only=True)
    vae = AutoencoderKL.from_pretrained(work / "vae").eval()

    def loss(generator: torch.Generator, progress: float) -> torch.Tensor:
        chosen = torch.randint(0, len(latents), (BATCH,), generator=generator)
        rng = random.Random(int(torch.randint(0, 1 << 40, (), generator=generator)))
        texts = [worded(captions[i], rng) for i in chosen.tolist()]
        return v_loss(model.unet, model.text_encoder, tokenizer, latents[chosen].float(), texts, generator)

    def report(step: int) -> None:
        if step % 500 == 0 or step == steps:
            pipeline = build_pipeline(model, vae, tokenizer)
            contact_sheet(sample(pipeline, SHEET), 8).save(work / f"sheet-{step:05d}.png")

    fit(gang, model, loss, steps=steps, rate=1.5e-3, decay_from=0.5, checkpoint=work / "unet.ckpt", report=report)
    if gang.rank == 0:
        save_model(build_pipeline(model, vae, tokenizer), work)


def v_loss(
    unet: torch.nn.Module,
    text_encoder: torch.nn.Module,
    tokenizer: CLIPTokenizer,
    latents: torch.Tensor,
    texts: Sequence[str],
    generator: torch.Generator,
) -> torch.Tensor:
    """Mean squared error of v = a*noise - s*latents at stratified random times."""
    ids = tokenizer(list(texts), padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
    hidden = text_encoder(ids).last_hidden_state
    size = len(latents)
    strata = (torch.randperm(size, generator=generator) + torch.rand(size, generator=generator)) / size
    times = (strata * 1000).long().clamp(0, 999)
    alpha, sigma = (part[times].view(-1, 1, 1, 1) for part in _ALPHA_SIGMA)
    noise = torch.randn(latents.shape, generator=generator)
    predicted = unet(alpha * latents + sigma * noise, times, hidden).sample
    return F.mse_loss(predicted, alpha * noise - sigma * latents)


def worded(caption: str, rng: random.Random, trigger: str | None = None) -> str:
    """A caption as people would write it: now and then a quality tag, a trigger word, or nothing at all."""
    if rng.random() < 0.1:
        return "" if rng.random() < 0.7 else ", ".join(rng.sample(FLAWS, rng.randint(1, 4)))
    if rng.random() < 0.1:
        caption = caption + ", " + ", ".join(rng.sample(QUALITY, rng.randint(1, 3)))
    if rng.random() < 0.05:
        caption = rng.choice(["a picture of ", "an illustration of ", "a drawing of "]) + caption
    if trigger is not None and rng.random() < 0.5:
        caption = f"{trigger}, {caption}"
    return caption


def build_pipeline(model: Denoiser, vae: AutoencoderKL, tokenizer: CLIPTokenizer) -> StableDiffusionPipeline:
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=model.text_encoder,
        tokenizer=tokenizer,
        unet=model.unet,
        scheduler=DDIMScheduler(**SCHEDULE),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def sample(pipeline: StableDiffusionPipeline, prompts: Sequence[str], steps: int = 20) -> list[Image.Image]:
    seeds = [torch.Generator().manual_seed(i) for i in range(len(prompts))]
    images: list[Image.Image] = pipeline(
        list(prompts), num_inference_steps=steps, guidance_scale=4.0, generator=seeds
    ).images
    return images


def contact_sheet(images: Sequence[Image.Image], columns: int) -> Image.Image:
    width, height = images[0].size
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * (width + 2), rows * (height + 2)), "white")
    for i, image in enumerate(images):
        sheet.paste(image, (i % columns * (width + 2), i // columns * (height + 2)))
    return sheet


def save_model(pipeline: StableDiffusionPipeline, work: Path) -> None:
    target = work / "model"
    pipeline.to(torch.float16).save_pretrained(target, safe_serialization=True)
    pipeline.to(torch.float32)
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"):
        (target / "tokenizer" / name).write_bytes((work / "tokenizer" / name).read_bytes())
    (target / "tokenizer" / "tokenizer.json").unlink(missing_ok=True)
    config = target / "vae" / "config.json"
    settings = json.loads(config.read_text(encoding="utf-8"))
    settings.pop("_name_or_path", None)  # a path of this machine
    config.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


_ALPHAS = DDIMScheduler(**SCHEDULE).alphas_cumprod
_ALPHA_SIGMA = (_ALPHAS.sqrt(), (1 - _ALPHAS).sqrt())
