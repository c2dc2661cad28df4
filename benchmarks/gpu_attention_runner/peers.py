"""The attention of JAX and of PyTorch on the same inputs."""

from typing import Any

import jax
import numpy as np
from programs import gib_of
from timing import Contestant

JAX_CUDNN, JAX_XLA, PYTORCH = "JAX cuDNN", "JAX XLA", "PyTorch"

NAMES = ("query", "key", "value", "output_gradient", "key_lengths")


def compile_jax(inputs: dict[str, np.ndarray], causal: bool, backward: bool, implementation: str):
    """JAX's attention, compiled for its default device.

    Args:
        inputs: those of `NAMES` that there are, ``(batch, length, heads, depth)``.
        causal: whether later keys are hidden.
        backward: whether the gradients are computed, too.
        implementation: ``cudnn`` or ``xla``.
    """

    def call(query, key, value, output_gradient=None, key_lengths=None):
        if key_lengths is not None:  # a row without keys is beyond what cuDNN promises
            key_lengths = jax.numpy.maximum(key_lengths, 1)

        def attend(query, key, value):
            return jax.nn.dot_product_attention(
                query,
                key,
                value,
                is_causal=causal,
                key_value_seq_lengths=key_lengths,
                implementation=implementation,
            )

        if not backward:
            return (attend(query, key, value),)
        output, gradients = jax.vjp(attend, query, key, value)
        return output, *gradients(output_gradient)

    structs = {
        name: jax.ShapeDtypeStruct(array.shape, array.dtype) for name, array in inputs.items()
    }
    return jax.jit(call).lower(**structs).compile()


def jax_contestant(name: str, compiled, tensors: dict[str, jax.Array]) -> Contestant:
    return Contestant(
        name=name,
        call=lambda: compiled(**tensors),
        wait=jax.block_until_ready,
        gib=gib_of(compiled),
        arrays=lambda results: [np.asarray(result) for result in results],
    )


def find_torch(on_gpu: bool):
    """PyTorch if it is there and can use the device, and otherwise why not."""
    try:
        import torch
    except ImportError as error:
        return None, f"not installed ({error})"
    if on_gpu and not torch.cuda.is_available():
        return None, f"{torch.__version__} sees no GPU"
    return torch, torch.__version__


def torch_contestant(
    torch, inputs: dict[str, np.ndarray], causal: bool, backward: bool, heads_first: bool
) -> Contestant:
    """PyTorch's scaled_dot_product_attention, which picks its own kernel.

    It has no lengths: where there are some it gets a mask.

    Args:
        heads_first: whether its inputs lie in memory as ``(batch, heads, length, depth)``, which
            saves it transposing.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    held_by_others = torch.cuda.memory_allocated() if device == "cuda" else 0

    def tensor(array):
        found = torch.from_numpy(np.array(array, np.float32)).to(device)
        found = found.to(getattr(torch, array.dtype.name)).transpose(1, 2)
        return found.contiguous() if heads_first else found

    tensors = [tensor(inputs[name]).detach() for name in NAMES[:3]]
    options: dict[str, Any] = {"is_causal": causal}
    if "key_lengths" in inputs:
        options = {"attn_mask": _torch_mask(torch, inputs, causal, device)}
    attend = torch.nn.functional.scaled_dot_product_attention
    output_gradient = tensor(inputs["output_gradient"]) if backward else None
    for each in tensors:
        each.requires_grad_(backward)

    def call():
        output = attend(*tensors, **options)
        if not backward:
            return (output,)
        return output, *torch.autograd.grad(output, tensors, output_gradient)

    def arrays(results):
        return [each.detach().transpose(1, 2).float().cpu().numpy() for each in results]

    def wait(_):
        if device == "cuda":
            torch.cuda.synchronize()

    gib = None
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        wait(call())
        gib = (torch.cuda.max_memory_allocated() - held_by_others) / 2**30
    name = f"{PYTORCH}, heads first" if heads_first else PYTORCH
    return Contestant(name, call, wait, gib, arrays)


def _torch_mask(torch, inputs, causal: bool, device: str):
    """bool, true where a key may be seen; broadcasts to ``(batch, heads, query, key)``."""
    length = inputs["key"].shape[1]
    lengths = torch.tensor(np.asarray(inputs["key_lengths"]), device=device)
    mask = torch.arange(length, device=device) < lengths[:, None, None, None]
    if causal:
        mask = mask & torch.ones((length, length), dtype=torch.bool, device=device).tril()
    return mask
