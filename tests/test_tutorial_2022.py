"""The steps of the 2022 notebook, its definitions replaced by imports from this package.

Every call has the notebook's form. Two kinds of tokenizers go through all of them: this package's
own, and a converter such as the tutorial offers for download: a SavedModel around
`tensorflow_text.BertTokenizer`, loaded with `tf.saved_model.load`.
"""

import subprocess
import sys

import keras
import matplotlib
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text as tf_text
from matplotlib import pyplot as plt

import keras_transformer as kt
from keras_transformer import (
    CausalSelfAttention,
    CrossAttention,
    CustomSchedule,
    Decoder,
    DecoderLayer,
    Encoder,
    EncoderLayer,
    ExportTranslator,
    FeedForward,
    GlobalSelfAttention,
    PositionalEmbedding,
    Transformer,
    Translator,
    masked_accuracy,
    masked_loss,
    plot_attention_head,
    plot_attention_weights,
    positional_encoding,
    print_translation,
)

MAX_TOKENS = 24
BUFFER_SIZE = 200
BATCH_SIZE = 4
EPOCHS = 3
REPEATS = 40  # an epoch of few steps would be mostly preparation

num_layers, d_model, num_heads, dff, dropout_rate = 1, 32, 4, 64, 0.0


@pytest.fixture(scope="module", autouse=True)
def _no_window():
    backend = matplotlib.get_backend()
    plt.switch_backend("Agg")
    yield
    plt.close("all")
    plt.switch_backend(backend)


# ------------------------------------------------------------------------- text and its tokenizers


@pytest.fixture(scope="module")
def examples():
    """Pairs of the sample corpus, few enough to be learned by heart."""
    pairs = list(kt.load_corpus("sample").train.take(6))
    return tf.data.Dataset.from_tensor_slices(tuple(map(tf.stack, zip(*pairs, strict=True))))


class BertStyleTokenizer(tf.Module):
    """One language of a converter such as the tutorial's: four functions of fixed signatures."""

    def __init__(self, vocabulary, path):
        super().__init__()
        path.write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
        self.tokenizer = tf_text.BertTokenizer(str(path), lower_case=True)
        self.path = tf.saved_model.Asset(str(path))
        self.vocabulary = tf.Variable(vocabulary)
        self.start, self.end = vocabulary.index("[START]"), vocabulary.index("[END]")
        dense = tf.TensorSpec((None, None), tf.int64)
        ragged = tf.RaggedTensorSpec((None, None), tf.int64)
        for ids in (dense, ragged):
            self.detokenize.get_concrete_function(ids)
            self.lookup.get_concrete_function(ids)

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
    def tokenize(self, strings):
        pieces = self.tokenizer.tokenize(strings).merge_dims(1, 2)
        column = tf.ones((pieces.nrows(), 1), tf.int64)
        return tf.concat([self.start * column, pieces, self.end * column], axis=1)

    @tf.function
    def detokenize(self, ids):
        words = self.tokenizer.detokenize(ids)
        control = tf.strings.regex_full_match(words, r"\[(PAD|START|END)\]")
        kept = tf.ragged.boolean_mask(words, ~control)
        return tf.strings.reduce_join(kept, separator=" ", axis=-1)

    @tf.function
    def lookup(self, ids):
        return tf.gather(self.vocabulary, ids)

    @tf.function(input_signature=[])
    def get_vocab_size(self):
        return tf.shape(self.vocabulary)[0]


def vocabularies(request, examples):
    """The tutorial's two vocabularies where they are at hand, else the words of the examples."""
    try:
        folder = request.getfixturevalue("shared_data") / "tutorial_vocabularies"
        return [
            (folder / f"{language}_vocab.txt").read_text("utf-8").splitlines()
            for language in ("pt", "en")
        ]
    except (pytest.skip.Exception, FileNotFoundError):
        reserved = ["[PAD]", "[UNK]", "[START]", "[END]"]
        return [reserved + words(tf.stack(list(side))) for side in zip(*examples, strict=True)]


def words(lines):
    """The words of `lines` as BERT splits them: lower case, no accents, punctuation apart."""
    lines = tf_text.normalize_utf8(tf_text.case_fold_utf8(lines), "NFD")
    lines = tf.strings.regex_replace(lines, r"\p{Mn}", "")
    lines = tf.strings.regex_replace(lines, r"([[:punct:]])", r" \1 ")
    return sorted({word.decode() for word in tf.strings.split(lines).flat_values.numpy()})


