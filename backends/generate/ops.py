# SPDX-License-Identifier: GPL-3.0-or-later
"""The few array operations that the networks need, once in numpy and once in torch. Knows no networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Tensor = Any  # a numpy array or a torch tensor: whichever its Ops made
Floats = NDArray[np.float32]


class Ops(Protocol):
    """What differs between the two; `+ - * @`, slices, `shape` and `reshape` do not."""

    name: str

    def floats(self, values: NDArray[Any]) -> Tensor: ...
    def indices(self, values: NDArray[Any]) -> Tensor: ...
    def numpy(self, values: Tensor) -> NDArray[Any]: ...
    def concat(self, parts: Sequence[Tensor], axis: int) -> Tensor: ...
    def swap(self, x: Tensor, a: int, b: int) -> Tensor: ...
    def pad_time(self, x: Tensor, before: int, after: int) -> Tensor: ...
    def double_time(self, x: Tensor) -> Tensor: ...
    def where(self, condition: Tensor, a: Tensor, b: Tensor) -> Tensor: ...
    def relu(self, x: Tensor) -> Tensor: ...
    def softmax(self, x: Tensor) -> Tensor: ...
    def layer_norm(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor: ...


class NumpyOps:
    """On the processor, with numpy alone."""

    name = "numpy"

    def floats(self, values: NDArray[Any]) -> Floats:
        return np.ascontiguousarray(values, dtype=np.float32)

    def indices(self, values: NDArray[Any]) -> NDArray[np.int64]:
        return np.asarray(values, dtype=np.int64)

    def numpy(self, values: NDArray[Any]) -> NDArray[Any]:
        return values

    def concat(self, parts: Sequence[Floats], axis: int) -> Floats:
        return np.concatenate(parts, axis=axis)

    def swap(self, x: Floats, a: int, b: int) -> Floats:
        return np.swapaxes(x, a, b)

    def pad_time(self, x: Floats, before: int, after: int) -> Floats:
        return np.pad(x, ((0, 0), (before, after), (0, 0)))

    def double_time(self, x: Floats) -> Floats:
        return np.repeat(x, 2, axis=1)

    def where(self, condition: NDArray[np.bool_], a: Floats, b: Floats) -> Floats:
        return np.where(condition, a, b)

    def relu(self, x: Floats) -> Floats:
        return np.maximum(x, np.float32(0))

    def softmax(self, x: Floats) -> Floats:
        raised = np.exp(x - x.max(axis=-1, keepdims=True))
        return np.asarray(raised / raised.sum(axis=-1, keepdims=True))

    def layer_norm(self, x: Floats, weight: Floats, bias: Floats) -> Floats:
        centred = x - x.mean(axis=-1, keepdims=True)
        scale = np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True) + np.float32(1e-5))
        return np.asarray(centred / scale * weight + bias)


class TorchOps:
    """With torch, on the processor or a graphics card. `device` as torch names it: "cpu", "cuda"."""

    def __init__(self, device: str = "cpu") -> None:
        import torch  # noqa: PLC0415 - only where somebody has it

        self._torch: Any = torch
        self._device = torch.device(device)
        self.name = f"torch on {device}"

    def floats(self, values: NDArray[Any]) -> Tensor:
        return self._torch.tensor(values, dtype=self._torch.float32, device=self._device)

    def indices(self, values: NDArray[Any]) -> Tensor:
        return self._torch.tensor(values, dtype=self._torch.int64, device=self._device)

    def numpy(self, values: Tensor) -> NDArray[Any]:
        out: NDArray[Any] = values.detach().cpu().numpy()
        return out

    def concat(self, parts: Sequence[Tensor], axis: int) -> Tensor:
        return self._torch.cat(list(parts), dim=axis)

    def swap(self, x: Tensor, a: int, b: int) -> Tensor:
        return x.transpose(a, b)

    def pad_time(self, x: Tensor, before: int, after: int) -> Tensor:
        return self._torch.nn.functional.pad(x, (0, 0, before, after))

    def double_time(self, x: Tensor) -> Tensor:
        return x.repeat_interleave(2, dim=1)

    def where(self, condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
        return self._torch.where(condition.bool(), a, b)

    def relu(self, x: Tensor) -> Tensor:
        return self._torch.relu(x)

    def softmax(self, x: Tensor) -> Tensor:
        return self._torch.softmax(x, dim=-1)

    def layer_norm(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return self._torch.nn.functional.layer_norm(x, (x.shape[-1],), weight, bias)
