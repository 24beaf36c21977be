"""The detector: a small YOLOv8-like net (SiLU, C2f, SPPF, DFL head), 320x320, one output."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

SIZE = 320
STRIDES = (8, 16, 32)
BINS = 16  # of the DFL distribution over the distance to a box side, in strides


class Conv(nn.Module):
    """Convolution, BatchNorm, SiLU."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False
        )
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.03)
        self.act = nn.SiLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.bn(self.conv(x)))


class Bottleneck(nn.Module):
    """Two 3x3 convolutions, with a shortcut where asked for."""

    def __init__(self, channels: int, shortcut: bool) -> None:
        super().__init__()
        self.cv1 = Conv(channels, channels, 3)
        self.cv2 = Conv(channels, channels, 3)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        y = self.cv2(self.cv1(x))
        return x + y if self.shortcut else y


class C2f(nn.Module):
    """Splits the channels in two, refines one half, and joins all three."""

    def __init__(self, inputs: int, outputs: int, shortcut: bool = False) -> None:
        super().__init__()
        half = outputs // 2
        self.cv1 = Conv(inputs, outputs, 1)
        self.cv2 = Conv(3 * half, outputs, 1)
        self.m = nn.ModuleList([Bottleneck(half, shortcut)])

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.cv1(x).chunk(2, 1)
        return self.cv2(torch.cat([first, second, self.m[0](second)], 1))


