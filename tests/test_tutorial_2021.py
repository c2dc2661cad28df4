"""The steps of the 2021 notebook, its definitions replaced by `keras_transformer.edition_2019`."""

import keras
import matplotlib
import numpy as np
import pytest
import tensorflow as tf
from matplotlib import pyplot as plt

import keras_transformer as kt
from keras_transformer.edition_2019 import (
    CustomSchedule,
    Decoder,
    DecoderLayer,
    Encoder,
    EncoderLayer,
    ExportTranslator,
    MultiHeadAttention,
    Transformer,
    Translator,
    create_look_ahead_mask,
    create_masks,
    create_padding_mask,
    plot_attention_head,
    plot_attention_weights,
    point_wise_feed_forward_network,
    positional_encoding,
    print_translation,
    scaled_dot_product_attention,
)

num_layers, d_model, num_heads, dff, dropout_rate = 2, 32, 4, 64, 0.0
MAX_TOKENS = 24
BATCH_SIZE = 4
EPOCHS = 3
REPEATS = 40


@pytest.fixture(scope="module", autouse=True)
def _no_window():
    backend = matplotlib.get_backend()
    plt.switch_backend("Agg")
    yield
    plt.close("all")
    plt.switch_backend(backend)


# ------------------------------------------------------------------------------ layer by layer


