"""Generating: prompts do not mind each other, texts are prompts with continuations; perplexity."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.data.batches.texts import line_batches
from keras_transformer.data.tokenizers.wordpiece import WordPieceTokenizer
from keras_transformer.errors import InputError
from keras_transformer.losses.masked import masked_loss
from keras_transformer.models.gpt import GPT
from keras_transformer.translating.evaluation import perplexity
from keras_transformer.translating.generator import Generator

LINES = ["the cat sees a mouse .", "a dog reads the long book , and sleeps ."]
PROMPTS = ["a dog", "the cat sees", "", "the long"]
SAMPLES = {"sampling": True, "n_best": 2, "temperature": 2.0}


@pytest.fixture(scope="module")
def tokenizer():
    return WordPieceTokenizer.train(LINES * 5, vocab_size=60)


@pytest.fixture(scope="module")
def model(tokenizer):
    """A model that knows two lines by heart."""
    keras.utils.set_random_seed(7)
    model = GPT(
        vocab_size=tokenizer.get_vocab_size(),
        num_layers=1,
        d_model=16,
        num_heads=2,
        max_length=48,
        dropout_rate=0.0,
    )
    model.compile(optimizer=keras.optimizers.Adam(0.03), loss=masked_loss)
    batches = line_batches(LINES, tokenizer, length=47, batch_size=2, seed=1)
    model.fit(batches.dataset(), epochs=40, verbose=0)
    return model


@pytest.fixture(scope="module")
def generator(tokenizer, model):
    return Generator(tokenizer, model, jit_compile=False)


# Laws


def assert_same(actual, expected):
    for one, same in zip(actual, expected, strict=True):
        assert one.text == same.text
        assert one.tokens == same.tokens
        np.testing.assert_allclose(one.token_scores, same.token_scores, rtol=0, atol=1e-4)


@pytest.mark.parametrize("options", [{}, {"beam_size": 2, "n_best": 2}], ids=["greedy", "beams"])
def test_each_prompt_goes_on_as_it_does_alone(generator, options):
    options = {"max_new_tokens": 9, **options}
    together = generator.generate(PROMPTS, **options)
    alone = [generator.generate([prompt], **options)[0] for prompt in PROMPTS]
    assert_same(together, alone)
    for result, prompt in zip(together, PROMPTS, strict=True):
        assert result.text == prompt + result.continuation
        assert 1 <= len(result.tokens) == len(result.token_scores) <= 9
        assert not {"[START]", "[PAD]"} & set(result.tokens)
        assert result.score == pytest.approx(sum(result.token_scores), abs=1e-4)
        if "n_best" in options:
            assert len(result.alternatives) == 2
            assert result.alternatives[0].tokens == result.tokens
            ranks = [one.normalized_score for one in result.alternatives]
            assert ranks == sorted(ranks, reverse=True)
        else:
            assert result.alternatives is None


def test_samples_follow_from_the_seed_and_the_number_of_the_prompt(generator):
    def samples(prompts, seed, **options):
        results = generator.generate(prompts, max_new_tokens=9, seed=seed, **SAMPLES, **options)
        return [one for result in results for one in result.alternatives]

    together = samples(PROMPTS, 1)
    assert_same(samples(PROMPTS, 1), together)
    assert_same(samples(PROMPTS[1:], 1, first_stream=1), together[2:])
    assert [one.text for one in samples(PROMPTS, 2)] != [one.text for one in together]


@pytest.mark.slow
def test_compiled_programs_give_the_same(generator, tokenizer, model):
    compiled = Generator(tokenizer, model, jit_compile=True)
    options = {"max_new_tokens": 9}
    assert_same(compiled.generate(PROMPTS, **options), generator.generate(PROMPTS, **options))


# Examples


def test_a_line_known_by_heart_goes_on_to_its_end(generator):
    result, other = generator.generate(["the cat", "A dog reads"])
    assert result.text == "the cat sees a mouse."
    assert result.continuation == " sees a mouse."
    assert result.tokens[-1] == "[END]"
    assert -0.5 < result.score < 0
    assert other.text == "a dog reads the long book, and sleeps."
    corpus_style = generator.generate(["the cat"], style="corpus")[0]
    assert corpus_style.text == "the cat sees a mouse ."


def test_a_prompt_may_end_within_a_word(generator):
    result = generator.generate(["the c"], max_new_tokens=4)[0]
    assert result.text.startswith("the c")
    assert result.text == "the c" + result.continuation


def test_no_prompts_give_nothing(generator):
    assert generator.generate([]) == []


def test_a_text_ends_where_the_model_has_no_more_positions(generator, tokenizer):
    prompt = "a dog reads the long book" + " a cat" * 10
    taken = int(tokenizer.tokenize([prompt]).row_lengths()[0]) - 1
    assert 0 < 48 - taken < 20
    result = generator.generate([prompt], max_new_tokens=40)[0]
    assert len(result.tokens) <= 48 - taken


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompts": "a dog"}, "put it in a list"),
        ({"prompts": ["a", "a " * 60]}, "Prompt 2 has 61 tokens; a text has at most 48"),
        ({"prompts": ["a"], "max_new_tokens": 0}, "max_new_tokens is a whole number of at least 1"),
        ({"prompts": ["a"], "max_new_tokens": "4"}, "max_new_tokens"),
        ({"prompts": ["a"], "seed": 2**40}, "seed"),
        ({"prompts": ["a"], "first_stream": None}, "first_stream"),
        ({"prompts": ["a"], "beams": 4}, "beams"),
        ({"prompts": ["a"], "top_k": 4}, "set decoding.sampling"),
        ({"prompts": ["a"], "sampling": True, "mbr": 4}, "Minimum Bayes risk is for translations"),
        ({"prompts": ["a"], "shortlist": 4}, "A shortlist goes by a source"),
    ],
)
def test_wrong_input_is_refused(generator, arguments, message):
    with pytest.raises(InputError, match=message):
        generator.generate(**arguments)


def test_a_tokenizer_with_more_ids_than_the_model_knows_is_refused(tokenizer):
    size = int(tokenizer.get_vocab_size())
    small = GPT(vocab_size=size - 1, num_layers=1, d_model=8, num_heads=2, max_length=8)
    with pytest.raises(InputError, match=f"tokenizer has {size} ids, and the model knows"):
        Generator(tokenizer, small)


class Letters:
    """A tokenizer of another kind: a to h are 1 to 8, nothing begins a text, and 9 ends it."""

    end_id = 9

    def tokenize(self, strings):
        rows = [[ord(letter) - 96 for letter in text.decode()] for text in strings.numpy()]
        return tf.ragged.constant(rows, tf.int64, row_splits_dtype=tf.int64)

    def detokenize(self, ids, style):
        return tf.constant(["".join(chr(96 + i) for i in row) for row in ids.to_list()])

    def lookup(self, ids):
        names = [[chr(96 + i) for i in row] for row in ids.to_list()]
        return tf.ragged.constant(names, tf.string)


def test_a_tokenizer_may_have_ids_of_its_own():
    model = GPT(vocab_size=10, num_layers=1, d_model=4, num_heads=1, max_length=8)
    generator = Generator(Letters(), model, jit_compile=False)
    result = generator.generate(["cab"], max_new_tokens=3)[0]
    assert result.text == "cab" + result.continuation
    with pytest.raises(InputError, match="Prompt 1 has 0 tokens"):
        generator.generate([""])
    with pytest.raises(InputError, match="puts no end"):
        Generator(type("Endless", (Letters,), {"end_id": None})(), model)


# Perplexity


def test_who_knows_nothing_wavers_between_all_tokens():
    ids = np.array([[2, 5, 6, 0], [2, 9, 0, 0]])
    found = perplexity(lambda ids, training: tf.zeros((*ids.shape, 11)), [(ids, ids)])
    assert found.perplexity == pytest.approx(11)
    assert found.tokens == 5


def test_perplexity_is_of_all_tokens_however_they_are_batched(model, tokenizer):
    lines = [*LINES, "a mouse sleeps"]

    def batches(length, batch_size):
        made = line_batches(lines, tokenizer, length=length, batch_size=batch_size, shuffle=False)
        return made.tokens, perplexity(model, made.epoch(0))

    losses = []
    for line in lines:
        ids = tokenizer.tokenize([line]).numpy()[0]
        logits = tf.nn.log_softmax(model(ids[np.newaxis, :-1]))[0].numpy()
        losses += (-logits[np.arange(len(ids) - 1), ids[1:]]).tolist()
    for length, batch_size in ((30, 1), (40, 2)):
        tokens, found = batches(length, batch_size)
        assert found.tokens == tokens == len(losses)
        assert found.perplexity == pytest.approx(np.exp(np.mean(losses)), rel=1e-4)


def test_perplexity_of_nothing_is_refused(model):
    with pytest.raises(InputError, match="no token to predict"):
        perplexity(model, [(np.array([[2, 5]]), np.array([[0, 0]]))])