class SPPF(nn.Module):
    """Three max pools in a row, joined: a view of the whole picture."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.cv1 = Conv(channels, channels // 2, 1)
        self.cv2 = Conv(channels * 2, channels, 1)
        self.m = nn.MaxPool2d(5, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        views = [self.cv1(x)]
        for _ in range(3):
            views.append(self.m(views[-1]))
        return self.cv2(torch.cat(views, 1))


class DFL(nn.Module):
    """The expected value of a distribution over bins, as a fixed 1x1 convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(BINS, 1, 1, bias=False).requires_grad_(False)
        self.conv.weight.data[:] = torch.arange(BINS, dtype=torch.float32).view(1, BINS, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        batch, _, cells = x.shape
        bins = x.view(batch, 4, BINS, cells).transpose(2, 1).softmax(1)
        return self.conv(bins).view(batch, 4, cells)


class Detect(nn.Module):
    """Box distributions and class logits at three strides; decoded into one output in eval."""

    anchors: Tensor
    strides: Tensor

    def __init__(self, classes: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.classes = classes
        self.cv2 = nn.ModuleList(
            nn.Sequential(Conv(c, 32, 3), Conv(32, 32, 3, groups=2), nn.Conv2d(32, 4 * BINS, 1))
            for c in channels
        )
        self.cv3 = nn.ModuleList(
            nn.Sequential(
                nn.Sequential(Conv(c, c, 3, groups=c), Conv(c, 32, 1)),
                nn.Sequential(Conv(32, 32, 3, groups=32), Conv(32, 32, 1)),
                nn.Conv2d(32, classes, 1),
            )
            for c in channels
        )
        self.dfl = DFL()
        for box, scores, stride in zip(self.cv2, self.cv3, STRIDES, strict=True):
            box[-1].bias.data[:] = 1.0
            scores[-1].bias.data[:] = -4.0 - 0.5 * (stride == 8)
        anchors, strides = _grid()
        self.register_buffer("anchors", anchors)
        self.register_buffer("strides", strides)

    def forward(self, levels: list[Tensor]) -> Tensor:
        raw = [
            torch.cat([box(x), scores(x)], 1)
            for box, scores, x in zip(self.cv2, self.cv3, levels, strict=True)
        ]
        joined = torch.cat([x.view(x.shape[0], 4 * BINS + self.classes, -1) for x in raw], 2)
        if self.training:
            return joined
        distances, logits = joined.split((4 * BINS, self.classes), 1)
        boxes = self._boxes(self.dfl(distances)) * self.strides
        return torch.cat([boxes, logits.sigmoid()], 1)

    def _boxes(self, distances: Tensor) -> Tensor:
        """Distances to the four sides, in strides, to centre and size, in strides."""
        left_top, right_bottom = distances.chunk(2, 1)
        first, last = self.anchors - left_top, self.anchors + right_bottom
        return torch.cat([(first + last) / 2, last - first], 1)


def _grid() -> tuple[Tensor, Tensor]:
    """Cell centres [1, 2, cells] in strides, and strides [1, cells] in pixels."""
    centres, strides = [], []
    for stride in STRIDES:
        axis = torch.arange(SIZE // stride) + 0.5
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        centres.append(torch.stack([x.flatten(), y.flatten()]))
        strides.append(torch.full((x.numel(),), float(stride)))
    return torch.cat(centres, 1)[None], torch.cat(strides)[None]


class Detector(nn.Module):
    """Pictures [batch, 3, 320, 320], RGB 0..1, to [batch, 4 + classes, 2100].

    The rows of the output are cx, cy, w, h in pixels, then a score 0..1 a class.
    """

    def __init__(
        self, classes: int, widths: tuple[int, int, int, int, int] = (16, 24, 32, 48, 64)
    ) -> None:
        super().__init__()
        a, b, c, d, e = widths
        self.model = nn.ModuleList(
            [
                Conv(3, a, 3, 2),
                Conv(a, b, 3, 2),
                C2f(b, b, True),
                Conv(b, c, 3, 2),
                C2f(c, c, True),
                Conv(c, d, 3, 2),
                C2f(d, d, True),
                Conv(d, e, 3, 2),
                C2f(e, e, True),
                SPPF(e),
                nn.Upsample(scale_factor=2),
                nn.Identity(),  # 11, 14, 17 and 20 are the joins: the numbers are YOLOv8's
                C2f(d + e, d),
                nn.Upsample(scale_factor=2),
                nn.Identity(),
                C2f(c + d, c),
                Conv(c, c, 3, 2),
                nn.Identity(),
                C2f(c + d, d),
                Conv(d, d, 3, 2),
                nn.Identity(),
                C2f(d + e, e),
                Detect(classes, (c, d, e)),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        layers = self.model
        for index in range(5):
            x = layers[index](x)
        fine = x
        middle = layers[6](layers[5](fine))
        coarse = layers[9](layers[8](layers[7](middle)))
        middle = layers[12](torch.cat([layers[10](coarse), middle], 1))
        fine = layers[15](torch.cat([layers[13](middle), fine], 1))
        middle = layers[18](torch.cat([layers[16](fine), middle], 1))
        coarse = layers[21](torch.cat([layers[19](middle), coarse], 1))
        return layers[22]([fine, middle, coarse])


def corner_boxes(head: Detect, distances: Tensor) -> Tensor:
    """Box logits [batch, 4 * BINS, cells] to x1 y1 x2 y2 in pixels, [batch, cells, 4]."""
    batch, _, cells = distances.shape
    bins = torch.arange(BINS, dtype=torch.float32)
    sides = (distances.view(batch, 4, BINS, cells).softmax(2) * bins.view(1, 1, -1, 1)).sum(2)
    left_top, right_bottom = sides.chunk(2, 1)
    corners = torch.cat([head.anchors - left_top, head.anchors + right_bottom], 1)
    return (corners * head.strides).transpose(1, 2)


def overlap(boxes: Tensor, truth: Tensor) -> Tensor:
    """CIoU (Zheng et al., 2020, arXiv:2005.03572) of boxes x1 y1 x2 y2, broadcast."""
    left_top = torch.maximum(boxes[..., :2], truth[..., :2])
    right_bottom = torch.minimum(boxes[..., 2:], truth[..., 2:])
    inner = (right_bottom - left_top).clamp(min=0).prod(-1)
    size, truth_size = boxes[..., 2:] - boxes[..., :2], truth[..., 2:] - truth[..., :2]
    iou = inner / (size.prod(-1) + truth_size.prod(-1) - inner + 1e-7)
    hull_low = torch.minimum(boxes[..., :2], truth[..., :2])
    hull_high = torch.maximum(boxes[..., 2:], truth[..., 2:])
    diagonal = (hull_high - hull_low).square().sum(-1) + 1e-7
    shift = (boxes[..., :2] + boxes[..., 2:] - truth[..., :2] - truth[..., 2:]).square().sum(-1) / 4
    turn = torch.atan(truth_size[..., 0] / (truth_size[..., 1] + 1e-7)) - torch.atan(
        size[..., 0] / (size[..., 1] + 1e-7)
    )
    shape = 4 / torch.pi**2 * turn.square()
    with torch.no_grad():
        weight = shape / (shape - iou + 1 + 1e-7)
    return iou - shift / diagonal - weight * shape


def distribution_loss(logits: Tensor, target: Tensor) -> Tensor:
    """DFL (Li et al., 2020, arXiv:2006.04388): logits [..., 4, BINS], target [..., 4]."""
    low = target.floor().clamp(max=BINS - 2)
    share = target - low
    logs = functional.log_softmax(logits, -1)
    first = logs.gather(-1, low.long().unsqueeze(-1)).squeeze(-1)
    second = logs.gather(-1, low.long().unsqueeze(-1) + 1).squeeze(-1)
    return -(first * (1 - share) + second * share).mean(-1)