def test_positional_encoding_is_drawn_with_sines_and_cosines_apart():
    n, d = 2048, 512
    pos_encoding = positional_encoding(n, d)
    assert pos_encoding.shape == (1, n, d)
    pos_encoding = tf.reshape(pos_encoding[0], (n, d // 2, 2))
    pos_encoding = tf.reshape(tf.transpose(pos_encoding, (2, 1, 0)), (d, n))
    plt.pcolormesh(pos_encoding, cmap="RdBu")
    # Reordered so, it is the newer edition's.
    np.testing.assert_allclose(
        tf.transpose(pos_encoding), kt.positional_encoding(length=n, depth=d), atol=1e-6
    )


def test_masks_mark_what_is_hidden_with_one():
    x = tf.constant([[7, 6, 0, 0, 1], [1, 2, 3, 0, 0], [0, 0, 0, 4, 5]])
    np.testing.assert_array_equal(
        create_padding_mask(x)[:, 0, 0], [[0, 0, 1, 1, 0], [0, 0, 0, 1, 1], [1, 1, 1, 0, 0]]
    )
    x = tf.random.uniform((1, 3))
    np.testing.assert_array_equal(
        create_look_ahead_mask(x.shape[1]), [[0, 1, 1], [0, 0, 1], [0, 0, 0]]
    )


def test_attention_looks_up_the_key_that_fits():
    temp_k = tf.constant([[10, 0, 0], [0, 10, 0], [0, 0, 10], [0, 0, 10]], dtype=tf.float32)
    temp_v = tf.constant([[1, 0], [10, 0], [100, 5], [1000, 6]], dtype=tf.float32)
    temp_q = tf.constant([[0, 0, 10], [0, 10, 0], [10, 10, 0]], dtype=tf.float32)
    temp_out, temp_attn = scaled_dot_product_attention(temp_q, temp_k, temp_v, None)
    np.testing.assert_allclose(
        temp_attn, [[0, 0, 0.5, 0.5], [0, 1, 0, 0], [0.5, 0.5, 0, 0]], atol=1e-6
    )
    np.testing.assert_allclose(temp_out, [[550, 5.5], [10, 0], [5.5, 0]], rtol=1e-5, atol=1e-5)


def test_multi_head_attention_and_the_feed_forward_network():
    temp_mha = MultiHeadAttention(d_model=512, num_heads=8)
    y = tf.random.uniform((1, 60, 512))
    out, attn = temp_mha(y, k=y, q=y, mask=None)
    assert out.shape == (1, 60, 512)
    assert attn.shape == (1, 8, 60, 60)
    sample_ffn = point_wise_feed_forward_network(512, 2048)
    assert sample_ffn(tf.random.uniform((64, 50, 512))).shape == (64, 50, 512)


def test_sample_layers_take_training_and_masks_by_position():
    sample_encoder_layer = EncoderLayer(d_model=512, num_heads=8, dff=2048)
    sample_encoder_layer_output = sample_encoder_layer(
        tf.random.uniform((64, 43, 512)), False, None
    )
    assert sample_encoder_layer_output.shape == (64, 43, 512)

    sample_decoder_layer = DecoderLayer(d_model=512, num_heads=8, dff=2048)
    sample_decoder_layer_output, attn1, attn2 = sample_decoder_layer(
        tf.random.uniform((64, 50, 512)), sample_encoder_layer_output, False, None, None
    )
    assert sample_decoder_layer_output.shape == (64, 50, 512)
    assert attn1.shape == (64, 8, 50, 50)
    assert attn2.shape == (64, 8, 50, 43)


def test_sample_stacks():
    sample_encoder = Encoder(num_layers=2, d_model=512, num_heads=8, dff=2048, input_vocab_size=850)
    temp_input = tf.random.uniform((8, 62), dtype=tf.int64, minval=0, maxval=200)
    sample_encoder_output = sample_encoder(temp_input, training=False, mask=None)
    assert sample_encoder_output.shape == (8, 62, 512)

    sample_decoder = Decoder(
        num_layers=2, d_model=512, num_heads=8, dff=2048, target_vocab_size=800
    )
    temp_input = tf.random.uniform((8, 26), dtype=tf.int64, minval=0, maxval=200)
    output, attn = sample_decoder(
        temp_input,
        enc_output=sample_encoder_output,
        training=False,
        look_ahead_mask=None,
        padding_mask=None,
    )
    assert output.shape == (8, 26, 512)
    assert attn["decoder_layer2_block2"].shape == (8, 8, 26, 62)


@pytest.mark.parametrize(
    "call",
    [
        lambda model, inp, tar: model([inp, tar], training=False),
        lambda model, inp, tar: model(
            inp,
            tar,
            training=False,
            enc_padding_mask=None,
            look_ahead_mask=None,
            dec_padding_mask=None,
        ),
    ],
    ids=["2021", "2019"],
)
def test_sample_model(call):
    sample_transformer = Transformer(
        num_layers=2,
        d_model=64,
        num_heads=8,
        dff=128,
        input_vocab_size=850,
        target_vocab_size=800,
        pe_input=1000,
        pe_target=600,
    )
    temp_input = tf.random.uniform((8, 38), dtype=tf.int64, minval=0, maxval=200)
    temp_target = tf.random.uniform((8, 36), dtype=tf.int64, minval=0, maxval=200)
    fn_out, _ = call(sample_transformer, temp_input, temp_target)
    assert fn_out.shape == (8, 36, 800)


# ------------------------------------------------------------------------------------- training


@pytest.fixture(scope="module")
def pairs():
    """Pairs of the sample corpus, few enough to be learned by heart."""
    examples = kt.load_corpus("sample").train.take(6)
    return [(pt.numpy().decode(), en.numpy().decode()) for pt, en in examples]


@pytest.fixture(scope="module")
def tokenizers(pairs):
    corpus = kt.Corpus(name="few", train=as_dataset(pairs))
    return kt.train_tokenizers(corpus, vocab_size=200)


def as_dataset(pairs):
    return tf.data.Dataset.from_tensor_slices(tuple(map(list, zip(*pairs, strict=True))))


@pytest.fixture(scope="module")
def train_batches(pairs, tokenizers):
    def tokenize_pairs(pt, en):
        return tokenizers.pt.tokenize(pt).to_tensor(), tokenizers.en.tokenize(en).to_tensor()

    return (
        as_dataset(pairs)
        .repeat(REPEATS)
        .shuffle(200, seed=1)
        .batch(BATCH_SIZE)
        .map(tokenize_pairs, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )


def make_transformer(tokenizers, num_layers=num_layers):
    return Transformer(
        num_layers=num_layers,
        d_model=d_model,
        num_heads=num_heads,
        dff=dff,
        input_vocab_size=tokenizers.pt.get_vocab_size().numpy(),
        target_vocab_size=tokenizers.en.get_vocab_size().numpy(),
        pe_input=1000,
        pe_target=1000,
        rate=dropout_rate,
    )


def make_optimizer():
    learning_rate = CustomSchedule(d_model, warmup_steps=200)
    return tf.keras.optimizers.Adam(learning_rate, beta_1=0.9, beta_2=0.98, epsilon=1e-9)


loss_object = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="none")


def loss_function(real, pred):
    mask = tf.cast(real != 0, tf.float32)
    return tf.reduce_sum(loss_object(real, pred) * mask) / tf.reduce_sum(mask)


def call_with_masks(transformer, inp, tar_inp):
    enc_padding_mask, combined_mask, dec_padding_mask = create_masks(inp, tar_inp)
    return transformer(inp, tar_inp, True, enc_padding_mask, combined_mask, dec_padding_mask)


def call_with_list(transformer, inp, tar_inp):
    return transformer([inp, tar_inp], training=True)


def make_train_step(transformer, optimizer, call):
    ids = tf.TensorSpec(shape=(None, None), dtype=tf.int64)

    @tf.function(input_signature=[ids, ids])
    def train_step(inp, tar):
        tar_inp, tar_real = tar[:, :-1], tar[:, 1:]
        with tf.GradientTape() as tape:
            predictions, _ = call(transformer, inp, tar_inp)
            loss = loss_function(tar_real, predictions)
        gradients = tape.gradient(loss, transformer.trainable_variables)
        optimizer.apply_gradients(zip(gradients, transformer.trainable_variables, strict=True))
        return loss

    return train_step


def test_a_step_reaches_every_weight_and_both_conventions_take_the_same(tokenizers, train_batches):
    inp, tar = next(iter(train_batches))
    models, losses = [], []
    for call in (call_with_masks, call_with_list):
        keras.utils.set_random_seed(5)
        transformer = make_transformer(tokenizers, num_layers=1)
        before = [weight.numpy() for weight in transformer.trainable_weights]
        train_step = make_train_step(transformer, tf.keras.optimizers.Adam(1e-3), call)
        train_step = train_step.python_function  # the loop below tries it as a graph
        losses.append([float(train_step(inp, tar)) for _ in range(4)])
        for weight, old in zip(transformer.trainable_weights, before, strict=True):
            if weight.path.endswith("key/bias"):
                continue  # adds the same to all logits of a query
            assert np.abs(weight.numpy() - old).max() > 1e-5, weight.path
        models.append(transformer)
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
    assert losses[0] == sorted(losses[0], reverse=True)
    outputs = [model([inp, tar], training=False)[0] for model in models]
    np.testing.assert_allclose(outputs[0], outputs[1], atol=1e-2)


@pytest.fixture(scope="module")
def trained(tokenizers, train_batches, tmp_path_factory):
    """A trained model, its optimizer and its checkpoints, written after every epoch."""
    keras.utils.set_random_seed(2021)
    transformer, optimizer = make_transformer(tokenizers), make_optimizer()
    ckpt = tf.train.Checkpoint(transformer=transformer, optimizer=optimizer)
    folder = str(tmp_path_factory.mktemp("checkpoints"))
    ckpt_manager = tf.train.CheckpointManager(ckpt, folder, max_to_keep=2)
    assert ckpt_manager.latest_checkpoint is None

    train_loss = tf.keras.metrics.Mean(name="train_loss")
    train_step = make_train_step(transformer, optimizer, call_with_list)
    losses = []
    for _ in range(EPOCHS):
        train_loss.reset_state()
        for inp, tar in train_batches:
            train_loss(train_step(inp, tar))
        losses.append(float(train_loss.result()))
        ckpt_manager.save()
    return transformer, optimizer, ckpt_manager, losses


@pytest.mark.slow
def test_the_loop_learns(trained):
    losses = trained[3]
    assert losses[-1] < 0.1 < 2 < losses[0]


def test_a_checkpoint_restores_model_and_optimizer(trained, tokenizers, train_batches):
    transformer, optimizer, ckpt_manager, _ = trained
    assert len(ckpt_manager.checkpoints) == 2
    inp, tar = next(iter(train_batches))
    expected = transformer([inp, tar[:, :-1]], training=False)[0]

    fresh, fresh_optimizer = make_transformer(tokenizers), make_optimizer()
    assert np.abs(fresh([inp, tar[:, :-1]], training=False)[0] - expected).max() > 1
    ckpt = tf.train.Checkpoint(transformer=fresh, optimizer=fresh_optimizer)
    manager = tf.train.CheckpointManager(ckpt, ckpt_manager.directory, max_to_keep=2)
    assert manager.latest_checkpoint == ckpt_manager.latest_checkpoint
    fresh_optimizer.build(fresh.trainable_variables)
    ckpt.restore(manager.latest_checkpoint).assert_existing_objects_matched()
    np.testing.assert_allclose(fresh([inp, tar[:, :-1]], training=False)[0], expected, atol=1e-4)
    assert int(fresh_optimizer.iterations) == int(optimizer.iterations) > 0
    for moment, original in zip(fresh_optimizer.variables, optimizer.variables, strict=True):
        np.testing.assert_array_equal(moment, original)


# --------------------------------------------------------------------------------- translations


@pytest.fixture(scope="module")
def translator(tokenizers, trained):
    return Translator(tokenizers, trained[0])


def test_it_reproduces_what_it_has_learned(translator, pairs, capsys):
    for sentence, ground_truth in pairs:
        text, _, _ = translator(tf.constant(sentence))
        assert text.numpy().decode("utf-8") == ground_truth
        print_translation(sentence, text, ground_truth)
    assert capsys.readouterr().out.count(ground_truth) == 2


def test_the_third_value_is_the_dictionary_of_all_weights(translator, tokenizers, pairs):
    sentence, ground_truth = pairs[0]
    text, translated_tokens, attention_weights = translator(tf.constant(sentence))
    assert text.shape == ()
    assert translated_tokens[0] == b"[START]"
    assert translated_tokens[-1] == b"[END]"
    pt = tokenizers.pt.tokenize(tf.constant([sentence])).to_tensor()
    en = tokenizers.en.tokenize(tf.constant([ground_truth])).to_tensor()
    source, target = pt.shape[1], len(translated_tokens) - 1
    assert {name: tuple(value.shape) for name, value in attention_weights.items()} == {
        f"decoder_layer{layer}_block{block}": (1, num_heads, target, {1: target, 2: source}[block])
        for layer in range(1, num_layers + 1)
        for block in (1, 2)
    }
    _, expected = translator.transformer([pt, en[:, :-1]], training=False)
    for name, value in attention_weights.items():
        np.testing.assert_allclose(value, expected[name], atol=1e-4)


def test_the_dictionary_is_given_inside_a_graph_too(translator, pairs):
    sentence = tf.constant(pairs[0][0])
    text, _, weights = tf.function(translator)(sentence, MAX_TOKENS)
    expected_text, _, expected = translator(sentence, max_length=MAX_TOKENS)
    assert text == expected_text
    assert set(weights) == set(expected)
    for name, value in weights.items():
        np.testing.assert_allclose(value, expected[name], atol=1e-4)


def test_the_attention_can_be_drawn(translator, tokenizers, pairs):
    sentence = pairs[0][0]
    _, translated_tokens, attention_weights = translator(tf.constant(sentence))
    in_tokens = tf.convert_to_tensor([sentence])
    in_tokens = tokenizers.pt.tokenize(in_tokens).to_tensor()
    in_tokens = tokenizers.pt.lookup(in_tokens)[0]
    name = f"decoder_layer{num_layers}_block2"

    attention_heads = tf.squeeze(attention_weights[name], 0)
    plt.figure()
    plot_attention_head(in_tokens, translated_tokens, attention_heads[0])
    ax = plt.gca()
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        token.decode() for token in translated_tokens.numpy()[1:]
    ]
    np.testing.assert_allclose(ax.images[0].get_array(), attention_heads[0], atol=1e-6)

    figure = plot_attention_weights(
        sentence, translated_tokens, attention_weights[name][0], tokenizers=tokenizers
    )
    assert sum(ax.get_xlabel().startswith("Head") for ax in figure.axes) == num_heads


@pytest.mark.slow
def test_the_export_reloads_and_gives_the_same(translator, pairs, tmp_path):
    export = ExportTranslator(translator)
    sentences = tf.constant([pt for pt, _ in pairs])
    expected = [en.encode() for _, en in pairs]
    assert export(sentences[0]).numpy() == expected[0]
    tf.saved_model.save(export, export_dir=str(tmp_path / "translator"))
    reloaded = tf.saved_model.load(str(tmp_path / "translator"))
    assert reloaded(sentences[0]).shape == ()
    assert reloaded(sentences[0]).numpy() == expected[0]
    assert reloaded(sentences).numpy().tolist() == expected
