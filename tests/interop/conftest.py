"""Tiny checkpoints, written by `transformers` itself."""

import pytest


@pytest.fixture(scope="session")
def peers():
    """`transformers`, with its torch on one thread; tests skip where it is missing."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    transformers = pytest.importorskip("transformers")
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    return transformers


@pytest.fixture(scope="session")
def random_peer(peers):
    """Makes a model of a configuration, all of whose weights matter; in inference."""
    import torch

    def make(kind, config):
        torch.manual_seed(1)
        model = getattr(peers, kind)(config)
        with torch.no_grad():
            for name, weight in (*model.named_parameters(), *model.named_buffers()):
                if weight.is_floating_point() and "embed_positions" not in name:
                    weight += 0.2 * torch.randn_like(weight)
        return model.eval()

    return make
