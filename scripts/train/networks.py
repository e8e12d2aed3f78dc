# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks in torch, for training: residual VQ-VAE, masked transformer with its text encoder, root refiner.

Their parameters' names and shapes are the file format of the weights: `backends/generate/network.py` runs the same
networks from them. A test holds the two against each other.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...backends.generate import representation as rep
from .config import Config

KINEMATIC = 2 * 3 * rep.JOINTS  # positions and velocities of the joints, what the encoder also sees
CONTROLS = 3  # metres a second to the left and forward, radians a second of turn


class Body(nn.Module):
    """Joint positions of features, differentiable. The chain is a sum, since rotations are of the world."""

    def __init__(self) -> None:
        super().__init__()
        chain = torch.zeros(rep.JOINTS, rep.JOINTS)
        for joint in range(1, rep.JOINTS):
            parent = int(rep.PARENTS[joint])
            chain[joint] = chain[parent]
            chain[joint, joint] = 1.0
        self.register_buffer("chain", chain, persistent=False)
        self.register_buffer("offsets", torch.tensor(rep.OFFSETS, dtype=torch.float32), persistent=False)
        self.parents = [max(int(p), 0) for p in rep.PARENTS]

    def forward(self, features: Tensor) -> Tensor:
        """Positions [..., 22, 3] in metres in the frame of the heading, the root at its height, of features [..., 140]."""
        columns = features[..., rep.ROTATIONS].unflatten(-1, (rep.JOINTS, 6))
        a = _unit(columns[..., :3])
        b = columns[..., 3:]
        b = _unit(b - (a * b).sum(-1, keepdim=True) * a)
        c = torch.stack([a[..., i] * b[..., j] - a[..., j] * b[..., i] for i, j in ((1, 2), (2, 0), (0, 1))], dim=-1)
        o = self.offsets
        p = self.parents
        bones = a[..., p, :] * o[:, :1] + b[..., p, :] * o[:, 1:2] + c[..., p, :] * o[:, 2:]
        points = torch.einsum("jk,...kd->...jd", self.chain, bones)
        lift = torch.zeros_like(points)
        lift[..., 1] = features[..., rep.HEIGHT]
        return points + lift


def _unit(x: Tensor) -> Tensor:
    return x * (x.square().sum(-1, keepdim=True) + 1e-12).rsqrt()


