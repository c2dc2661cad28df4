"""Attention and its gradients in NumPy's float64, for some of a batch's rows and heads."""

from typing import NamedTuple

import numpy as np

CHUNK = 512  # queries at a time
NAMES = ("output", "query_gradient", "key_gradient", "value_gradient")


class Truth(NamedTuple):
    """What a program should give.

    Attributes:
        places: the pairs of row and head that were computed.
        visible: how many keys may be seen, at each of these.
        results: by the names in `NAMES`, ``(places, length, depth)``.
    """

    places: list[tuple[int, int]]
    visible: list[int]
    results: dict[str, np.ndarray]

    def errors(self, found: dict[str, np.ndarray], with_empty_rows: bool) -> dict[str, float]:
        """Distance from the truth, as a share of the truth's size.

        Args:
            found: results by name, ``(batch, length, heads, depth)``.
            with_empty_rows: whether places without any visible key count.
        """
        counted = [i for i, keys in enumerate(self.visible) if keys or with_empty_rows]
        errors = {}
        for name, array in found.items():
            actual = np.stack([self._at(array, i) for i in counted])
            expected = self.results[name][counted]
            size = max(float(np.linalg.norm(expected)), 1e-30)
            errors[name] = float(np.linalg.norm(actual - expected)) / size
        return errors

    def hidden_is_zero(self, found: dict[str, np.ndarray]) -> bool:
        """Whether hidden keys get no gradient, and queries without a key no output and gradient."""
        for name, array in found.items():
            is_of_keys = name in ("key_gradient", "value_gradient")
            for i, keys in enumerate(self.visible):
                hidden = self._at(array, i)[keys:] if is_of_keys or not keys else ()
                if np.any(hidden):
                    return False
        return True

    def _at(self, array, i) -> np.ndarray:
        row, head = self.places[i]
        return array[row, :, head].astype(np.float64)


def truth(inputs: dict[str, np.ndarray], causal: bool) -> Truth:
    """Computes the first rows and the last, of one head or two.

    Args:
        inputs: ``query``, ``key``, ``value`` and ``output_gradient``,
            ``(batch, length, heads, depth)``; ``key_lengths``, ``(batch,)``, or none of these.
        causal: whether later keys are hidden.
    """
    batch, length, heads, _ = inputs["query"].shape
    rows = sorted({*range(min(batch, 3)), batch - 1})
    places = [(row, head) for row in rows for head in {0, heads - 1 if length <= 2048 else 0}]
    lengths = inputs.get("key_lengths", np.full(batch, length))
    visible = [int(lengths[row]) for row, _ in places]
    found = []
    for (row, head), keys in zip(places, visible, strict=True):
        tensors = [
            inputs[name][row, :, head].astype(np.float64)
            for name in ("query", "key", "value", "output_gradient")
        ]
        found.append(one_head(*tensors, keys, causal))
    results = [np.stack(arrays) for arrays in zip(*found, strict=True)]
    return Truth(places, visible, dict(zip(NAMES, results, strict=True)))


def one_head(query, key, value, output_gradient, visible: int, causal: bool):
    """Equation 1 and its derivatives, ``(length, depth)`` all.

    Args:
        visible: how many keys from the first on may be seen.
    """
    output, query_gradient, key_gradient, value_gradient = (
        np.zeros_like(x) for x in (query, query, key, value)
    )
    scale = query.shape[-1] ** -0.5
    for start in range(0, len(query), CHUNK):
        rows = slice(start, min(start + CHUNK, len(query)))
        keys = slice(min(visible, rows.stop) if causal else visible)
        if not keys.stop:
            continue
        weights = query[rows] @ key[keys].T * scale
        if causal:
            weights[np.arange(keys.stop) > np.arange(start, rows.stop)[:, np.newaxis]] = -np.inf
        weights -= weights.max(axis=-1, keepdims=True)
        np.exp(weights, out=weights)
        weights /= weights.sum(axis=-1, keepdims=True)
        output[rows] = weights @ value[keys]
        value_gradient[keys] += weights.T @ output_gradient[rows]
        mean = (output_gradient[rows] * output[rows]).sum(axis=-1, keepdims=True)
        weights *= output_gradient[rows] @ value[keys].T - mean
        weights *= scale  # now the gradients of the logits
        query_gradient[rows] = weights @ key[keys]
        key_gradient[keys] += weights.T @ query[rows]
    return output, query_gradient, key_gradient, value_gradient