@pytest.fixture(
    scope="module", params=[pytest.param("package", marks=pytest.mark.slow), "converter"]
)
def tokenizers(request, examples, tmp_path_factory):
    if request.param == "package":
        corpus = kt.Corpus(name="few", train=examples)
        return kt.train_tokenizers(corpus, vocab_size=200)
    folder = tmp_path_factory.mktemp("converter")
    pt, en = vocabularies(request, examples)
    converter = tf.Module()
    converter.pt = BertStyleTokenizer(pt, folder / "pt_vocab.txt")
    converter.en = BertStyleTokenizer(en, folder / "en_vocab.txt")
    tf.saved_model.save(converter, str(folder / "pt_en_converter"))
    return tf.saved_model.load(str(folder / "pt_en_converter"))


# --------------------------------------------------------------------------------- the pipeline


@pytest.fixture(scope="module")
def batches(tokenizers, examples):
    """The notebook's pipeline from strings to padded batches."""

    def prepare_batch(pt, en):
        pt = tokenizers.pt.tokenize(pt)
        pt = pt[:, :MAX_TOKENS].to_tensor()
        en = tokenizers.en.tokenize(en)
        en = en[:, : (MAX_TOKENS + 1)]
        return (pt, en[:, :-1].to_tensor()), en[:, 1:].to_tensor()

    def make_batches(ds):
        return (
            ds.shuffle(BUFFER_SIZE)
            .batch(BATCH_SIZE)
            .map(prepare_batch, tf.data.AUTOTUNE)
            .prefetch(buffer_size=tf.data.AUTOTUNE)
        )

    keras.utils.set_random_seed(2022)
    return make_batches(examples.repeat(REPEATS)), make_batches(examples.take(4))


@pytest.fixture(scope="module")
def batch(batches):
    for (pt, en), en_labels in batches[0].take(1):
        return pt, en, en_labels


def test_the_batches_are_source_and_target_shifted_by_one(batch, tokenizers):
    pt, en, en_labels = batch
    assert pt.shape[0] == en.shape[0] == BATCH_SIZE
    assert en.shape == en_labels.shape
    start, end = tokenizers.en.tokenize(tf.constant([""]))[0].numpy()
    assert set(en[:, 0].numpy()) == {start}
    for inputs, labels in zip(en.numpy(), en_labels.numpy(), strict=True):
        inputs, labels = inputs[inputs != 0], labels[labels != 0]
        assert list(inputs[1:]) == list(labels[:-1])
        assert labels[-1] == end or len(labels) == MAX_TOKENS


# ------------------------------------------------------------------------------ layer by layer


def test_positional_encoding_and_the_likeness_of_neighbours():
    pos_encoding = positional_encoding(length=2048, depth=512)
    assert pos_encoding.shape == (2048, 512)
    plt.pcolormesh(pos_encoding.numpy().T, cmap="RdBu")
    pos_encoding /= tf.norm(pos_encoding, axis=1, keepdims=True)
    p = pos_encoding[1000]
    dots = tf.einsum("pd,d -> p", pos_encoding, p)
    assert int(tf.argmax(dots)) == 1000
    assert float(dots[1000]) == pytest.approx(1, abs=1e-5)
    assert dots[1001] > dots[1010] > dots[1300]
    np.testing.assert_allclose(dots[1001:1050], dots[951:1000][::-1], atol=1e-3)


@pytest.fixture(scope="module")
def embedded(tokenizers, batch):
    pt, en, _ = batch
    embed_pt = PositionalEmbedding(vocab_size=tokenizers.pt.get_vocab_size().numpy(), d_model=512)
    embed_en = PositionalEmbedding(vocab_size=tokenizers.en.get_vocab_size().numpy(), d_model=512)
    return embed_en, embed_pt(pt), embed_en(en)


def test_the_embeddings_carry_a_mask(embedded, batch):
    _, pt_emb, en_emb = embedded
    pt, en, _ = batch
    assert pt_emb.shape == (*pt.shape, 512)
    np.testing.assert_array_equal(pt_emb._keras_mask, pt != 0)
    np.testing.assert_array_equal(en_emb._keras_mask, en != 0)
    assert not np.all(pt_emb._keras_mask)  # there is padding to see


