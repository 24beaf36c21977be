"""Trains the detector on rendered scenes: task-aligned assignment, CIoU, DFL and BCE."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sample_models.build.detector import (
    BINS,
    SIZE,
    Detect,
    Detector,
    corner_boxes,
    distribution_loss,
    overlap,
)
from sample_models.build.scenes import DETECTED, Scene, render_scene
from sample_models.build.textures import Rng
from sample_models.build.training import export, fit, to_tensor

SCENES, STEPS, BATCH = 2600, 1900, 16
PAD = 114
MOST = 8  # objects a scene


def letterboxed_scene(rng: Rng) -> Scene:
    """A scene of random aspect ratio, centred in a padded square, 0 to ``MOST`` objects."""
    shorter = int(rng.integers(176, SIZE + 1))
    width, height = (SIZE, shorter) if rng.random() < 0.65 else (shorter, SIZE)
    scene = render_scene(width, height, int(rng.integers(0, MOST + 1)), rng)
    left, top = (SIZE - width) // 2, (SIZE - height) // 2
    square = np.full((SIZE, SIZE, 3), PAD, np.uint8)
    square[top : top + height, left : left + width] = scene.picture
    return Scene(square, scene.classes, scene.boxes + np.float32([left, top, left, top]))


def _collate(scenes: list[Scene]) -> tuple[Tensor, Tensor]:
    """Pictures uint8 [scenes, 320, 320, 3]; truth [scenes, MOST, 5]: class or -1, then box."""
    truth = torch.full((len(scenes), MOST, 5), -1.0)
    for row, scene in zip(truth, scenes, strict=True):
        count = len(scene.classes)
        row[:count, 0] = torch.from_numpy(scene.classes).float()
        row[:count, 1:] = torch.from_numpy(scene.boxes)
    return torch.from_numpy(np.stack([scene.picture for scene in scenes])), truth


def _flip(pictures: Tensor, truth: Tensor, across: bool, down: bool) -> tuple[Tensor, Tensor]:
    """Mirrors pictures and boxes; rows of truth without an object stay as they are."""
    truth = truth.clone()
    if across:
        pictures = pictures.flip(2)
        truth[..., [1, 3]] = SIZE - truth[..., [3, 1]]
    if down:
        pictures = pictures.flip(1)
        truth[..., [2, 4]] = SIZE - truth[..., [4, 2]]
    return pictures, truth


def assign(
    head: Detect, scores: Tensor, boxes: Tensor, truth: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Task-aligned assignment (Feng et al., 2021, arXiv:2108.07755), top 10, alpha .5, beta 6.

    Args:
        head: gives cell centres and strides.
        scores: [batch, cells, classes], 0..1.
        boxes: [batch, cells, 4], x1 y1 x2 y2.
        truth: [batch, MOST, 5], class or -1, then box.

    Returns:
        Per cell: is it a positive [batch, cells], which row of truth [batch, cells], and the
        soft target of its class [batch, cells].
    """
    present = truth[..., 0] >= 0
    centres = (head.anchors * head.strides)[0].T
    low, high = truth[:, :, None, 1:3], truth[:, :, None, 3:5]
    inside = ((centres > low) & (centres < high)).all(-1) & present[..., None]
    fit_of_box = overlap(boxes[:, None], truth[:, :, None, 1:]).clamp(min=0) * inside
    index = truth[..., 0].clamp(min=0).long()[:, None].expand(-1, scores.shape[1], -1)
    metric = scores.gather(2, index).transpose(1, 2).sqrt() * fit_of_box.pow(6)
    best = metric.topk(10, -1)
    chosen = torch.zeros_like(metric).scatter_(-1, best.indices, (best.values > 1e-9).float())
    owner = (fit_of_box * chosen).argmax(1)
    chosen = chosen * functional.one_hot(owner, truth.shape[1]).transpose(1, 2)
    metric, fit_of_box = metric * chosen, fit_of_box * chosen
    soft = metric / (metric.amax(-1, True) + 1e-9) * fit_of_box.amax(-1, True)
    return chosen.sum(1) > 0, owner, soft.amax(1)


def detection_loss(net: nn.Module, pictures: Tensor, truth: Tensor) -> Tensor:
    """The training loss of one batch; weights 7.5, 0.5 and 1.5 are YOLOv8's."""
    head: Detect = net.model[-1]
    with torch.autocast("cpu", torch.bfloat16):
        raw = net(to_tensor(pictures))
    distances, logits = raw.float().split((4 * BINS, head.classes), 1)
    boxes, logits = corner_boxes(head, distances), logits.transpose(1, 2)
    with torch.no_grad():
        positive, owner, soft = assign(head, logits.sigmoid(), boxes, truth)
        picked = truth.gather(1, owner[..., None].expand(-1, -1, 5))
        classes = functional.one_hot(picked[..., 0].clamp(min=0).long(), head.classes)
        target = classes * (soft * positive)[..., None]
    total = target.sum().clamp(min=1)
    loss = 0.5 * functional.binary_cross_entropy_with_logits(logits, target, reduction="sum")
    if positive.any():
        weight, goal = soft[positive], picked[positive][:, 1:]
        loss = loss + 7.5 * ((1 - overlap(boxes[positive], goal)) * weight).sum()
        _, cell = positive.nonzero(as_tuple=True)
        stride = head.strides[0, cell, None]
        centre = head.anchors[0].T[cell]
        sides = torch.cat([centre - goal[:, :2] / stride, goal[:, 2:] / stride - centre], 1)
        bins = distances.view(len(raw), 4, BINS, -1).permute(0, 3, 1, 2)[positive]
        spread = distribution_loss(bins, sides.clamp(0, BINS - 1.01))
        loss = loss + 1.5 * (spread * weight).sum()
    return loss / total


def train_detector(path: Path) -> None:
    """Renders the training scenes, trains, and writes the float graph to ``path``."""
    torch.manual_seed(1)
    rng = np.random.default_rng(1)
    pictures, truth = _collate([letterboxed_scene(rng) for _ in range(SCENES)])
    net = Detector(len(DETECTED)).to(memory_format=torch.channels_last)
    weights = sum(value.numel() for value in net.parameters())
    print(f"detector: {SCENES} scenes, {weights} weights", flush=True)

    def loss_of_step(net: nn.Module, _step: int) -> Tensor:
        batch = torch.randint(SCENES, (BATCH,))
        across, down = torch.rand(2) < 0.5
        return detection_loss(net, *_flip(pictures[batch], truth[batch], bool(across), bool(down)))

    fit(net, loss_of_step, STEPS, 3e-3, "detector")
    export(net, path, (1, 3, SIZE, SIZE), ("images", "output0"), _metadata())


def _metadata() -> dict[str, str]:
    """Metadata under the keys that Ultralytics' exporter writes."""
    return {
        "description": "Small YOLOv8-like detector trained on rendered scenes",
        "task": "detect",
        "stride": str(max(8, 16, 32)),
        "batch": "1",
        "imgsz": str([SIZE, SIZE]),
        "names": str(dict(enumerate(DETECTED))),
    }
