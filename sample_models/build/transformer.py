"""The transformer: names the texture of a 64x64 picture from 8x8 patches.

Exported at opset 13, LayerNorm comes out as ReduceMean, Sub, Pow, Sqrt and Div, GELU as Div, Erf,
Add and Mul. The sequence of a class token (its position embedding alone) and 64 patches is padded
to 72 tokens, a multiple of eight as accelerators like it, and the padding is masked from attention
with -1e12.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from sample_models.build import measure
from sample_models.build.textures import TEXTURES
from sample_models.build.training import export, fit, to_tensor, varied

SIZE, PATCH = 64, 8
TOKENS, PADDED = (SIZE // PATCH) ** 2 + 1, 72
MASKED = -1e12
PICTURES, STEPS, BATCH = 8000, 2400, 64


class Attention(nn.Module):
    """Multi-head self-attention with an additive mask over the keys."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.width = heads, width
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        split = (-1, PADDED, 3, self.heads, self.width // self.heads)
        query, key, value = self.qkv(x).reshape(split).permute(2, 0, 3, 1, 4).unbind(0)
        scores = query @ key.transpose(-2, -1) * (self.width // self.heads) ** -0.5 + mask
        mixed = scores.softmax(-1) @ value
        return self.proj(mixed.transpose(1, 2).reshape(-1, PADDED, self.width))


class Mlp(nn.Module):
    """Two linear layers with an exact GELU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(x)))


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width, 3 * width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x), mask)
        return x + self.mlp(self.norm2(x))


class Transformer(nn.Module):
    """Pictures [batch, 3, 64, 64], -1..1, to logits [batch, classes]."""

    mask: Tensor

    def __init__(self, classes: int, width: int = 48, heads: int = 3, depth: int = 4) -> None:
        super().__init__()
        self.width = width
        self.patch_embed = nn.Conv2d(3, width, PATCH, PATCH)
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, PADDED, width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)
        keys = torch.arange(PADDED)
        mask = torch.where(keys < TOKENS, 0.0, MASKED)
        self.register_buffer("mask", mask.view(1, 1, 1, PADDED))

    def forward(self, x: Tensor) -> Tensor:
        patches = self.patch_embed(x).view(-1, self.width, TOKENS - 1).transpose(1, 2)
        tokens = functional.pad(patches, (0, 0, 1, PADDED - TOKENS)) + self.pos_embed
        for block in self.blocks:
            tokens = block(tokens, self.mask)
        return self.head(self.norm(tokens)[:, 0])


def train_transformer(path: Path) -> None:
    """Renders pictures, trains, and writes the float graph to ``path``."""
    torch.manual_seed(3)
    rendered, labels = measure.textures(PICTURES, 3)
    bilinear = Image.Resampling.BILINEAR
    small = [np.asarray(Image.fromarray(p).resize((SIZE, SIZE), bilinear)) for p in rendered]
    stack, target = torch.from_numpy(np.stack(small)), torch.from_numpy(labels)

    def loss_of_step(net: nn.Module, _step: int) -> Tensor:
        batch = torch.randint(len(stack), (BATCH,))
        x = (to_tensor(varied(stack[batch])) - 0.5) / 0.5
        with torch.autocast("cpu", torch.bfloat16):
            logits = net(x)
        return functional.cross_entropy(logits.float(), target[batch], label_smoothing=0.05)

    net = Transformer(len(TEXTURES))
    print(f"transformer: {sum(value.numel() for value in net.parameters())} weights", flush=True)
    fit(net, loss_of_step, STEPS, 1.5e-3, "transformer")
    names = {"names": str(dict(enumerate(TEXTURES)))}
    export(net, path, (1, 3, SIZE, SIZE), ("pixel_values", "logits"), names)