class Conv(nn.Module):
    """A convolution in time over [N, T, C], as one product of matrices: here far faster on a CPU than the library's own,
    and the same few lines in numpy. Ends are padded with zeros."""

    def __init__(self, inward: int, outward: int, size: int, *, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.size, self.stride, self.dilation = size, stride, dilation
        self.linear = nn.Linear(size * inward, outward)

    def forward(self, x: Tensor) -> Tensor:
        if self.size == 1:
            return self.linear(x)  # type: ignore[no-any-return]
        reach = self.dilation * (self.size - 1)
        before = (reach - self.stride + 1) // 2 + (reach - self.stride + 1) % 2
        padded = functional.pad(x, (0, 0, before, reach - self.stride + 1 - before))
        frames = x.shape[1]
        taps = [padded[:, i * self.dilation : i * self.dilation + frames : self.stride] for i in range(self.size)]
        return self.linear(torch.cat(taps, dim=-1))  # type: ignore[no-any-return]


class Residual(nn.Module):
    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.wide = Conv(width, width, 3, dilation=dilation)
        self.mix = Conv(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mix(functional.relu(self.wide(functional.relu(x))))  # type: ignore[no-any-return]


def _residuals(width: int, depth: int) -> nn.Sequential:
    return nn.Sequential(*(Residual(width, 3**i) for i in range(depth)))


class Encoder(nn.Module):
    """Features and kinematics [N, T, C] → codes' vectors [N, T / 4, code_width]."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        w = config.vq_width
        self.inward = Conv(config.features + KINEMATIC, w, 3)
        self.down1 = Conv(w, w, 4, stride=2)
        self.blocks1 = _residuals(w, config.vq_depth)
        self.down2 = Conv(w, w, 4, stride=2)
        self.blocks2 = _residuals(w, config.vq_depth)
        self.outward = Conv(w, config.code_width, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks1(self.down1(functional.relu(self.inward(x))))
        out: Tensor = self.outward(self.blocks2(self.down2(x)))
        return out


class Decoder(nn.Module):
    """Vectors of codes [N, T / 4, code_width] → normalised features [N, T, 140]."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        w = config.vq_width
        self.inward = Conv(config.code_width, w, 3)
        self.blocks1 = _residuals(w, config.vq_depth)
        self.up1 = Conv(w, w, 3)
        self.blocks2 = _residuals(w, config.vq_depth)
        self.up2 = Conv(w, w, 3)
        self.last = Conv(w, w, 3)
        self.outward = Conv(w, config.features, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks1(functional.relu(self.inward(x)))
        x = self.blocks2(self.up1(x.repeat_interleave(2, dim=1)))
        x = functional.relu(self.last(functional.relu(self.up2(x.repeat_interleave(2, dim=1)))))
        out: Tensor = self.outward(x)
        return out


class Quantiser(nn.Module):
    """Residual vector quantisation: each level codes what the levels before it left over.

    Codebooks follow the mean of what falls to them (exponential moving average); a code that is hardly used is put where
    a vector of the batch is.
    """

    def __init__(self, config: Config, decay: float = 0.98) -> None:
        super().__init__()
        self.decay = decay
        self.codebooks: Tensor
        self.counts: Tensor
        self.register_buffer("codebooks", torch.randn(config.levels, config.codes, config.code_width) * 0.02)
        self.register_buffer("counts", torch.zeros(config.levels, config.codes))
        self.register_buffer("sums", torch.zeros(config.levels, config.codes, config.code_width))

    def nearest(self, level: int, x: Tensor) -> Tensor:
        book = self.codebooks[level]
        return (book.square().sum(-1) - 2.0 * x @ book.T).argmin(-1)

    def forward(self, x: Tensor, levels: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Vectors [M, D] with the first `levels` levels → quantised [M, D] (gradient passes straight), commitment loss."""
        rest, total = x, torch.zeros_like(x)
        loss = x.new_zeros(())
        for level in range(levels):
            codes = self.nearest(level, rest.detach())
            if self.training:
                self._follow(level, rest.detach(), codes, generator)
            chosen = self.codebooks[level][codes]
            loss = loss + functional.mse_loss(rest, chosen)
            total, rest = total + chosen, rest - chosen
        return x + (total - x).detach(), loss / max(levels, 1)

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """Codes [M, levels] of vectors [M, D]."""
        rest, out = x, []
        for level in range(len(self.codebooks)):
            codes = self.nearest(level, rest)
            rest = rest - self.codebooks[level][codes]
            out.append(codes)
        return torch.stack(out, dim=-1)

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Vectors [..., D] of codes [..., levels]."""
        return torch.stack([self.codebooks[level][codes[..., level]] for level in range(codes.shape[-1])]).sum(0)

    @torch.no_grad()
    def _follow(self, level: int, x: Tensor, codes: Tensor, generator: torch.Generator) -> None:
        hot = functional.one_hot(codes, self.codebooks.shape[1]).to(x.dtype)
        self.counts[level].mul_(self.decay).add_(hot.sum(0), alpha=1 - self.decay)
        self.sums[level].mul_(self.decay).add_(hot.T @ x, alpha=1 - self.decay)
        unused = self.counts[level] < 0.5
        count = int(unused.sum())
        if count:
            pick = torch.randint(len(x), (count,), generator=generator)
            self.sums[level][unused] = x[pick]
            self.counts[level][unused] = 1.0
        self.codebooks[level] = self.sums[level] / self.counts[level][:, None]


class Attention(nn.Module):
    """Tokens look at each other and at the words of the text."""

    def __init__(self, config: Config, *, text: bool) -> None:
        super().__init__()
        w, self.heads = config.width, config.heads
        self.qkv = nn.Linear(w, 3 * w)
        self.words = nn.Linear(w, 2 * w) if text else None
        self.out = nn.Linear(w, w)

    def forward(self, x: Tensor, bias: Tensor, text: Tensor | None) -> Tensor:
        """x [N, T, W], bias [N, heads, T, T + S] on the scores, text [N, S, W] → [N, T, W]."""
        q, k, v = (y.unflatten(-1, (self.heads, -1)).transpose(1, 2) for y in self.qkv(x).chunk(3, dim=-1))
        if self.words is not None and text is not None:
            tk, tv = (y.unflatten(-1, (self.heads, -1)).transpose(1, 2) for y in self.words(text).chunk(2, dim=-1))
            k, v = torch.cat([k, tk], dim=2), torch.cat([v, tv], dim=2)
        seen = torch.softmax(q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5 + bias, dim=-1)
        out: Tensor = self.out((seen.to(v.dtype) @ v).transpose(1, 2).flatten(-2))
        return out


class Distance(nn.Module):
    """How much a token heeds another one so many tokens away: the same in all layers. Beyond `reach` all is equally far."""

    def __init__(self, heads: int, reach: int) -> None:
        super().__init__()
        self.reach = reach
        self.weight = nn.Parameter(torch.zeros(heads, 2 * reach + 1))

    def forward(self, valid: Tensor) -> Tensor:
        """valid [N, T] → [N, heads, T, T], very low where there is no token."""
        at = torch.arange(valid.shape[1], device=valid.device)
        near = self.weight[:, (at[None] - at[:, None]).clamp(-self.reach, self.reach) + self.reach]
        return near[None] + NOTHING * (~valid)[:, None, None]


NOTHING = -1e4  # on a score: as good as not there, and still a number in half precision


class Block(nn.Module):
    """Attention and a widening layer. In training a sample skips each now and then (dropout, at a fraction of its cost)."""

    def __init__(self, config: Config, *, text: bool) -> None:
        super().__init__()
        w = config.width
        self.norm1, self.norm2 = nn.LayerNorm(w), nn.LayerNorm(w)
        self.attention = Attention(config, text=text)
        self.widen, self.narrow = nn.Linear(w, config.hidden), nn.Linear(config.hidden, w)
        self.skip = config.dropout

    def forward(self, x: Tensor, bias: Tensor, text: Tensor | None = None) -> Tensor:
        x = x + self._kept(self.attention(self.norm1(x), bias, text))
        return x + self._kept(self.narrow(functional.relu(self.widen(self.norm2(x)))))

    def _kept(self, x: Tensor) -> Tensor:
        if not self.training or self.skip <= 0.0:
            return x
        return x * (torch.rand(len(x), 1, 1) >= self.skip).to(x.dtype) / (1.0 - self.skip)


class TextEncoder(nn.Module):
    """Words → a vector each, and what the whole text leads one to expect (log seconds, mean controls)."""

    def __init__(self, config: Config, words: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words + 1, config.width)  # the last one stands for "no text"
        self.distance = Distance(config.heads, config.max_words)
        self.blocks = nn.ModuleList(Block(config, text=False) for _ in range(config.text_layers))
        self.norm = nn.LayerNorm(config.width)
        self.estimate = nn.Linear(config.width, 1 + CONTROLS)

    def forward(self, words: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """words [N, S] → [N, S, W], estimates [N, 4]."""
        x = self.embedding(words)
        bias = self.distance(valid)
        for block in self.blocks:
            x = block(x, bias)
        x = self.norm(x)
        weight = valid[..., None].to(x.dtype)
        pooled = (x * weight).sum(1) / weight.sum(1).clamp(min=1.0)
        return x, self.estimate(pooled)


class TokenModel(nn.Module):
    """Guesses the hidden first codes of a motion from the shown ones, the words and the path."""

    def __init__(self, config: Config, words: int) -> None:
        super().__init__()
        w = config.width
        self.text = TextEncoder(config, words)
        self.codes = nn.Parameter(torch.randn(config.codes, w) * 0.02)
        self.hidden = nn.Parameter(torch.randn(w) * 0.02)
        self.control = nn.Linear(2 * CONTROLS, w)
        self.distance = Distance(config.heads, config.max_tokens)
        self.blocks = nn.ModuleList(Block(config, text=True) for _ in range(config.layers))
        self.norm = nn.LayerNorm(w)
        self.head = nn.Linear(w, config.codes)

    def forward(
        self, codes: Tensor, hidden: Tensor, control: Tensor, valid: Tensor, words: Tensor, words_valid: Tensor
    ) -> tuple[Tensor, Tensor]:
        """codes [N, T], hidden [N, T], control [N, T, 6] (values, then which are given), valid [N, T], words [N, S],
        words_valid [N, S] → scores [N, T, codes], estimates [N, 4]."""
        text, estimates = self.text(words, words_valid)
        x = torch.where(hidden[..., None], self.hidden, self.codes[codes]) + self.control(control)
        near = self.distance(valid)
        told = (NOTHING * (~words_valid))[:, None, None].expand(-1, near.shape[1], near.shape[2], -1)
        bias = torch.cat([near, told], dim=-1)
        for block in self.blocks:
            x = block(x, bias, text)
        return self.head(self.norm(x)), estimates


class Refiner(nn.Module):
    """A correction of the root's velocity (left, forward) of a motion: what the legs do says how far the body gets."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        w = config.refiner_width
        self.inward = Conv(config.features + KINEMATIC, w, 5)
        self.blocks = nn.Sequential(*(Residual(w, d) for d in (1, 3, 9)))
        self.outward = Conv(w, 2, 5)

    def forward(self, x: Tensor) -> Tensor:
        """[N, T, 272] → [N, T, 2] metres a second to be added."""
        out: Tensor = self.outward(functional.relu(self.blocks(functional.relu(self.inward(x)))))
        return out
