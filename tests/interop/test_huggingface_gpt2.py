"""GPT-2's checkpoints go on with texts as `transformers` does."""

import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.interop.huggingface import load_huggingface
from keras_transformer.translating.evaluation import perplexity
from keras_transformer.translating.generator import Generator

SIZES = {"vocab_size": 40, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 24}


@pytest.fixture(scope="module")
def gpt2(peers, random_peer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpt2")
    theirs = random_peer("GPT2LMHeadModel", peers.GPT2Config(**SIZES, eos_token_id=7))
    theirs.save_pretrained(folder)
    return theirs, load_huggingface(folder)


class IdTokenizer:
    """Texts are ids in digits, ours; id 8, which is 7 there, ends them."""

    end_id = 8

    def tokenize(self, strings):
        rows = [[int(word) for word in text.numpy().split()] for text in strings]
        return tf.ragged.constant([[*row, self.end_id] for row in rows], tf.int64)

    def lookup(self, ids):
        return ids.with_flat_values(tf.strings.as_string(ids.flat_values))

    def detokenize(self, ids, style):
        return tf.strings.reduce_join(self.lookup(ids), axis=-1, separator=" ")


@pytest.mark.parametrize("beams", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_continuations_are_the_same(gpt2, beams):
    import torch

    theirs, ours = gpt2
    prompts = [[5, 9, 11], [30], [21, 3, 4, 6, 17]]
    generator = Generator(IdTokenizer(), ours, jit_compile=False)
    found = generator.generate(
        [" ".join(str(token + 1) for token in prompt) for prompt in prompts],
        max_new_tokens=10,
        beam_size=beams,
        length_penalty=1.0,
    )
    for prompt, generation in zip(prompts, found, strict=True):
        expected = theirs.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones((1, len(prompt)), dtype=int),
            max_new_tokens=10,
            num_beams=beams,
            do_sample=False,
            early_stopping=True,
            pad_token_id=7,
        )
        expected = expected[0, len(prompt) :].tolist()
        assert [int(token) - 1 for token in generation.tokens] == expected


def test_padding_costs_gpt_no_probability(gpt2):
    import torch

    theirs, ours = gpt2
    text = torch.tensor([[5, 9, 11, 30, 2]])
    with torch.no_grad():
        loss = float(theirs(text, labels=text).loss)
    ids = text.numpy() + 1
    found = perplexity(ours, [(ids[:, :-1], ids[:, 1:])])
    assert np.log(found.perplexity) == pytest.approx(loss, abs=1e-4)
    assert not any(weight is ours.tied_bias for weight in ours.trainable_weights)