def test_cross_attention(embedded, batch):
    _, pt_emb, en_emb = embedded
    sample_ca = CrossAttention(num_heads=2, key_dim=512)
    assert sample_ca(en_emb, pt_emb).shape == en_emb.shape
    assert sample_ca.last_attn_scores.shape == (BATCH_SIZE, 2, en_emb.shape[1], pt_emb.shape[1])
    # Padding of the source gets nothing.
    seen = tf.reduce_sum(sample_ca.last_attn_scores, axis=(1, 2))
    np.testing.assert_array_equal(seen > 0, batch[0] != 0)


def test_global_self_attention(embedded, batch):
    _, pt_emb, _ = embedded
    sample_gsa = GlobalSelfAttention(num_heads=2, key_dim=512)
    assert sample_gsa(pt_emb).shape == pt_emb.shape
    seen = tf.reduce_sum(sample_gsa.last_attn_scores, axis=(1, 2))
    np.testing.assert_array_equal(seen > 0, batch[0] != 0)


def test_causal_self_attention_gives_the_first_tokens_the_same_with_and_without_the_rest(
    embedded, batch
):
    embed_en, _, en_emb = embedded
    en = batch[1]
    sample_csa = CausalSelfAttention(num_heads=2, key_dim=512)
    assert sample_csa(en_emb).shape == en_emb.shape
    out1 = sample_csa(embed_en(en[:, :3]))
    out2 = sample_csa(embed_en(en))[:, :3]
    assert float(tf.reduce_max(abs(out1 - out2))) < 1e-4


def test_feed_forward(embedded):
    _, _, en_emb = embedded
    sample_ffn = FeedForward(512, 2048)
    output = sample_ffn(en_emb)
    assert output.shape == en_emb.shape
    np.testing.assert_allclose(tf.reduce_mean(output, axis=-1), 0, atol=1e-5)  # normalised


def test_encoder_layer_and_encoder(tokenizers, embedded, batch):
    _, pt_emb, _ = embedded
    pt = batch[0]
    sample_encoder_layer = EncoderLayer(d_model=512, num_heads=8, dff=2048)
    assert sample_encoder_layer(pt_emb).shape == pt_emb.shape

    sample_encoder = Encoder(
        num_layers=2,
        d_model=512,
        num_heads=8,
        dff=2048,
        vocab_size=tokenizers.pt.get_vocab_size().numpy(),
    )
    sample_encoder_output = sample_encoder(pt, training=False)
    assert sample_encoder_output.shape == pt_emb.shape


def test_decoder_layer_and_decoder(tokenizers, embedded, batch):
    _, pt_emb, en_emb = embedded
    en = batch[1]
    weights_shape = (BATCH_SIZE, 8, en.shape[1], pt_emb.shape[1])
    sample_decoder_layer = DecoderLayer(d_model=512, num_heads=8, dff=2048)
    assert sample_decoder_layer(x=en_emb, context=pt_emb).shape == en_emb.shape
    assert sample_decoder_layer.last_attn_scores.shape == weights_shape

    sample_decoder = Decoder(
        num_layers=2,
        d_model=512,
        num_heads=8,
        dff=2048,
        vocab_size=tokenizers.en.get_vocab_size().numpy(),
    )
    output = sample_decoder(x=en, context=pt_emb)
    assert output.shape == en_emb.shape
    assert sample_decoder.last_attn_scores.shape == weights_shape
    # The embedded source brings its mask along.
    seen = tf.reduce_sum(sample_decoder.last_attn_scores, axis=(1, 2))
    np.testing.assert_array_equal(seen > 0, batch[0] != 0)


# ------------------------------------------------------------------------- the model, its training


def make_transformer(tokenizers):
    return Transformer(
        num_layers=num_layers,
        d_model=d_model,
        num_heads=num_heads,
        dff=dff,
        input_vocab_size=tokenizers.pt.get_vocab_size().numpy(),
        target_vocab_size=tokenizers.en.get_vocab_size().numpy(),
        dropout_rate=dropout_rate,
    )


