# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The Transformer, from sentence pairs to an exported translator
#
# This notebook builds, trains, looks into and exports a Transformer that translates Portuguese into
# English, with each formula of *Attention Is All You Need* (arXiv 1706.03762, "the paper") beside
# the code that computes it and a picture of what it does.
#
# It needs no download and no GPU, and takes two minutes on two new CPU cores, seven on slow ones.
# That is because `DATASET` is `"sample"`: 25,000 short pairs that the package writes itself, passed
# over twice. Change that one word to `"ted_hrlr_translate/pt_to_en"` and everything below runs on
# 51,785 pairs of TED talks, with a larger vocabulary and more passes; that takes hours on a CPU.

# %%
import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # fewer notes from TensorFlow

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

import keras_transformer as kt

DATASET = "sample"  # or "ted_hrlr_translate/pt_to_en"; if its download fails, see section 1
SMALL = DATASET == "sample"
PASSES = 2 if SMALL else 20  # over the training pairs
PARTS = 3 if SMALL else 1  # of a pass, each followed by a look at the validation pairs
VOCAB_SIZE = 2000 if SMALL else 8000  # most tokens in each language
BATCH_TOKENS = 1024 if SMALL else 4096  # of one side of a batch
WARMUP_STEPS = 400 if SMALL else 4000  # steps until the learning rate is highest

keras.utils.set_random_seed(1)

# %% [markdown]
# ## 1. Data: pairs of sentences
#
# A translator learns from pairs $(s, t)$: a source sentence and its translation. The corpus has
# three parts: one to train on, one to watch the training with, and one for the score at the end.
# In these corpora text is lower case, and punctuation stands apart. (The address
# of the TED talks often fails. As `data_dir`, `load_corpus` takes a folder with prepared data, or
# the original archive `qi18naacl-dataset.tar.gz`.)

# %%
corpus = kt.load_corpus(DATASET)
for part in ("train", "validation", "test"):
    print(f"{part:12s}{len(corpus.require(part)):8,} pairs")
for portuguese, english in corpus.train.take(3):
    print(f"\n{portuguese.numpy().decode()}\n{english.numpy().decode()}")

# %% [markdown]
# ## 2. Tokens: text becomes numbers
#
# A network computes with numbers, so text is cut into pieces from a fixed vocabulary. Frequent
# words are one piece. A rare word is spelled with several, the later ones of which begin with `##`,
# so no word is out of reach. Both vocabularies are learned from the training pairs. Four ids are
# special: 0 `[PAD]`, 1 `[UNK]`, 2 `[START]` and 3 `[END]`. Going back gives the very same text.

# %%
tokenizers = kt.train_tokenizers(corpus, kind="wordpiece", vocab_size=VOCAB_SIZE)
sentence = "este é um problema que temos que resolver ."
ids = tokenizers.pt.tokenize([sentence])
print(ids.to_list()[0])
print(tokenizers.pt.detokenize(ids)[0].numpy().decode())
for tokenizer, text in ((tokenizers.pt, sentence), (tokenizers.en, "a jukebox")):
    pieces = tokenizer.lookup(tokenizer.tokenize([text]))[0].numpy()
    print(" ".join(piece.decode() for piece in pieces))

# %% [markdown]
# Sentences differ in length, and a batch is a rectangle. How much they differ says how much of a
# careless batch would be padding.

# %%
lengths = {"Portuguese": [], "English": []}
for source, target in corpus.train.batch(1024):
    lengths["Portuguese"].extend(tokenizers.pt.tokenize(source).row_lengths().numpy())
    lengths["English"].extend(tokenizers.en.tokenize(target).row_lengths().numpy())
figure, axes = plt.subplots(figsize=(7, 3))
axes.hist(lengths.values(), bins=range(2, 40), label=list(lengths))
axes.set(xlabel="Tokens of a sentence, [START] and [END] included", ylabel="Sentences")
axes.legend()
plt.show()

# %% [markdown]
# *What to see:* both languages have about the same lengths, and a batch drawn at random would be
# padded to the far right of this picture.

