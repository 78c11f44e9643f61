"""What a mask keeps, in latents and in pixels."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from PIL import Image, ImageDraw

from engine.errors import ImageUnreadable
from engine.pipeline.image import read_image, read_mask
from engine.pipeline.inpaint import Kept, blurred, cells_of, restored
from engine.pipeline.noise import Noise
from engine.pipeline.samplers import level_of, make_scheduler


def spot(size: int = 64) -> Image.Image:
    """A white square in the middle of black."""
    mask = Image.new("L", (size, size))
    ImageDraw.Draw(mask).rectangle((size // 4, size // 4, 3 * size // 4 - 1, 3 * size // 4 - 1), fill=255)
    return mask


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("time", [999, 500, 1])
def test_kept_cells_are_predicted_to_become_the_picture_that_was_sent(prediction_type: str, time: int) -> None:
    """diffusers' own scheduler finds it as the denoised picture, and what the model said everywhere else."""
    scheduler = DDIMScheduler(prediction_type=prediction_type, clip_sample=False)
    scheduler.set_timesteps(1000)
    sent, noisy, said = torch.randn(3, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0)).unbind()
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., 2:6, 2:6] = 1
    kept = Kept(sent, mask, prediction_type)
    blended = kept.blended(said, noisy, level_of(scheduler, torch.tensor(time)))
    denoised = scheduler.step(blended, time, noisy).pred_original_sample
    drawn = mask.bool().expand_as(sent)
    assert torch.equal(blended[drawn], said[drawn])
    torch.testing.assert_close(denoised[~drawn], sent[~drawn], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("sampler", ["Euler", "Heun", "DPM++ 2M", "UniPC"])
def test_a_solver_keeps_cells_too(sampler: str) -> None:
    """Whatever the model says, every step's denoised picture is the one sent where it is kept."""
    scheduler = make_scheduler(sampler, DDIMScheduler().config)
    scheduler.set_timesteps(4, torch.device("cpu"))
    noise = Noise(1, (1, 4, 8, 8), torch.device("cpu"))
    sent, said = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0)).unbind()
    kept, latents = Kept(sent, torch.zeros(1, 1, 8, 8), "epsilon"), noise.first() * scheduler.init_noise_sigma
    for time in scheduler.timesteps:
        scaled = scheduler.scale_model_input(latents, time)
        output = scheduler.step(kept.blended(said, scaled, level_of(scheduler, time)), time, latents, noise)
        latents = output.prev_sample
        torch.testing.assert_close(output.pred_original_sample, sent, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(kept.put_back(latents), sent)


def test_a_model_whose_last_time_is_pure_noise_keeps_too() -> None:
    """Zero terminal SNR: no infinity, no NaN."""
    scheduler = DDIMScheduler(rescale_betas_zero_snr=True, prediction_type="v_prediction")
    kept = Kept(torch.randn(1, 4, 2, 2), torch.zeros(1, 1, 2, 2), "v_prediction")
    noisy = torch.randn(1, 4, 2, 2)
    assert kept.blended(noisy, noisy, level_of(scheduler, torch.tensor(999))).isfinite().all()


def test_blur_is_a_gaussian_that_ends() -> None:
    """The whole stays as bright as it was, far from the edge nothing changes, and 0 is the mask itself."""
    mask = spot()
    soft = np.asarray(blurred(mask, 3)).astype(float)
    assert blurred(mask, 0) is mask
    assert soft[32, 32] == 255
    assert soft[32, 16 - 9] == 0
    assert 0 < soft[32, 12] < soft[32, 15] < 128 < soft[32, 16] < 255
    assert soft.mean() == pytest.approx(np.asarray(mask).mean(), rel=0.01)
    assert (soft == soft.T).all()


def test_a_mask_of_any_size_can_be_blurred() -> None:
    """Also by more than it has pixels."""
    assert blurred(Image.new("L", (64, 72), 255), 64).getextrema() == (255, 255)


def test_cells_are_drawn_where_most_of_them_is_white() -> None:
    """Rounded, as the WebUI rounds them."""
    mask = Image.new("L", (16, 8))
    mask.paste(255, (3, 0, 8, 8))
    mask.paste(255, (8, 0, 11, 8))
    assert cells_of(mask, 8).flatten().tolist() == [1, 0]


def test_pixels_are_the_pictures_where_the_mask_is_black() -> None:
    """Exactly; and from the middle of its edge inwards they are the drawn ones."""
    sent, drawn = Image.new("RGB", (64, 64), "red"), Image.new("RGB", (64, 64), "blue")
    soft = blurred(spot(), 3)
    made, grey = np.asarray(restored(drawn, sent, soft)), np.asarray(soft)
    assert (made[grey == 0] == (255, 0, 0)).all()
    assert (made[grey >= 128] == (0, 0, 255)).all()
    edge = made[(grey > 0) & (grey < 128)]
    assert len(edge)
    assert (edge.astype(int).sum(axis=1) <= 256).all()


def test_a_mask_counts_by_what_is_painted_where_it_is_partly_transparent() -> None:
    """Painted in any colour, as people do over a picture; an opaque one counts by its brightness."""
    painted = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    painted.paste((0, 0, 0, 255), (0, 0, 32, 64))
    read = read_mask(png(painted), 64, 64)
    assert (read.getpixel((10, 32)), read.getpixel((50, 32))) == (255, 0)
    opaque = Image.new("RGBA", (64, 64), (255, 255, 255, 255))
    opaque.paste((0, 0, 0, 255), (0, 0, 32, 64))
    read = read_mask(png(opaque), 64, 64)
    assert (read.getpixel((10, 32)), read.getpixel((50, 32))) == (0, 255)


def test_a_mask_is_fitted_like_its_picture() -> None:
    """Cropped and scaled in the same way, so that a mask of the picture's shape stays on its place."""
    picture = Image.new("RGB", (200, 100), "black")
    picture.paste("white", (50, 0, 100, 100))
    seen = np.asarray(read_image(png(picture), 64, 64).convert("L"))
    mask = np.asarray(read_mask(png(picture.convert("L")), 64, 64))
    assert (abs(seen.astype(int) - mask) <= 1).all()


def test_a_transparent_picture_lies_on_white_paper() -> None:
    """Its transparency is no mask: that would change what people did not ask for."""
    assert read_image(png(Image.new("RGBA", (64, 64), (9, 9, 9, 0))), 64, 64).getpixel((5, 5)) == (255, 255, 255)
    assert read_image(png(Image.new("LA", (64, 64), (9, 0))), 64, 64).getpixel((5, 5)) == (255, 255, 255)


def test_a_mask_that_is_no_picture_is_refused_as_a_mask() -> None:
    """The sentence says which of the two files it is about."""
    with pytest.raises(ImageUnreadable, match="The mask cannot be read"):
        read_mask(b"GIF89a", 64, 64)