def test_the_model_gives_logits_and_keeps_its_attention(tokenizers, batch, capsys):
    pt, en, _ = batch
    transformer = make_transformer(tokenizers)
    output = transformer((pt, en))
    assert output.shape == (*en.shape, tokenizers.en.get_vocab_size().numpy())
    attn_scores = transformer.decoder.dec_layers[-1].last_attn_scores
    assert attn_scores.shape == (BATCH_SIZE, num_heads, en.shape[1], pt.shape[1])
    transformer.summary()
    summary = capsys.readouterr().out
    assert f"{transformer.count_params():,}" in summary
    assert "encoder" in summary


def test_the_learning_rate_can_be_drawn():
    learning_rate = CustomSchedule(128)
    rates = learning_rate(tf.range(40000, dtype=tf.float32))
    (line,) = plt.plot(rates)
    assert len(line.get_ydata()) == 40000
    assert np.isfinite(rates).all()
    assert int(tf.argmax(rates)) == 4000
    assert float(rates[4000]) == pytest.approx((128 * 4000) ** -0.5)


@pytest.fixture(scope="module")
def trained(tokenizers, batches):
    """The model after `fit`, and the history."""
    train_batches, val_batches = batches
    keras.utils.set_random_seed(2022)
    transformer = make_transformer(tokenizers)
    learning_rate = CustomSchedule(d_model, warmup_steps=200)
    optimizer = tf.keras.optimizers.Adam(learning_rate, beta_1=0.9, beta_2=0.98, epsilon=1e-9)
    transformer.compile(loss=masked_loss, optimizer=optimizer, metrics=[masked_accuracy])
    history = transformer.fit(train_batches, epochs=EPOCHS, validation_data=val_batches, verbose=0)
    return transformer, history.history


def test_fit_reports_loss_and_accuracy_and_learns(trained):
    _, history = trained
    assert set(history) == {"loss", "masked_accuracy", "val_loss", "val_masked_accuracy"}
    assert history["loss"][-1] < 0.1 < 2 < history["loss"][0]
    assert history["masked_accuracy"][-1] > 0.98
    assert history["val_masked_accuracy"][-1] > 0.98


# --------------------------------------------------------------------------------- translations


@pytest.fixture(scope="module")
def translator(tokenizers, trained):
    return Translator(tokenizers, trained[0])


@pytest.fixture(scope="module")
def pairs(examples):
    """Source and target strings; the sources are of different lengths."""
    pairs = [(pt.numpy().decode(), en.numpy().decode()) for pt, en in examples]
    assert len({len(pt.split()) for pt, _ in pairs}) > 1
    return pairs


def in_corpus_style(tokenizers, text):
    """What a target comes back as: BERT's splitting parts more than the corpus does."""
    return tokenizers.en.detokenize(tokenizers.en.tokenize(tf.constant([text])))[0].numpy().decode()


def test_it_reproduces_what_it_has_learned(translator, tokenizers, pairs):
    for sentence, ground_truth in pairs:
        text, _, _ = translator(tf.constant(sentence))
        assert text.numpy().decode("utf-8") == in_corpus_style(tokenizers, ground_truth)


def test_a_translation_is_text_tokens_and_weights(translator, tokenizers, pairs, capsys):
    sentence, ground_truth = pairs[0]
    text, tokens, weights = translator(tf.constant(sentence))
    assert text.shape == ()
    assert text.dtype == tf.string
    assert tokens.shape.rank == 1
    ids = tokenizers.en.tokenize(tf.constant([ground_truth]))
    assert tokens.numpy().tolist() == tokenizers.en.lookup(ids)[0].numpy().tolist()
    assert tokens[0] == b"[START]"
    assert tokens[-1] == b"[END]"
    source = tokenizers.pt.tokenize(tf.constant([sentence]))
    assert weights.shape == (1, num_heads, len(tokens) - 1, source.row_lengths()[0])
    np.testing.assert_allclose(tf.reduce_sum(weights, axis=-1), 1, atol=1e-5)

    print_translation(sentence, text, ground_truth)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(" : ")[2] for line in lines] == [
        sentence,
        text.numpy().decode("utf-8"),
        ground_truth,
    ]


