"""The classifier: a MobileNetV2-like net (depthwise convolutions, ReLU6) at 96x96."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sample_models.build import measure
from sample_models.build.reading import IMAGENET_MEAN, IMAGENET_STD
from sample_models.build.scenes import OBJECTS
from sample_models.build.training import export, fit, to_tensor, varied

SIZE = 96
PICTURES, STEPS, BATCH = 4000, 700, 64


class Conv(nn.Module):
    """Convolution, BatchNorm and, unless told otherwise, ReLU6 (a Clip in ONNX)."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        act: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False
        )
        self.bn = nn.BatchNorm2d(outputs)
        self.act = nn.ReLU6() if act else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.bn(self.conv(x)))


class Separable(nn.Module):
    """A depthwise convolution with nothing behind it (as in Xception), then a pointwise one."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.dw = Conv(inputs, inputs, 3, groups=inputs, act=False)
        self.pw = Conv(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.pw(self.dw(x))


class Inverted(nn.Module):
    """Expand, depthwise, project; a shortcut where the shape stays."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        wide = 3 * inputs
        self.expand = Conv(inputs, wide, 1)
        self.dw = Conv(wide, wide, 3, stride, groups=wide)
        self.project = Conv(wide, outputs, 1, act=False)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.dw(self.expand(x)))
        return x + y if self.shortcut else y


class Classifier(nn.Module):
    """Pictures [batch, 3, 96, 96], ImageNet mean and std, to logits [batch, classes]."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            Conv(3, 16, 3, 2),
            Separable(16, 24),
            Inverted(24, 32, 2),
            Inverted(32, 32, 1),
            Inverted(32, 48, 2),
            Inverted(48, 48, 1),
            Inverted(48, 64, 2),
            Inverted(64, 64, 1),
            Conv(64, 128, 1),
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(128, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.pool(self.features(x)).flatten(1))


def train_classifier(path: Path, seed: int) -> None:
    """Renders pictures, trains, and writes the float graph to ``path``."""
    torch.manual_seed(seed)
    rendered, labels = measure.objects(PICTURES, seed)
    small = [cv2.resize(picture, (SIZE, SIZE)) for picture in rendered]
    stack, target = torch.from_numpy(np.stack(small)), torch.from_numpy(labels)
    mean, std = (
        torch.from_numpy(values / 255).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD)
    )

    def loss_of_step(net: nn.Module, _step: int) -> Tensor:
        batch = torch.randint(len(stack), (BATCH,))
        x = (to_tensor(varied(stack[batch])) - mean) / std
        with torch.autocast("cpu", torch.bfloat16):
            logits = net(x)
        return functional.cross_entropy(logits.float(), target[batch], label_smoothing=0.05)

    net = Classifier(len(OBJECTS)).to(memory_format=torch.channels_last)
    print(f"classifier: {sum(value.numel() for value in net.parameters())} weights", flush=True)
    fit(net, loss_of_step, STEPS, 4e-3, f"classifier, seed {seed}")
    names = {"names": str(dict(enumerate(OBJECTS)))}
    export(net, path, (1, 3, SIZE, SIZE), ("input", "logits"), names)
