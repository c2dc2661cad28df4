"""Records small answers of PyTorch that the tests compare with.

    pip install torch==2.13.0
    python tests/peers/record_torch_answers.py [--output FILE.npz] [--seed N]

PyTorch is a heavy install, so its answers are committed and the default tests need numpy alone.
Every number the answers follow from (weights, inputs, masks) is drawn by numpy and stored beside
them under ``<case>/...``; dropout is 0 throughout.
"""

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from torch import nn

ANSWERS = Path(__file__).with_name("torch_answers.npz")

BATCH, SOURCE, TARGET = 3, 6, 5
D_MODEL, HEADS, DFF, LAYERS, VOCABULARY = 8, 2, 12, 2, 11


def randomise(module: nn.Module, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draws every weight of `module` and returns them by PyTorch's names."""
    weights = {}
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            values = rng.normal(scale=0.3, size=tuple(parameter.shape)).astype("float32")
            if "norm" in name and name.endswith("weight"):
                values += 1
            parameter.copy_(torch.from_numpy(values))
            weights[name] = values
    return weights


def padded_ids(rng: np.random.Generator, length: int) -> np.ndarray:
    """Token ids 1 to VOCABULARY - 1; every row but the first ends with padding."""
    ids = rng.integers(1, VOCABULARY, (BATCH, length))
    for row in range(1, BATCH):
        ids[row, length - row :] = 0
    return ids


def attention_answers(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """`nn.MultiheadAttention`: cross-attention and self-attention, with every kind of mask."""
    module = nn.MultiheadAttention(D_MODEL, HEADS, batch_first=True)
    answers = {f"weights/{k}": v for k, v in randomise(module, rng).items()}
    query = rng.normal(size=(BATCH, TARGET, D_MODEL)).astype("float32")
    memory = rng.normal(size=(BATCH, SOURCE, D_MODEL)).astype("float32")
    memory_padding, query_padding = padded_ids(rng, SOURCE) == 0, padded_ids(rng, TARGET) == 0
    future = np.triu(np.ones((TARGET, TARGET), bool), k=1)  # in PyTorch True means hidden
    answers |= {
        "query": query,
        "memory": memory,
        "memory_padding": memory_padding,
        "query_padding": query_padding,
    }
    q, kv = torch.from_numpy(query), torch.from_numpy(memory)
    for name, keys, padding, mask in (
        ("cross", kv, None, None),
        ("cross_padded", kv, memory_padding, None),
        ("self", q, None, None),
        ("self_padded", q, query_padding, None),
        ("self_causal", q, None, future),
        ("self_padded_causal", q, query_padding, future),
    ):
        output, weights = module(
            q,
            keys,
            keys,
            key_padding_mask=None if padding is None else torch.from_numpy(padding),
            attn_mask=None if mask is None else torch.from_numpy(mask),
            average_attn_weights=False,
        )
        answers[f"{name}/output"] = output.detach().numpy()
        answers[f"{name}/attention"] = weights.detach().numpy()
    return answers


def sinusoids(length: int) -> torch.Tensor:
    """Positional encoding as PyTorch's own Transformer tutorial writes it."""
    position = torch.arange(length).unsqueeze(1)
    rates = torch.exp(torch.arange(0, D_MODEL, 2) * (-math.log(10000.0) / D_MODEL))
    encoding = torch.zeros(length, D_MODEL)
    encoding[:, 0::2] = torch.sin(position * rates)
    encoding[:, 1::2] = torch.cos(position * rates)
    return encoding


class Seq2Seq(nn.Module):
    """`nn.Transformer` between embeddings and a generator of logits.

    `nn.Transformer` builds its stacks with a final norm whatever `norm_first` says. The paper's
    post-norm model has none, so there the stacks are handed over without; every layer is
    PyTorch's own in both cases.
    """

    def __init__(self, norm_first: bool, activation: str):
        super().__init__()
        options = {
            "d_model": D_MODEL,
            "nhead": HEADS,
            "dim_feedforward": DFF,
            "dropout": 0.0,
            "activation": activation,
            "norm_first": norm_first,
            "batch_first": True,
        }
        stacks = {}
        if not norm_first:
            stacks = {
                "custom_encoder": nn.TransformerEncoder(
                    nn.TransformerEncoderLayer(**options), LAYERS, enable_nested_tensor=False
                ),
                "custom_decoder": nn.TransformerDecoder(
                    nn.TransformerDecoderLayer(**options), LAYERS
                ),
            }
        self.transformer = nn.Transformer(
            num_encoder_layers=LAYERS, num_decoder_layers=LAYERS, **options, **stacks
        )
        self.source_embedding = nn.Embedding(VOCABULARY, D_MODEL)
        self.target_embedding = nn.Embedding(VOCABULARY, D_MODEL)
        self.generator = nn.Linear(D_MODEL, VOCABULARY)

    def forward(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        def embed(table, ids):
            return table(ids) * math.sqrt(D_MODEL) + sinusoids(ids.shape[1])

        length = target.shape[1]
        vectors = self.transformer(
            embed(self.source_embedding, source),
            embed(self.target_embedding, target),
            tgt_mask=torch.triu(torch.ones(length, length, dtype=torch.bool), diagonal=1),
            src_key_padding_mask=source == 0,
            tgt_key_padding_mask=target == 0,
            memory_key_padding_mask=source == 0,
        )
        return self.generator(vectors)


def transformer_answers(
    rng: np.random.Generator, norm_first: bool, activation: str
) -> dict[str, np.ndarray]:
    """Logits and the gradients of their masked cross-entropy."""
    model = Seq2Seq(norm_first, activation)
    answers = {f"weights/{k}": v for k, v in randomise(model, rng).items()}
    source, target = padded_ids(rng, SOURCE), padded_ids(rng, TARGET)
    label = np.where(target == 0, 0, padded_ids(rng, TARGET)[:1])
    logits = model(torch.from_numpy(source), torch.from_numpy(target))
    loss = nn.functional.cross_entropy(
        logits.reshape(-1, VOCABULARY), torch.from_numpy(label).reshape(-1), ignore_index=0
    )
    loss.backward()
    gradients = {
        f"gradients/{name}": parameter.grad.numpy()
        for name, parameter in model.named_parameters()
        if name in ("source_embedding.weight", "target_embedding.weight", "generator.weight")
    }
    return {
        **answers,
        **gradients,
        "source": source,
        "target": target,
        "label": label,
        "logits": logits.detach().numpy(),
        "loss": loss.detach().numpy(),
    }


def cross_entropy_answers(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Cross-entropy over real tokens, plain and smoothed, with its gradient."""
    answers = {
        "logits": 2 * rng.normal(size=(BATCH, TARGET, VOCABULARY)).astype("float32"),
        "label": padded_ids(rng, TARGET),
    }
    for smoothing in (0.0, 0.1, 0.4):
        logits = torch.from_numpy(answers["logits"]).requires_grad_()
        loss = nn.functional.cross_entropy(
            logits.reshape(-1, VOCABULARY),
            torch.from_numpy(answers["label"]).reshape(-1),
            ignore_index=0,
            label_smoothing=smoothing,
        )
        loss.backward()
        answers[f"loss/{smoothing}"] = loss.detach().numpy()
        answers[f"gradient/{smoothing}"] = logits.grad.numpy()
    return answers


def all_answers(seed: int) -> dict[str, np.ndarray]:
    """Every answer under its full name."""
    cases = {
        "attention": attention_answers(np.random.default_rng(seed)),
        "post_norm": transformer_answers(np.random.default_rng(seed + 1), False, "relu"),
        "pre_norm": transformer_answers(np.random.default_rng(seed + 2), True, "gelu"),
        "cross_entropy": cross_entropy_answers(np.random.default_rng(seed + 3)),
    }
    return {
        f"{case}/{name}": np.asarray(values)
        for case, answers in cases.items()
        for name, values in answers.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=ANSWERS)
    parser.add_argument("--seed", type=int, default=2017)
    arguments = parser.parse_args()
    answers = all_answers(arguments.seed)
    np.savez_compressed(arguments.output, **answers)
    print(f"{len(answers)} arrays, {arguments.output.stat().st_size:,} bytes: {arguments.output}")


if __name__ == "__main__":
    main()