# %% [markdown]
# ## 3. Batches, and teacher forcing
#
# The model writes one token at a time: it estimates $p(t_i \mid t_1, \dots, t_{i-1}, s)$. In
# training all positions are estimated at once, because the right earlier tokens are known. So the
# decoder is given the target without its end, and is to predict the target without its start: the
# same sentence, one place to the left.
#
# Pairs of like length share a batch, so that little of it is padding.

# %%
train_batches = kt.make_batches(corpus.train, tokenizers, batch_tokens=BATCH_TOKENS, seed=1)
val_batches = kt.make_batches(corpus.validation, tokenizers, batch_tokens=2048, shuffle=False)
(source, target_in), target_out = next(iter(train_batches))
print("source", source.shape, "target", target_in.shape, "labels", target_out.shape)
given = tokenizers.en.lookup(tf.RaggedTensor.from_tensor(target_in[:1]))[0].numpy()
wanted = tokenizers.en.lookup(tf.RaggedTensor.from_tensor(target_out[:1]))[0].numpy()
for before, after in zip(given, wanted, strict=True):
    print(f"after {before.decode():12s} say {after.decode()}")

# %% [markdown]
# ## 4. Positional encoding: where a token stands
#
# Attention sees a set of tokens without order. So each token vector is scaled by $\sqrt{d}$, where
# $d$ is the width of the model, and a vector that says where it stands is added to it (the paper,
# section 3.5):
#
# $$PE_{(pos,\,2i)} = \sin\!\left(\frac{pos}{10000^{2i/d}}\right) \qquad
#   PE_{(pos,\,2i+1)} = \cos\!\left(\frac{pos}{10000^{2i/d}}\right)$$
#
# Each pair of dimensions is a clock hand of its own speed, from one turn in 6 positions to one in
# 60,000. In this package all sines stand first and then all cosines; the order does not
# matter.

