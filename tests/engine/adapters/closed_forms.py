"""What each format means, in float64, written from the papers and the formula table and without the engine.

Every function takes a weight W and the tensors of one layer *as a file has them* (suffix -> tensor), and gives W' at
strength m. The reference for the tests; loops where the engine has matrix tricks. lora_formats.md §1.1 to §1.3.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

Tensors = Mapping[str, torch.Tensor]


def _double(tensors: Tensors) -> dict[str, torch.Tensor]:
    return {key: tensor.double() for key, tensor in tensors.items()}


def _alpha_over(tensors: Tensors, rank: int) -> float:
    return tensors["alpha"].double().reshape(-1)[0].item() / rank if "alpha" in tensors else 1.0


def lora_change(weight: torch.Tensor, tensors: Tensors) -> torch.Tensor:
    """s * sum over the rank of outer products; a core sits between the factors."""
    t = _double(tensors)
    up, down = t["lora_up.weight"], t["lora_down.weight"]
    rank = down.shape[0]
    if "lora_mid.weight" in t:
        change = torch.einsum("mnkl,im,nj->ijkl", t["lora_mid.weight"], up[:, :, 0, 0], down[:, :, 0, 0])
    else:
        change = sum(torch.outer(up[:, r].reshape(-1), down[r].reshape(-1)) for r in range(rank))
    return _alpha_over(t, rank) * change.reshape(weight.shape)


def loha_change(weight: torch.Tensor, tensors: Tensors) -> torch.Tensor:
    """s * (w1a w1b) .* (w2a w2b), or the same of two Tucker products."""
    t = _double(tensors)
    parts = []
    for i in "12":
        a, b, core = t[f"hada_w{i}_a"], t[f"hada_w{i}_b"], t.get(f"hada_t{i}")
        product = a @ b if core is None else torch.einsum("ijkl,jr,ip->prkl", core, b, a)
        parts.append(product.reshape(weight.shape))
    return _alpha_over(t, t["hada_w1_b"].shape[0]) * parts[0] * parts[1]


def lokr_change(weight: torch.Tensor, tensors: Tensors) -> torch.Tensor:
    """s * w1[a, c] * w2[b, d] at row a * out2 + b and column c * in2 + d; s = 1 when both factors are full."""
    t = _double(tensors)
    w1 = t["lokr_w1"] if "lokr_w1" in t else t["lokr_w1_a"] @ t["lokr_w1_b"]
    kernel = tuple(weight.shape[2:])
    if "lokr_w2" in t:
        w2 = t["lokr_w2"]
    elif "lokr_t2" in t:
        w2 = torch.einsum("ijkl,ip,jr->prkl", t["lokr_t2"], t["lokr_w2_a"], t["lokr_w2_b"])
    else:
        w2 = t["lokr_w2_a"] @ t["lokr_w2_b"].reshape(t["lokr_w2_b"].shape[0], -1)
    out1, in1 = w1.shape
    out2, in2 = weight.shape[0] // out1, weight.shape[1] // in1
    w2 = w2.reshape(out2, in2, *kernel)
    change = torch.zeros(weight.shape, dtype=torch.float64)
    for a in range(out1):
        for c in range(in1):
            change[a * out2 : (a + 1) * out2, c * in2 : (c + 1) * in2] = w1[a, c] * w2
    rank = next((t[role].shape[0] for role in ("lokr_w2_b", "lokr_w1_b") if role in t), None)
    return change if rank is None else _alpha_over(t, rank) * change


def ia3_change(weight: torch.Tensor, tensors: Tensors) -> torch.Tensor:
    """W .* w along the input or the output channels."""
    gains = tensors["weight"].double().reshape(-1)
    along = 1 if tensors["on_input"].item() else 0
    shape = [1] * weight.dim()
    shape[along] = -1
    return weight * gains.reshape(shape)


def glora_change(weight: torch.Tensor, tensors: Tensors, older: bool = False) -> torch.Tensor:
    """s * (W a1 a2 + b1 b2); older: s * (W a2 a1 + b2 b1)."""
    t = {role: tensor.reshape(tensor.shape[0], -1) for role, tensor in _double(tensors).items() if tensor.dim()}
    a1, a2, b1, b2 = (t[f"{role}.weight"] for role in ("a1", "a2", "b1", "b2"))
    if older:
        a1, a2, b1, b2 = a2, a1, b2, b1
    rank = a1.shape[1]
    if "bm.weight" in tensors:
        change = torch.einsum("mnkl,im,nj->ijkl", tensors["bm.weight"].double(), b1, b2)
    else:
        change = (b1 @ b2).reshape(weight.shape)
    return _alpha_over(tensors, rank) * (torch.einsum("oi...,ir,rj->oj...", weight, a1, a2) + change)


def full_change(weight: torch.Tensor, tensors: Tensors) -> torch.Tensor:
    """The stored difference, whatever it is called."""
    return next(iter(tensors.values())).double().reshape(weight.shape)


def cayley(blocks: torch.Tensor, limit: float | None) -> torch.Tensor:
    """R = (I + Q)(I - Q)^-1 block by block, Q = B - B^T brought down to `limit` over all blocks."""
    shape = blocks.shape
    blocks = blocks.double().reshape(-1, *shape[-2:])
    skew = torch.stack([b - b.T for b in blocks])
    if limit is not None and skew.norm() > limit:
        skew = skew / skew.norm() * limit
    eye = torch.eye(shape[-1], dtype=torch.float64)
    return torch.stack([(eye + q) @ torch.linalg.inv(eye - q) for q in skew]).reshape(shape)


def _limit(weight: torch.Tensor, tensors: Tensors, kohya: bool) -> float | None:
    alpha = tensors["alpha"].item() if "alpha" in tensors else None
    return None if alpha is None or (alpha == 0 and not kohya) else alpha * weight.shape[0]


def oft_change(weight: torch.Tensor, tensors: Tensors, kohya: bool = False) -> torch.Tensor:
    """rescale * R_k^T W_k - W for the blocks of rows."""
    blocks = tensors["oft_diag"] if "oft_diag" in tensors else tensors["oft_blocks"]
    rotations = blocks.double() if "oft_diag" in tensors else cayley(blocks, _limit(weight, tensors, kohya))
    size = blocks.shape[-1]
    turned = weight.clone().flatten(1)
    for k, rotation in enumerate(rotations):
        turned[k * size : (k + 1) * size] = rotation.T @ turned[k * size : (k + 1) * size]
    return _rescaled(turned, tensors).reshape(weight.shape) - weight


def boft_change(weight: torch.Tensor, tensors: Tensors) -> torch.Tensor:
    """In stage i rows c*2k + g*k + j (k = 2^i * b/2, g of 2) go to c*2k + j*2 + g, are turned by block, and go back."""
    blocks = tensors["oft_blocks"]
    rotations = cayley(blocks, _limit(weight, tensors, kohya=False))
    size, out = blocks.shape[-1], weight.shape[0]
    rows = weight.clone().flatten(1)
    for i, stage in enumerate(rotations):
        k = 2**i * (size // 2)
        goes_to = [row // (2 * k) * (2 * k) + row % k * 2 + row // k % 2 for row in range(out)]
        mixed = torch.empty_like(rows)
        mixed[goes_to] = rows
        for b, rotation in enumerate(stage):
            mixed[b * size : (b + 1) * size] = rotation @ mixed[b * size : (b + 1) * size]
        rows = mixed[goes_to]
    return _rescaled(rows, tensors).reshape(weight.shape) - weight


def _rescaled(rows: torch.Tensor, tensors: Tensors) -> torch.Tensor:
    return rows * tensors["rescale"].double().reshape(-1, 1) if "rescale" in tensors else rows


def dora_change(weight: torch.Tensor, change: torch.Tensor, magnitude: torch.Tensor, per_input: bool) -> torch.Tensor:
    """g * V / ||V|| - W with V = W + change, a norm for each row or each input channel."""
    moved = weight + change
    out = moved.clone()
    for i, gain in enumerate(magnitude.double().reshape(-1)):
        place = (slice(None), i) if per_input else (i,)
        out[place] = gain * moved[place] / moved[place].pow(2).sum().sqrt()
    return out - weight


def residual_change(weight: torch.Tensor, tensors: Tensors) -> torch.Tensor:
    """s * (up down + B), B whole or given by coordinates."""
    scale = _alpha_over(tensors, tensors["lora_down.weight"].shape[0])
    change = lora_change(weight, tensors)
    if "bias" in tensors:
        return change + scale * tensors["bias"].double().reshape(weight.shape)
    for place, value in zip(tensors["bias_indices"].T.tolist(), tensors["bias_values"].double().tolist(), strict=True):
        change.reshape(tensors["bias_size"].tolist())[tuple(place)] += scale * value
    return change
