"""What the three nets share: the training loop and the export to ONNX."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_eval

OPSET = 13  # the oldest with per-channel QuantizeLinear; LayerNorm and GELU stay in pieces
Loss = Callable[[nn.Module, int], Tensor]


def fit(net: nn.Module, loss_of_step: Loss, steps: int, rate: float, title: str) -> nn.Module:
    """Trains ``net`` with AdamW, a warm-up and a cosine to zero; returns it in eval mode.

    Args:
        net: the net, channels last; convolutions run in bfloat16.
        loss_of_step: draws the batch of a step and returns its scalar loss.
        steps: how many updates.
        rate: the peak learning rate.
        title: stands in the progress lines.
    """
    optimizer = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    started, running = time.monotonic(), 0.0
    net.train()
    for step in range(steps):
        loss = loss_of_step(net, step)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 10.0)
        optimizer.step()
        schedule.step()
        running = loss.item() if step == 0 else 0.97 * running + 0.03 * loss.item()
        if step % 100 == 0 or step == steps - 1:
            seconds = time.monotonic() - started
            print(f"{title}: step {step}/{steps}  loss {running:.3f}  {seconds:.0f} s", flush=True)
    return net.eval()


def varied(pictures: Tensor) -> Tensor:
    """Mirrored, turned and recoloured at random, uint8 [batch, size, size, 3]: 48 variants."""
    across, down, turned = (torch.rand(3) < 0.5).tolist()
    flips = [axis for axis, wanted in ((1, down), (2, across)) if wanted]
    pictures = pictures.flip(flips)[..., torch.randperm(3)]
    return pictures.transpose(1, 2) if turned else pictures


def to_tensor(pictures: Tensor) -> Tensor:
    """uint8 [batch, height, width, 3] to float32 NCHW 0..1, channels last in memory."""
    planes = pictures.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    return planes.float() / 255


def _fold_batch_norms(net: nn.Module) -> None:
    """Folds each ``bn`` into the ``conv`` beside it, so that weights keep their module paths."""
    for module in net.modules():
        if isinstance(getattr(module, "bn", None), nn.BatchNorm2d):
            module.conv = fuse_conv_bn_eval(module.conv, module.bn)
            module.bn = nn.Identity()


def export(
    net: nn.Module,
    path: Path,
    shape: tuple[int, ...],
    names: tuple[str, str],
    metadata: dict[str, str],
) -> None:
    """Writes ``net`` as ONNX with module paths as node names, BatchNorm folded, batch one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    net = net.to(memory_format=torch.contiguous_format)
    _fold_batch_norms(net)
    with torch.no_grad():
        torch.onnx.export(
            net,
            (torch.zeros(shape),),
            path,
            opset_version=OPSET,
            input_names=[names[0]],
            output_names=[names[1]],
            dynamo=False,
        )
    model = onnx.shape_inference.infer_shapes(onnx.load(path))
    onnx.helper.set_model_props(model, metadata)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    print(f"{path.parent.name}/{path.name}: {path.stat().st_size / 1e6:.2f} MB", flush=True)