# %%
length, depth = 128, 128
positions = np.arange(length)[:, np.newaxis]  # (length, 1)
speeds = 10000.0 ** (-2 * np.arange(depth // 2) / depth)  # (depth / 2,)
by_hand = np.concatenate([np.sin(positions * speeds), np.cos(positions * speeds)], axis=-1)
encoding = kt.positional_encoding(length, depth)
np.testing.assert_allclose(encoding, by_hand, atol=1e-6)
kt.plot_positional_encoding(encoding, position=40)

# %% [markdown]
# *What to see:* on the left every position has a pattern of its own; on the right the pattern of
# position 40 is most like those of its neighbours, so nearness can be read off.

# %% [markdown]
# ## 5. Masks: where not to look
#
# Two things must not be seen. Padding is no word. And the decoder must not see the token that it is
# to predict, or it would learn to copy it. A mask says so; what is hidden gets a weight of 0:
#
# $$\text{keep}_{ij} = [\,\text{token}_j \ne 0\,] \;\wedge\; [\,j \le i\,]$$
#
# The encoder needs the first condition alone, the decoder both.

# %%
two = ["i ran .", "this is a problem we have to solve ."]
padded = tokenizers.en.tokenize(two).to_tensor()[:1]  # (1, length), padded to the longer one
padding = kt.create_padding_mask(padded)  # (1, 1, 1, length), 1 where hidden
look_ahead = kt.create_look_ahead_mask(padded.shape[1])  # (length, length)
both = tf.maximum(padding, look_ahead)
kt.plot_masks(
    {"Padding": padding, "Look-ahead": look_ahead, "Both": both},
    tokenizers.en.lookup(tf.RaggedTensor.from_tensor(padded))[0],
)

# %% [markdown]
# *What to see:* a row is a token that looks, and its filled squares are what it may look at: in the
# third panel every token sees itself and what stands before it, and nobody sees `[PAD]`.

# %% [markdown]
# ## 6. Attention by hand, on three keys
#
# Attention is a dictionary that answers in shades. There are keys, a value for each, and a query.
# An ordinary dictionary gives the value of the one key that equals the query. Attention gives a
# mixture of all values, in which a value counts the more, the better its key fits (the paper,
# equation 1):
#
# $$\text{Attention}(Q, K, V) = \text{softmax}\!\left(\frac{QK^\top}{\sqrt{d_k}}\right) V$$
#
# Below there are three keys, at right angles, and three queries. The first query is the second key.
# The second lies between the last two keys. The third is like none.

# %%
keys = np.array([[10.0, 0, 0], [0, 10, 0], [0, 0, 10]])  # (3 keys, depth 3)
values = np.array([[1.0, 0], [10, 0], [100, 5]])  # (3 keys, 2)
queries = np.array([[0.0, 10, 0], [0, 10, 10], [0, 0, 0]])  # (3 queries, depth 3)

scores = queries @ keys.T / np.sqrt(keys.shape[-1])  # (query, key)
weights = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
output = weights @ values
print(weights.round(2), output.round(2), sep="\n\n")

theirs, their_weights = kt.scaled_dot_product_attention(queries, keys, values)
np.testing.assert_allclose(theirs, output, atol=1e-6)
looked_at = ["key 1: (1, 0)", "key 2: (10, 0)", "key 3: (100, 5)"]
looking = ["", "key 2", "keys 2 and 3", "none"]  # the first stands for [START] and is not drawn
kt.plot_attention_head(looked_at, looking, their_weights)
plt.show()

# %% [markdown]
# *What to see:* the first row takes the value of key 2 alone, the second the mean of two values,
# and the third, which has no preference, the mean of all three.
#
# Why divide by $\sqrt{d_k}$? A product of two random vectors of $d_k$ numbers with variance 1 has
# variance $d_k$. Without the division scores grow with the width, and the softmax turns into a hard
# choice whose gradient is almost 0.

# %%
rng = np.random.default_rng(1)
figure, axes = plt.subplots(figsize=(7, 3))
widths = 4 ** np.arange(1, 6)
for label, power in (("without the division", 0.0), ("divided by the root", 0.5)):
    largest = []
    for width in widths:
        q, k = rng.normal(size=(200, 1, width)), rng.normal(size=(200, 10, width))
        weights = tf.nn.softmax((q * k).sum(axis=-1) / width**power).numpy()  # (200, 10 keys)
        largest.append(weights.max(axis=-1).mean())
    axes.plot(widths, largest, marker="o", label=label)
axes.set(xscale="log", xlabel="Width of queries and keys", ylabel="Largest of ten weights")
axes.set_ylim(0, 1)
axes.legend()
plt.show()

# %% [markdown]
# *What to see:* without the division the largest weight nears 1 as vectors get wider; with it, it
# stays where it is.

# %% [markdown]
# ## 7. Several heads
#
# One softmax makes one choice. A word wants several: its verb, its article, the word before it. So
# attention runs $h$ times side by side, each time on narrower copies of queries, keys and values,
# and a last matrix joins what was found (the paper, section 3.2.2):
#
# $$\text{head}_i = \text{Attention}(QW_i^Q, KW_i^K, VW_i^V) \qquad
#   \text{MultiHead}(Q, K, V) = [\text{head}_1; \dots; \text{head}_h]\,W^O$$
#
# The model uses it in three places: the encoder's tokens look at each other, the decoder's tokens
# look at those before them, and the decoder's tokens look at the encoder's.

# %%
embed = kt.PositionalEmbedding(tokenizers.pt.get_vocab_size(), d_model=128)
x = embed(ids.to_tensor())  # (1, length, 128): token vectors and positions
attention = kt.MultiHeadAttention(d_model=128, num_heads=8)
output, weights = attention(v=x, k=x, q=x)
print("output", output.shape, "weights", weights.shape)  # (1, heads, query, key)
print("numbers in the layer:", f"{attention.count_params():,}")
kt.plot_attention_grid([weights], tokenizers.pt.lookup(ids)[0])

# %% [markdown]
# *What to see:* before any training the eight heads already differ, but by chance alone: the same
# picture after training, in section 14, has structure.

# %% [markdown]
# ## 8. Layers: look, then think, and keep what there was
#
# After attention has gathered what a token needs, a small network works on each position alone:
#
# $$\text{FFN}(x) = \max(0,\, xW_1 + b_1)\,W_2 + b_2$$
#
# Both are wrapped in the same way: a layer *adds* to what comes in (the residual connection), and
# numbers are brought to one scale (layer normalisation). The paper normalises the sum,
# $\text{LayerNorm}(x + f(x))$. Here `norm_first=True` normalises what goes in,
# $x + f(\text{LayerNorm}(x))$, which learns well after a shorter warm-up.
#
# An encoder layer is self-attention and this network. A decoder layer hides the future in its
# self-attention and looks at the encoder in between. What hiding means can be tested: change one
# token and see which outputs move.

# %%
x = tf.random.normal((1, 12, 128), seed=1)
other = tf.random.normal((1, 12, 128), seed=3)
changed = tf.where(tf.range(12)[:, tf.newaxis] == 5, other, x)  # at position 5 alone
encoder_layer = kt.EncoderLayer(d_model=128, num_heads=8, dff=512, norm_first=True)
decoder_layer = kt.DecoderLayer(d_model=128, num_heads=8, dff=512, norm_first=True)
source = tf.random.normal((1, 9, 128), seed=2)
moved = {
    "Encoder layer": encoder_layer(changed) - encoder_layer(x),
    "Decoder layer": decoder_layer(changed, source) - decoder_layer(x, source),
}
figure, axes = plt.subplots(1, 2, figsize=(9, 2.8), sharey=True)
for (name, difference), panel in zip(moved.items(), axes, strict=True):
    panel.bar(range(12), tf.norm(difference[0], axis=-1) + 1e-9)
    panel.set(title=name, xlabel="Position", yscale="log", ylim=(1e-4, 100))
axes[0].set_ylabel("Change of the output")
plt.show()

# %% [markdown]
# *What to see:* in the encoder every position hears of a change at position 5; in the decoder those
# before it hear nothing at all.

# %% [markdown]
# ## 9. The whole model
#
# The encoder turns the source into one vector for each token, $z = \text{Encoder}(s)$. The decoder
# turns these and the target so far into one vector for each next token, and a last matrix turns
# that into a score for each word of the vocabulary, a *logit*:
#
# $$p(t_i \mid t_{<i}, s) = \text{softmax}(\text{Decoder}(t_{<i}, z)\,W + b)$$
#
# This one has four layers on each side, a width of 128 and 8 heads. The paper's has six, 512 and 8.

# %%
transformer = kt.Transformer(
    num_layers=4,
    d_model=128,
    num_heads=8,
    dff=512,
    input_vocab_size=tokenizers.pt.get_vocab_size(),
    target_vocab_size=tokenizers.en.get_vocab_size(),
    norm_first=True,
)
transformer.summary()

# %%
parts = {
    "token vectors": [transformer.encoder.pos_embedding, transformer.decoder.pos_embedding],
    "encoder layers": transformer.encoder.enc_layers,
    "decoder layers": transformer.decoder.dec_layers,
    "output": [transformer.final_layer],
}
counts = [sum(layer.count_params() for layer in layers) for layers in parts.values()]
figure, axes = plt.subplots(figsize=(7, 2))
axes.barh(list(parts), np.array(counts) / 1e6)
axes.invert_yaxis()
axes.set_xlabel(f"Million weights, of {transformer.count_params() / 1e6:.1f}")
plt.show()

# %% [markdown]
# *What to see:* most weights are in the layers, and a decoder layer, with one attention more, has a
# third more of them than an encoder layer.

# %% [markdown]
# ## 10. The learning rate
#
# Adam's first steps rest on few gradients, so they should be small: the rate climbs in a straight
# line while the model warms up, and then falls with the root of the step (the paper, equation 3):
#
# $$lr = d^{-0.5} \cdot \min\!\left(step^{-0.5},\; step \cdot warmup^{-1.5}\right)$$

# %%
schedule = kt.CustomSchedule(d_model=128, warmup_steps=WARMUP_STEPS)
steps = PASSES * len(train_batches)
kt.plot_learning_rate(
    {
        f"this notebook, {WARMUP_STEPS:,} steps of warm-up": schedule,
        "the paper's 4,000": kt.CustomSchedule(d_model=128, warmup_steps=4000),
    },
    steps,
)

# %% [markdown]
# *What to see:* a short training needs a short warm-up; with the paper's it would be over before
# the rate is worth anything.

# %% [markdown]
# ## 11. The loss, and label smoothing
#
# The loss of a token is $-\log p(\text{right token})$; padding does not count. A model that is
# driven to $p = 1$ learns to be too sure. Label smoothing (the paper, section 5.4) asks for a
# little less: of the $V$ tokens, the right one is to get $1 - \epsilon$, and the rest is spread
# over all,
#
# $$q(k) = (1 - \epsilon)\,[k = \text{right}] + \frac{\epsilon}{V}, \qquad
#   L = -\sum_k q(k) \log p(k)$$

# %%
(source, target_in), target_out = next(iter(train_batches))
logits = transformer((source, target_in))
vocab_size = int(tokenizers.en.get_vocab_size())
print(f"loss of the untrained model {kt.masked_loss(target_out, logits):.2f}")
print(f"loss of guessing one of {vocab_size:,} tokens {np.log(vocab_size):.2f}")
kt.plot_label_smoothing((0.0, 0.1, 0.2), vocab_size)

# %% [markdown]
# *What to see:* each line is lowest at its dot: with a smoothing of 0.1 a model that is surer than
# 0.9 pays for it.

# %% [markdown]
# ## 12. Training with `fit`
#
# This is plain Keras: Adam with the schedule, the smoothed loss, and the share of the tokens that
# are predicted rightly, $\frac{1}{n}\sum_i [\arg\max_k p_i(k) = t_i]$, as a metric. (`kt.Adam` is
# Keras' own formula in one operation for each weight, which saves time.) The paper takes the mean
# of its last checkpoints (section 6.1), which is better than the very last weights. Here `use_ema`
# keeps a moving average, over about a hundred steps, and `fit` puts it in the place of the weights
# at the end. Most of the minutes of this notebook are spent here.

# %%
transformer.compile(
    loss=kt.MaskedLoss(label_smoothing=0.1),
    optimizer=kt.Adam(
        schedule, beta_1=0.9, beta_2=0.98, epsilon=1e-9, use_ema=True, ema_momentum=0.99
    ),
    metrics=[kt.MaskedAccuracy()],
)
history = transformer.fit(
    train_batches.repeat(),
    epochs=PASSES * PARTS,
    steps_per_epoch=len(train_batches) // PARTS,
    validation_data=val_batches,
    verbose=2,
    shuffle=False,
)
kt.plot_training_curves(history)

# %% [markdown]
# *What to see:* the loss falls and the accuracy climbs on sentences that are not trained on, too.
# The validation line is the better one: dropout is off there, and it is measured at the end of each
# part of a pass (an epoch to Keras). Label smoothing keeps the loss from getting near 0.

# %% [markdown]
# ## 13. Translating
#
# A translator searches for a likely sentence. Greedy search takes the likeliest token again and
# again, $t_i = \arg\max_k p(k \mid t_{<i}, s)$, until it is `[END]`. Keys and values of earlier
# tokens are kept, so a new token costs one position. A beam search follows several beginnings side
# by side and keeps the likeliest; at the end the mean of $\log p(t_i)$ over the tokens decides, so
# that short sentences have no advantage.

# %%
translator = kt.Translator(tokenizers, transformer, jit_compile=False)  # too few to be worth XLA
examples = {
    "este é um problema que temos que resolver .": "this is a problem we have to solve .",
    "os meus vizinhos ouviram sobre esta ideia .": "my neighbors heard about this idea .",
    "este é o primeiro livro que eu fiz .": "this is the first book i made .",
    "vou então muito rapidamente partilhar convosco algumas histórias de algumas coisas mágicas "
    "que aconteceram .": "so i 'll share with you some stories very quickly of some magical "
    "things that happened .",
}
for source, reference in examples.items():
    text, tokens, attention = translator(source)
    kt.print_translation(source, text, reference)
    print()

# %%
best = translator.translate([sentence], beam_size=4, n_best=4)[0]
figure, axes = plt.subplots(figsize=(7, 2))
axes.barh(
    [other.text for other in best.alternatives], [o.normalized_score for o in best.alternatives]
)
axes.invert_yaxis()
axes.set_xlabel("Mean logarithmic probability of a token")
plt.show()

# %% [markdown]
# *What to see:* the four best sentences that a beam of four found, the best on top: the shorter its
# bar, the surer the model.

# %% [markdown]
# ## 14. What the heads look at
#
# The weights of section 6 are there to be read: $a_{ij}$ is how much of token $j$ went into the
# vector of token $i$. First cross-attention, in which the English tokens look at the Portuguese
# ones, in every head of the last layer.

# %%
text, tokens, attention = translator(sentence)
kt.plot_attention_weights(sentence, tokens, attention[0], tokenizers=tokenizers)

# %% [markdown]
# *What to see:* bright squares run down the diagonal: each English token was written with an eye on
# the Portuguese word that it stands for; where one word stands for two, as `temos` for `we have`,
# both look there.

# %%
seen = kt.sentence_attention(translator, sentence)  # the weights of all layers
kt.plot_attention_grid(seen, attention="cross")

# %% [markdown]
# *What to see:* every head of every layer at once; the layers before the last one find the same
# words, and no two heads agree on all of them.

# %%
kt.plot_attention_grid(seen, attention="encoder")

# %% [markdown]
# *What to see:* structure where section 7 had chance. In the first layer most words look at
# themselves or a neighbour; further up there are columns, words that several others look at.

# %% [markdown]
# One head can be followed word by word. How sharply it looks is the entropy of its weights,
# $-\sum_j a_{ij} \log_2 a_{ij}$: 0 bits is all on one token.

# %%
aside = ("resolver", "[START]", "[END]", ".")  # many heads look sharply at these
sharp = kt.sharpest_heads(seen, word="resolver", attention="encoder", number=3, aside=aside)
for head in sharp:
    print(f"layer {head.layer}, head {head.head}: {head.weight:.2f} on {head.looks_at}")
kt.plot_attention_lines(seen, attention="encoder", layer=sharp[0].layer, heads=[sharp[0].head])

# %% [markdown]
# *What to see:* the sharpest head that looks away from `resolver` itself, with the lines of all
# words: thick lines are choices that it is sure of.

# %% [markdown]
# ## 15. The score
#
# BLEU counts how many runs of one to four words a translation shares with the reference,
# $\text{BLEU} = BP \cdot (p_1\,p_2\,p_3\,p_4)^{1/4}$, where $BP$ punishes translations that are too
# short. The signature says how it was computed, so that scores compare. In
# `sample` the test pairs put words together that no training pair does.

# %%
scores = kt.evaluate(translator, corpus.test, return_hypotheses=True)
print(f"{scores['bleu']['score']:.1f} BLEU ({scores['bleu']['signature']})")
print(f"{scores['sentences']:,} sentences in {scores['seconds']:.0f} s")
pairs = [(source.decode(), target.decode()) for source, target in corpus.test.as_numpy_iterator()]
sources, references = zip(*pairs, strict=True)
limits = (6, 9, 12, 15) if SMALL else (10, 20, 30, 40)
by_length = kt.scores_by_length(sources, scores["hypotheses"], references, limits)
kt.plot_scores_by_length({"Transformer": by_length})

# %% [markdown]
# *What to see:* how the score depends on the length of the source, with few sentences in the first
# and the last point. A Transformer reaches every word in one step, so no length is out of reach;
# `attention_lineage.ipynb` shows models for which long sentences are.

# %% [markdown]
# ## 16. Export and reload
#
# An exported model is a function from strings to strings, with the vocabularies inside. It needs
# TensorFlow and tensorflow-text, and nothing of this package. TensorFlow Serving takes the folder
# as it is. (`compiled=False` leaves out the functions that XLA compiles, which take longer to
# write.)

# %%
version = kt.export(translator, "saved_models/notebook", version=1, overwrite=True, compiled=False)
reloaded = tf.saved_model.load(str(version))
question = "O gato viu o cachorro preto?"
answer = reloaded.signatures["serving_default"](tf.constant([question]))
text = answer["translation"][0].numpy().decode()
print(text)
assert text == translator.translate([question])[0].text

# %% [markdown]
# Capitals and joined punctuation went in, and readable English came out: bringing text into the
# corpus' style is part of the model.
#
# ## Where to go on
#
# - The real corpus: change `DATASET` at the top.
# - The same road with checkpoints, resuming and logs:
#   `keras-transformer train --dataset sample --output runs/sample`.
# - Attention to point at, word by word, for any sentence that you type: the page of
#   `keras-transformer serve --saved-model saved_models/notebook`, a folder beside this notebook.
# - Other choices of the model are arguments of `kt.Transformer`: `norm_first=False` for the paper's
#   order, `positions="learned"` or `"rotary"`, `share_embeddings`, `tie_output`.
# - What came before attention was all one needed: `attention_lineage.ipynb`.