def test_the_weights_are_those_of_the_model_on_the_translation(translator, tokenizers, pairs):
    sentence = tf.constant(pairs[0][0])
    _, _, weights = translator(sentence)
    transformer = translator.transformer
    pt = tokenizers.pt.tokenize(sentence[tf.newaxis]).to_tensor()
    en = tokenizers.en.tokenize(tf.constant([pairs[0][1]])).to_tensor()
    transformer((pt, en[:, :-1]), training=False)
    np.testing.assert_allclose(weights, transformer.decoder.last_attn_scores, atol=1e-4)


def test_the_attention_can_be_drawn(translator, tokenizers, pairs):
    sentence = pairs[0][0]
    _, tokens, weights = translator(tf.constant(sentence))
    in_tokens = tf.convert_to_tensor([sentence])
    in_tokens = tokenizers.pt.tokenize(in_tokens).to_tensor()
    in_tokens = tokenizers.pt.lookup(in_tokens)[0]

    plt.figure()
    plot_attention_head(in_tokens, tokens, weights[0][0])
    ax = plt.gca()
    assert [label.get_text() for label in ax.get_xticklabels()] == [
        token.decode() for token in in_tokens.numpy()
    ]
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        token.decode() for token in tokens.numpy()[1:]
    ]

    figure = plot_attention_weights(sentence, tokens, weights[0], tokenizers=tokenizers)
    labels = [ax.get_xlabel() for ax in figure.axes]
    assert [label for label in labels if label.startswith("Head")] == [
        f"Head {head}" for head in range(1, num_heads + 1)
    ]


def test_a_sentence_with_unknown_words_is_translated_too(translator):
    text, tokens, weights = translator(tf.constant("Os triceratops são enciclopédias ☂!"))
    assert text.shape == ()
    assert weights.shape[2] == len(tokens) - 1


# ------------------------------------------------------------------------------------ the export


@pytest.fixture(scope="module")
def export_dir(translator, tmp_path_factory):
    export_dir = str(tmp_path_factory.mktemp("export") / "translator")
    tf.saved_model.save(ExportTranslator(translator), export_dir=export_dir)
    return export_dir


@pytest.fixture(scope="module")
def expected(tokenizers, pairs):
    return [in_corpus_style(tokenizers, en) for _, en in pairs]


def decoded(strings):
    return [string.decode("utf-8") for string in tf.reshape(strings, [-1]).numpy()]


def assert_translates(export, pairs, expected):
    sentences = [pt for pt, _ in pairs]
    scalar = export(tf.constant(sentences[0]))
    assert scalar.shape == ()
    assert decoded(scalar) == expected[:1]
    assert export(sentences[0]).numpy().decode("utf-8") == expected[0]
    vector = export(tf.constant(sentences))
    assert vector.shape == (len(sentences),)
    assert decoded(vector) == expected
    assert export(tf.constant(sentences[:1])).shape == (1,)
    assert decoded(export(tf.reshape(tf.constant(sentences), (2, -1)))) == expected


def test_the_export_gives_strings_of_the_shape_it_gets(translator, pairs, expected):
    assert_translates(ExportTranslator(translator), pairs, expected)


def test_the_reloaded_export_gives_the_same(export_dir, translator, pairs, expected):
    reloaded = tf.saved_model.load(export_dir)
    assert_translates(reloaded, pairs, expected)
    unseen = tf.constant([f"{pairs[0][0]} {pairs[1][0]}", "", "não ."])
    assert decoded(reloaded(unseen)) == decoded(ExportTranslator(translator)(unseen))


@pytest.mark.slow
def test_the_export_needs_nothing_but_tensorflow_and_its_text_operations(
    export_dir, pairs, expected, tmp_path
):
    program = (
        "import sys\n"
        "sys.modules['keras_transformer'] = None  # importing it would fail\n"
        "import tensorflow as tf\n"
        "import tensorflow_text\n"
        "translate = tf.saved_model.load(sys.argv[1])\n"
        "sentences = sys.argv[2:]\n"
        "one, all = translate(tf.constant(sentences[0])), translate(tf.constant(sentences))\n"
        "for text in (one, *all):\n"
        "    sys.stdout.buffer.write(text.numpy() + b'\\n')\n"
    )
    sentences = [pt for pt, _ in pairs]
    result = subprocess.run(
        [sys.executable, "-c", program, export_dir, *sentences],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr.decode()
    assert result.stdout.decode().splitlines() == [expected[0], *expected]
