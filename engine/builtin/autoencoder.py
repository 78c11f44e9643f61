"""Stage 1: the autoencoder (AutoencoderKL, f=8, 4 latent channels), then its exact whitening.

Sources: Rombach et al. 2022 for the layout; the colour anchor and the delta initialisation are this recipe's own: at
step 0 the network is a linear average pool and its upsampling, so colours are right from the first minute.
"""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from diffusers.models.resnet import Downsample2D, ResnetBlock2D, Upsample2D

from .gang import Gang, fit
from .scenes import draw, pixels
from .styles import STYLES

SCALING = 0.18215
PLAIN, STYLED = 6000, 700  # pictures; a third of each batch shows a style, so that adapters have latents to aim at


def train_autoencoder(gang: Gang, work: Path, steps: int) -> None:
    """Leaves work/vae: an AutoencoderKL whose latents times SCALING are white (unit variance, uncorrelated)."""
    data = _pictures(work / "pictures.pt", gang)
    torch.manual_seed(gang.seed)
    model = build_autoencoder().to(memory_format=torch.channels_last)

    def loss(generator: torch.Generator, progress: float) -> torch.Tensor:
        batch = _batch(data, generator, whole=progress > 0.75)
        return _loss(model, batch, generator, anchor=max(0.3, 1 - 2 * progress))

    fit(
        gang,
        model,
        loss,
        steps=steps,
        rate=1.7e-3,
        decay_from=0.3,
        checkpoint=work / "vae.ckpt",
        ema=0.995,
        weight_decay=1e-4,
    )
    if gang.rank == 0:
        model.eval()
        whiten(model, torch.cat([data[:800], data[PLAIN::6]]))
        print(f"autoencoder: held-out PSNR {_held_out_psnr(model):.2f} dB", flush=True)
        model.save_pretrained(work / "vae")


def build_autoencoder() -> AutoencoderKL:
    model = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(16, 32, 64, 64),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=2,
        sample_size=128,
        scaling_factor=SCALING,
    )
    with torch.no_grad():
        model.quant_conv.bias[4:] = -6.0
        for module in model.modules():
            _start_linear(module)
        for half in (model.encoder, model.decoder):
            for attention in half.mid_block.attentions:
                attention.to_out[0].weight.zero_()
                attention.to_out[0].bias.zero_()
    return model


def to_tensor(pictures: torch.Tensor) -> torch.Tensor:
    """uint8 (n, h, w, 3) to float (n, 3, h, w) in -1..1."""
    return (pictures.permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def whiten(model: AutoencoderKL, pictures: torch.Tensor) -> None:
    """Folds mean and PCA whitening of the latents into the two 1x1 convolutions; decoding stays the same."""
    batches = [to_tensor(pictures[i : i + 50]) for i in range(0, len(pictures), 50)]
    latents = torch.cat([model.encode(batch).latent_dist.mode() for batch in batches])
    flat = latents.permute(0, 2, 3, 1).reshape(-1, 4)
    mean = flat.mean(0)
    values, vectors = torch.linalg.eigh(torch.cov(flat.T))
    forward = (vectors / values.sqrt()).T / SCALING
    backward = torch.linalg.inv(forward)
    quant, post = model.quant_conv, model.post_quant_conv
    quant.weight[:4, :, 0, 0] = forward @ quant.weight[:4, :, 0, 0]
    quant.bias[:4] = forward @ (quant.bias[:4] - mean)
    quant.weight[4:] = 0
    quant.bias[4:] = -8.0 + 2 * torch.log(torch.tensor(1 / SCALING))
    kept = post.weight[:, :, 0, 0].clone()
    post.bias += kept @ mean
    post.weight[:, :, 0, 0] = kept @ backward


def _start_linear(module: torch.nn.Module) -> None:
    if isinstance(module, ResnetBlock2D):
        module.conv2.weight.zero_()
        module.conv2.bias.zero_()
        if module.conv_shortcut is not None:
            torch.nn.init.orthogonal_(module.conv_shortcut.weight)
            module.conv_shortcut.bias.zero_()
    elif isinstance(module, Downsample2D | Upsample2D):
        diagonal = torch.arange(module.conv.weight.shape[0])
        module.conv.weight.mul_(0.2)
        module.conv.bias.zero_()
        if isinstance(module, Downsample2D):
            module.conv.weight[diagonal, diagonal, 0:2, 0:2] += 0.25
        else:
            module.conv.weight[diagonal, diagonal, 1, 1] += 1.0


def _pictures(path: Path, gang: Gang) -> torch.Tensor:
    if gang.rank == 0 and not path.exists():
        rng = random.Random(1)
        pictures = [pixels(draw(rng).picture) for _ in range(PLAIN)]
        for style in STYLES.values():
            pictures += [pixels(style(draw(rng), rng)) for _ in range(STYLED)]
        torch.save(torch.from_numpy(np.stack(pictures)), path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)
    if gang.size > 1:
        torch.distributed.barrier()
    data: torch.Tensor = torch.load(path, weights_only=True)
    return data


def _batch(data: torch.Tensor, generator: torch.Generator, *, whole: bool) -> torch.Tensor:
    size, side = (4, 128) if whole else (8, 64)
    plain = torch.randint(0, PLAIN, (size,), generator=generator)
    styled = torch.randint(PLAIN, len(data), (size,), generator=generator)
    chosen = torch.where(torch.rand(size, generator=generator) < 0.66, plain, styled)
    corners = torch.randint(0, 128 - side + 1, (size, 2), generator=generator).tolist()
    crops = [data[i, y : y + side, x : x + side] for i, (y, x) in zip(chosen.tolist(), corners, strict=True)]
    return to_tensor(torch.stack(crops))


def _loss(model: AutoencoderKL, x: torch.Tensor, generator: torch.Generator, anchor: float) -> torch.Tensor:
    posterior = model.encode(x).latent_dist
    y = model.decode(posterior.sample(generator)).sample
    scales = sum((F.avg_pool2d(y, k) - F.avg_pool2d(x, k)).abs().mean() for k in (4, 16))
    edges = (y.diff(dim=2) - x.diff(dim=2)).abs().mean() + (y.diff(dim=3) - x.diff(dim=3)).abs().mean()
    kl = 0.5 * (posterior.mean**2 + posterior.var - 1 - posterior.logvar).mean()
    colour = F.mse_loss(posterior.mean[:, :3], F.avg_pool2d(x, 8))
    value: torch.Tensor = (
        (y - x).abs().mean() + 0.5 * scales + F.mse_loss(y, x) + anchor * colour + 0.5 * edges + 2e-4 * kl
    )
    return value


@torch.no_grad()
def _held_out_psnr(model: AutoencoderKL) -> float:
    rng = random.Random(99)
    x = to_tensor(torch.from_numpy(np.stack([pixels(draw(rng).picture) for _ in range(64)])))
    y = model.decode(model.encode(x).latent_dist.mode()).sample.clamp(-1, 1)
    error = ((y - x) / 2).pow(2).mean((1, 2, 3))
    return float((-10 * error.log10()).mean())
