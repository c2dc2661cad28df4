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
# # What came after the Transformer: BERT and ALBERT, GPT, the Vision Transformer
#
# This notebook takes the layers that `transformer.ipynb` takes apart and builds from them, without
# a new kind of layer, the models that came after. Each keeps one half of the Transformer and finds
# something else to learn from:
#
# | | what it keeps | what a position sees | what it learns from |
# | --- | --- | --- | --- |
# | GPT, 2018; GPT-2, 2019 | the decoder, without a source | those before it | the next token |
# | BERT, 2018; ALBERT, 2019 | the encoder | all | tokens that were hidden |
# | Vision Transformer, 2020 | the encoder | all, patches of an image | the image's class |
#
# The first two need no labels: any text is a lesson. The papers: Radford et al. 2018 and 2019;
# Devlin et al. 2018 (arXiv 1810.04805); Lan et al. 2019 (arXiv 1909.11942); Dosovitskiy et al. 2020
# (arXiv 2010.11929).
#
# It runs in three minutes on two new CPU cores, without a download, because `DATASET` is
# `"sample"`: short sentences that the package writes itself, of which the English side is read
# here. The images of sections 11 to 14 come with scikit-learn, and section 15 writes a file with
# safetensors; `pip install "keras_transformer[notebooks]"` has both.

# %%
import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # fewer notes from TensorFlow

# %%
import random
import tempfile

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_transformer as kt
from keras_transformer.layers.cache import grow

tf.get_logger().setLevel("ERROR")  # no warnings that each new model is traced anew
DATASET = "sample"  # or "ted_hrlr_translate/pt_to_en", or any other name that load_corpus takes
LENGTH = 24 if DATASET == "sample" else 96  # tokens in a row of a batch
STEPS = 1200 if DATASET == "sample" else 20_000  # of training, for BERT and for GPT

corpus = kt.load_corpus(DATASET)
tokenizer = kt.train_tokenizers(corpus, kind="wordpiece", vocab_size=2000).target  # of English
vocab_size = int(tokenizer.get_vocab_size())
train, validation, test = (
    [english.decode() for _, english in corpus.require(part).as_numpy_iterator()]
    for part in ("train", "validation", "test")
)

# %% [markdown]
# ## 1. One stack of layers, three kinds of mask
#
# A layer is what it was: attention, then a small network for each position, each added to what
# comes in. What tells the models apart is which positions $j$ a position $i$ may look at:
#
# $$\text{BERT: } \text{token}_j \ne 0 \qquad \text{GPT: } j \le i \qquad \text{ViT: all } j$$
#
# Instead of drawing these masks, the next cell measures them: it changes one input after the other
# and marks which outputs move.


# %%
def measured_masks(stack, length=10, **masks):
    """Which inputs each output of a stack depends on, bool `(output, input)`."""
    x, other = (tf.random.normal((1, length, 32), seed=seed) for seed in (1, 2))
    changed = tf.where(tf.eye(length, dtype=bool)[..., tf.newaxis], other, x)  # one in each row
    masks = {name: tf.repeat(mask, length, axis=0) for name, mask in masks.items()}
    moved = tf.norm(stack(changed, **masks) - stack(tf.repeat(x, length, axis=0), **masks), axis=-1)
    return np.transpose(moved > 1e-4)


sizes = {"num_layers": 2, "d_model": 32, "num_heads": 4, "dff": 64}
ids = tf.constant([[2, 41, 57, 12, 90, 33, 6, 3, 0, 0]])  # a sentence of eight tokens, padded
masks_of_models = {
    "BERT: all tokens": measured_masks(kt.EncoderStack(**sizes), x_mask=ids != 0),
    "GPT: what came before": measured_masks(kt.CausalStack(**sizes)),
    "ViT: all patches": measured_masks(kt.EncoderStack(**sizes)),
}
kt.plot_masks(masks_of_models)

# %% [markdown]
# *What to see:* a row is a position of the output, and its filled squares are the inputs that it
# depends on. In BERT nobody but itself hears of padding (the last two columns); in GPT nobody hears
# of the future; in the Vision Transformer all patches hear of all.

# %% [markdown]
# ## 2. BERT's input: pairs, and who is who
#
# BERT reads two spans of text as one sequence, `[CLS] first [SEP] second [SEP]`, and says whether
# the second follows the first in the same document or comes from elsewhere. (The paper calls them
# sentences, though any stretch of text will do. In this package `[START]` and `[END]` are written
# for `[CLS]` and `[SEP]`.) What goes into the stack is a sum of three learned vectors, one for the
# token, one for its place and one for its segment:
#
# $$x_i = \text{LayerNorm}(E_{\text{token}_i} + P_i + S_{\text{segment}_i})$$
#
# The sentences of this corpus have no neighbours. So each is taken for a document of two spans, its
# halves.


# %%
def sentence_pairs(sentences):
    """Halves of sentences, half of them followed by a half from elsewhere, tokenised."""
    words = [sentence.split() for sentence in sentences]
    halves = [[" ".join(w[: len(w) // 2]), " ".join(w[len(w) // 2 :])] for w in words]
    pairs = kt.next_sentence_pairs(halves, seed=1)
    return pairs, kt.tokenize_sentence_pairs(pairs, tokenizer)


def pieces(ids):
    """The tokens of a row of ids as text; the mask has the id after the last token."""
    real = [int(token) for token in ids if token != 0]
    texts = tokenizer.lookup(tf.ragged.constant([[min(i, vocab_size - 1) for i in real]]))[0]
    return [
        "[MASK]" if i == vocab_size else t.numpy().decode()
        for i, t in zip(real, texts, strict=True)
    ]


text_pairs, pairs = sentence_pairs(train)
for first, second, label in text_pairs[:4]:
    print(f"{first} | {second}  ->  {'from elsewhere' if label else 'follows'}")
ids, segments = kt.pack_pairs(pairs.first[:1], pairs.second[:1], length=LENGTH)
print("\nsegment  token")
for segment, piece in zip(segments[0].numpy(), pieces(ids[0]), strict=False):
    print(f"{segment:7d}  {piece}")

# %% [markdown]
# ## 3. Hide some tokens: 80, 10, 10
#
# A model that sees both sides of a token cannot be asked for the next one: it would be looking at
# the answer. So BERT chooses 15 % of the tokens and has to say what they were. Of the chosen, 80 %
# become `[MASK]`, 10 % a random token, and 10 % stay, so that it cannot rely on seeing a mask where
# it is asked (the paper, section 3.1). The choice is made anew whenever a sentence comes by, by a
# transformation of the data set.

# %%
sentence = "this is a problem we have to solve ."
ids = tokenizer.tokenize([sentence]).to_tensor()
seeds = tf.data.Dataset.random(seed=1).batch(2)  # two numbers seed one choice
choices = seeds.map(lambda seed: kt.mask_tokens(ids, vocab_size=vocab_size, seed=seed))
for masked, labels in choices.take(4):
    print(" ".join(pieces(masked[0])), " asked for:", *pieces(labels[0]))

# %%
fates = {"[MASK]": 0, "another token": 0, "itself": 0}
many = tokenizer.tokenize(train).to_tensor()
masked, labels = kt.mask_tokens(many, vocab_size=vocab_size, seed=(1, 2))
now, before = masked[labels != 0].numpy(), labels[labels != 0].numpy()
fates["[MASK]"] = np.mean(now == vocab_size)
fates["itself"] = np.mean(now == before)
fates["another token"] = 1 - fates["[MASK]"] - fates["itself"]
figure, axes = plt.subplots(figsize=(7, 1.8), layout="constrained")
bars = axes.barh(list(fates), [100 * share for share in fates.values()])
axes.bar_label(bars, fmt="%.1f %%", padding=3)
axes.invert_yaxis()
axes.set(xlim=(0, 100), xlabel=f"Share of {len(before):,} chosen tokens in %", ylabel="Became")
plt.show()

# %% [markdown]
# *What to see:* the shares of the rule, drawn at random and so only nearly met. All other tokens
# of these sentences have no label, and cost the model nothing.

# %% [markdown]
# ## 4. Pre-training
#
# Let $M$ be the chosen places and $y$ whether the pair belongs together. BERT's loss is
#
# $$L = -\frac{1}{|M|} \sum_{i \in M} \log p(\text{token}_i \mid \text{what is left})
#   - \log p(y \mid x_1)$$
#
# where $p(y)$ is read off the first position, the one of `[START]`. `BertPretraining` has both
# heads and both losses; the rest is plain `fit`. The measure is a model that knows nothing but how
# frequent each token is: below its loss, something was learned from the words around the gap.

# %%
tiny = {"num_layers": 2, "d_model": 128, "num_heads": 4, "dff": 512, "max_length": LENGTH}
no_dropout = {"dropout_rate": 0.0, "attention_dropout_rate": 0.0}  # so short a training needs none


def new_bert():
    """For its width a deviation of 0.05 is what the published 0.02 is for one of 768."""
    sizes = {**tiny, **no_dropout, "initial_stddev": 0.05}
    return kt.Bert(vocab_size=vocab_size + 1, **sizes)  # one more for the mask


def adam(peak, steps=STEPS):
    """The rate rises for a tenth of the steps, then falls along a cosine."""
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps - steps // 10, warmup_target=peak, warmup_steps=steps // 10
    )
    return kt.Adam(rate, weight_decay=0.01, global_clipnorm=1.0)


# %%
keras.utils.set_random_seed(1)
options = {"vocab_size": vocab_size, "length": LENGTH, "batch_size": 64}
train_batches = kt.masked_language_batches(pairs, **options).repeat()
val_batches = kt.masked_language_batches(sentence_pairs(validation)[1], **options).cache()
in_parts = {"epochs": 6, "steps_per_epoch": STEPS // 6, "shuffle": False, "verbose": 0}
pretraining = kt.BertPretraining(new_bert())
pretraining.compile(adam(0.002))
history = pretraining.fit(train_batches, validation_data=val_batches, **in_parts).history


# %%
def loss_by_frequency(ids, labels):
    """The loss of labels for who knows only how often each token stands in some ids."""
    counts = np.bincount(ids.flat_values, minlength=vocab_size) + 1
    return -np.log(counts / counts.sum())[labels[labels != 0]].mean()


def draw_curves(panel, history, name, baseline, **labels):
    """Draws a quantity of training and validation, and a line to compare them with."""
    steps = np.arange(1, len(history[name]) + 1) * (STEPS // 6)
    panel.plot(steps, history[name], "o-", label="training")
    panel.plot(steps, history[f"val_{name}"], "s--", label="validation")
    panel.axhline(baseline[1], color="black", linestyle=":", label=baseline[0])
    panel.set(xlabel="Training step", **labels)
    panel.grid(alpha=0.3)
    panel.legend()


labels = np.concatenate([batch["tokens"].ravel() for _, batch in val_batches.as_numpy_iterator()])
figure, panels = plt.subplots(1, 2, figsize=(10, 3.3), layout="constrained")
baseline = ("frequencies alone", loss_by_frequency(tokenizer.tokenize(train)[:, 1:-1], labels))
draw_curves(panels[0], history, "token_loss", baseline, ylabel="Loss of a hidden token")
draw_curves(panels[1], history, "next_accuracy", ("a coin", 0.5), ylabel="Pairs told apart")
plt.show()

# %% [markdown]
# *What to see:* the loss of hidden tokens falls far below what frequencies give, on sentences that
# were not trained on, too; and pairs are told apart, because what does not go on grammatically
# gives itself away. (Validation is ahead, since it is measured at the end of each part of the
# training and not on the way.)

# %% [markdown]
# ## 5. Fill the blank
#
# What it learned shows where a word is missing. Three sentences, and the five likeliest words for
# the gap in each.


# %%
def hidden(sentence):
    """Ids of a sentence in which `___` is the mask."""
    before, after = (tokenizer.tokenize([part])[:, 1:-1] for part in sentence.split("___"))
    mask = tf.constant([[vocab_size]], before.dtype)
    return kt.pack_pairs(tf.concat([before, mask, after], axis=1), length=LENGTH)[0]


blanks = (
    "she did ___ swim .",
    "my daughter is thirty-three years ___ .",
    "when he came , the girl was ___ the water .",
)
figure, panels = plt.subplots(1, 3, figsize=(12, 2.6), layout="constrained")
for panel, blank in zip(panels, blanks, strict=True):
    ids = hidden(blank)
    place = int(np.argmax(ids[0] == vocab_size))
    likely = tf.math.top_k(tf.nn.softmax(pretraining(ids)["tokens"][0, place]), k=5)
    panel.barh(pieces(likely.indices), likely.values)
    panel.invert_yaxis()
    panel.set_title(blank, fontsize="medium")
    panel.set(xlabel="Probability", xlim=(0, 1))
plt.show()

# %% [markdown]
# *What to see:* where grammar or a set phrase leaves one choice, the model is sure of it; where
# many words would do, it spreads its probability over words of one kind, here mostly in *-ing*.
#
# To do that it had to find out which words can stand in for each other. Nobody told it what a verb
# or a person is, and yet, by the cosine of their vectors, these are the nearest neighbours:

# %%
table = pretraining.bert.embedding.pos_embedding.embedding.embeddings[:vocab_size]
table = tf.math.l2_normalize(table, axis=-1)
for word in ("doctor", "eating", "bought", "monday", "blue"):
    vector = table[int(tokenizer.tokenize([word])[0, 1])]
    nearest = tf.math.top_k(tf.linalg.matvec(table, vector), k=7).indices
    print(f"{word:8s}", *pieces(nearest[1:]))

# %%
ids = hidden("the neighbors who sold the phones ___ engineers .")
ids = ids[:, : int(tf.math.count_nonzero(ids))]
output, scores = pretraining.bert(ids, return_attention_scores=True)
kt.plot_attention_grid(scores, pieces(ids[0]))

# %% [markdown]
# *What to see:* `[MASK]` and the words around it look to both sides. Some heads have a place to
# look at, such as the next word, whatever it is; others look for a kind of word.

# %% [markdown]
# ## 6. A head for the task at hand
#
# Now the trained stack is put to a task that has few labels (the paper, section 3.2). A vector for
# the whole text, $\tanh(W x_1 + b)$, is read off the first position, and one new dense layer makes
# classes of it; everything is trained on. The task: does a sentence say when? There are 60 labelled
# sentences, and next to the pre-trained model is the same without pre-training.

# %%
DAYS = "monday tuesday wednesday thursday friday saturday sunday mondays sundays"
WHEN = {*DAYS.split(), "yesterday", "today", "tomorrow", "now", "ago", "week", "morning", "night"}


def examples(sentences, number):
    """As many sentences that say when as others: `(ids, classes)`."""
    drawn = random.Random(3).sample(sentences, len(sentences))
    saying = [sentence for sentence in drawn if WHEN & {*sentence.split()}]
    others = [sentence for sentence in drawn if not WHEN & {*sentence.split()}]
    number = min(number, len(saying), len(others))
    chosen = tokenizer.tokenize(saying[:number] + others[:number])[:, 1:-1]
    return kt.pack_pairs(chosen, length=LENGTH)[0].numpy(), np.repeat([1, 0], number)


few, held_out = examples(train, 30), examples(validation + test, 150)
print(f"{len(few[1])} labelled sentences, {len(held_out[1])} held out")

# %%
curves = {}
keras.utils.set_random_seed(1)
pretrained, fresh = new_bert(), new_bert()
pretrained.set_weights(pretraining.bert.get_weights())  # a copy, to be trained on
for name, bert in (("pre-trained", pretrained), ("from scratch", fresh)):
    classifier = kt.SequenceClassifier(bert, num_classes=2)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    classifier.compile(kt.Adam(3e-4), loss=loss, metrics=["accuracy"])
    fitted = classifier.fit(*few, batch_size=12, epochs=10, validation_data=held_out, verbose=0)
    curves[name] = fitted.history["val_accuracy"]

# %%
figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
for (name, accuracies), style in zip(curves.items(), ("o-", "s--"), strict=True):
    axes.plot(range(1, len(accuracies) + 1), np.multiply(accuracies, 100), style, label=name)
axes.set(xlabel="Pass over the labelled sentences", ylabel="Held-out accuracy in %")
axes.set(title="Does the sentence say when?", ylim=(40, 102))
axes.grid(alpha=0.3)
axes.legend()
plt.show()

# %% [markdown]
# *What to see:* what was learned without labels saves labels. Whoever knows that *monday* is like
# *sunday* needs no example of both; the model that starts from nothing does. Where a few words
# that are in all examples give the answer away, such as those of questions, the lead is gone: it is
# largest where labels are few and words are many.

# %% [markdown]
# ## 7. ALBERT: the same depth, a tenth of the weights
#
# ALBERT changes two things. All layers share one set of weights. And token vectors have a width $E$
# that is smaller than the model's $H$, with one matrix between them, because a vocabulary of $V$
# tokens is wide enough without being $H$ wide:
#
# $$V \times H \quad\to\quad V \times E + E \times H$$
#
# Below are the published sizes. (Weights in a `StatelessScope` have shapes and no memory, so that
# counting costs none.)

# %%
counted = {}
for name in ("bert-base", "albert-base", "albert-large"):
    with keras.StatelessScope(initialize_variables=False):
        model = kt.Bert.preset(name)
    parts = {"embeddings": model.embedding, "layers": model.encoder, "pooler": model.pooler}
    counted[name] = {part: layer.count_params() for part, layer in parts.items()}
    print(f"{name:14s}{model.count_params():12,} weights in {model.encoder.num_layers} layers")

figure, axes = plt.subplots(figsize=(8, 2.2), layout="constrained")
start = np.zeros(len(counted))
for part in ("embeddings", "layers", "pooler"):
    width = np.array([of_model[part] / 1e6 for of_model in counted.values()])
    axes.barh(list(counted), width, left=start, label=part)
    start += width
axes.invert_yaxis()
axes.set_xlabel("Million weights")
axes.legend()
plt.show()

# %% [markdown]
# *What to see:* twelve layers that are one take a twelfth, and the factorised embedding a sixth, of
# what BERT spends on them; the large size, with 24 layers, adds width and nothing for its depth.
# Sharing saves memory, not time: every layer is computed as before.
#
# In code these are two arguments, and ALBERT's other task, whether two spans stand in order, is
# another way to draw the pairs.

# %%
albert = kt.Bert(vocab_size=vocab_size + 1, embedding_size=32, share_layers=True, **tiny)
print(f"BERT {fresh.count_params():9,} weights\nALBERT {albert.count_params():7,} weights")
for first, second, label in kt.sentence_order_pairs([["we read", "the letter", "and smiled ."]]):
    print(f"{first} | {second}  ->  {'swapped' if label else 'in order'}")

# %% [markdown]
# ## 8. GPT: the next token
#
# GPT keeps the decoder, without a source and without attention to it. It reads from left to right,
# so every position has something to predict, not 15 % of them:
#
# $$L = -\frac{1}{n} \sum_{i=1}^{n} \log p(t_i \mid t_1, \dots, t_{i-1})$$
#
# Perplexity is $e^L$: between how many equally likely tokens the model wavers, as it were.

# %%
keras.utils.set_random_seed(1)
options = {"length": LENGTH, "batch_size": 64, "seed": 1}
train_batches = kt.line_batches(train, tokenizer, **options)
val_batches = kt.line_batches(validation, tokenizer, shuffle=False, **options)
inputs, labels = next(train_batches.epoch(0))
print("sees    ", *pieces(inputs[0]), "\npredicts", *pieces(labels[0]))

gpt = kt.GPT(vocab_size=vocab_size, **tiny, dropout_rate=0.0)
gpt.compile(adam(0.003), loss=kt.masked_loss)
history = gpt.fit(
    train_batches.dataset().repeat(), validation_data=val_batches.dataset(), **in_parts
).history

# %%
labels = np.concatenate([labels.ravel() for _, labels in val_batches.epoch(0)])
by_frequency = loss_by_frequency(tokenizer.tokenize(train)[:, 1:], labels)  # ends count, too
found = kt.perplexity(gpt, val_batches.epoch(0))
print(f"perplexity of {found.tokens:,} held-out tokens: {found.perplexity:.1f}")
print(f"by frequencies alone: {np.exp(by_frequency):.0f}")
figure, axes = plt.subplots(figsize=(7, 3.3), layout="constrained")
draw_curves(axes, history, "loss", ("frequencies alone", by_frequency), ylabel="Loss of a token")
plt.show()

# %% [markdown]
# *What to see:* GPT learns faster than BERT from the same sentences, since each of them asks it six
# times as much. It does not get near 0: what people will say next can be guessed only in part.

# %% [markdown]
# ## 9. What the past is kept for
#
# No position looks ahead, so a new token changes nothing before it. That is what makes writing
# cheap: keys and values of what was written are kept, and a new token costs one position. Below,
# one pass over the whole sentence gives what steps of one token give.

# %%
ids = tokenizer.tokenize(["the teacher asked the student to open the window ."]).to_tensor()
logits, scores = gpt(ids, return_attention_scores=True)  # in one pass
number = ids.shape[1]
cache = gpt.initial_cache(gpt.encode(ids[:, :1]))  # of [START], the shortest prompt
cache = grow(cache, number)
for position in range(number):
    token = ids[:, position : position + 1]
    step, cache = gpt.decode_step(token, tf.constant(position), cache)
    np.testing.assert_allclose(step[:, 0], logits[:, position], atol=1e-4)
print(f"{number} steps with a cache give what one pass gives")
kt.plot_attention_grid(scores, pieces(ids[0]))

# %% [markdown]
# *What to see:* the upper right of every panel is empty, which is the mask of section 1 at work;
# each head looks back at something else.

# %% [markdown]
# ## 10. Going on with a text
#
# A language model gives probabilities, and what to make of them is another choice. Greedy search
# takes the likeliest token, a beam follows several beginnings. Both write what is likely, again and
# again the same. Sampling draws by the probabilities, with logits $z_k$ divided by a temperature
# $T$, or from the $k$ likeliest tokens alone:
#
# $$p(k) = \frac{e^{z_k / T}}{\sum_j e^{z_j / T}}$$

# %%
beginning = "the young teacher"
ids = tokenizer.tokenize([beginning])[:, :-1].to_tensor()  # without its end
logits = gpt(ids)[0, -1]
likely = tf.math.top_k(logits, k=10).indices
figure, axes = plt.subplots(figsize=(9, 3), layout="constrained")
for number, temperature in enumerate((0.5, 1.0, 2.0)):
    probabilities = tf.gather(tf.nn.softmax(logits / temperature), likely)
    axes.bar(np.arange(10) + 0.27 * (number - 1), probabilities, 0.27, label=f"{temperature}")
axes.set_xticks(range(10), pieces(likely))
axes.set(xlabel=f"Next token after “{beginning}”", ylabel="Probability")
axes.legend(title="Temperature")
plt.show()

# %% [markdown]
# *What to see:* a low temperature makes the likely likelier, a high one evens them out.

# %%
generator = kt.Generator(tokenizer, gpt, jit_compile=False)  # too few texts to be worth XLA
ways = {
    "greedy": {},
    "beam of 4": {"beam_size": 4, "n_best": 3},
    "T = 0.7, best 10": {"sampling": True, "temperature": 0.7, "top_k": 10, "n_best": 3},
    "T = 2": {"sampling": True, "temperature": 2.0, "n_best": 3},
}
for way, options in ways.items():
    found = generator.generate([beginning], max_new_tokens=20, seed=3, **options)[0]
    for number, other in enumerate(found.alternatives or [found]):
        print(f"{'' if number else way:18s}{other.score:7.1f}  {other.text}")

# %% [markdown]
# The number is $\log p$ of the continuation. Greedy search takes the best at every step; the beam
# compares four beginnings at a time, and then writes nearly the same sentence three times. Neither
# promises the likeliest of all sentences: a good one may begin badly and be dropped. Mild sampling
# is varied and still grammatical, and at $T = 2$ grammar breaks.

# %% [markdown]
# ## 11. The Vision Transformer: an image is worth 16 words
#
# The stack does not care what its vectors mean. Cut an image into patches of $P \times P$ pixels,
# project each to a vector, and read them as a sentence (Dosovitskiy et al., equation 1), after a
# learned vector $x_{class}$ whose place will answer:
#
# $$z_0 = [x_{class};\; x^1 E;\; \dots;\; x^N E] + E_{pos}$$
#
# The projection is a convolution whose stride is its width, which is the same as cutting,
# reshaping and a dense layer. The images are scikit-learn's 1,797 handwritten digits of 8 x 8
# pixels; patches of 2 x 2 make 16 words of each.

# %%
digits = load_digits()
images = (digits.images[..., np.newaxis] / 16).astype(np.float32)  # (1797, 8, 8, 1), from 0 to 1
images, held_out, labels, held_out_labels = train_test_split(
    images, digits.target, test_size=0.2, stratify=digits.target, random_state=0
)
digit = held_out[:1]
embed = kt.PatchEmbedding(patch_size=2, d_model=64)
vectors = embed(digit)  # (1, 16 patches, 64), by a convolution

patches = digit.reshape(1, 4, 2, 4, 2, 1).transpose(0, 1, 3, 2, 4, 5).reshape(1, 16, 4)
by_hand = patches @ embed.kernel.numpy().reshape(4, 64) + embed.bias.numpy()
np.testing.assert_allclose(vectors, by_hand, atol=1e-5)

# %%
figure = plt.figure(figsize=(10, 2.6), layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=(1, 3))
whole = left.subplots()
whole.imshow(digit[0, ..., 0], cmap="gray_r", vmin=0, vmax=1)
whole.set(title="Image", xticks=np.arange(1.5, 7, 2), yticks=np.arange(1.5, 7, 2))
whole.tick_params(labelbottom=False, labelleft=False, length=0)
whole.grid(color="tab:orange")
for number, panel in enumerate(right.subplots(2, 8).flat):
    panel.imshow(patches[0, number].reshape(2, 2), cmap="gray_r", vmin=0, vmax=1)
    panel.set_title(f"{number + 1}", fontsize="small")
    panel.set(xticks=[], yticks=[])
plt.show()

# %% [markdown]
# *What to see:* the sentence that the model reads, row by row. No patch of four pixels says much:
# what counts is which of them stand where, and finding that is the work of attention and positions.

# %% [markdown]
# ## 12. Learning to read digits
#
# The loss is that of any classifier, $-\log p(\text{class} \mid z_{class})$, read off the class
# token after the last layer. Attention knows nothing of neighbouring pixels or of shifted images,
# as convolutions do; it must learn them. With 1,437 images that takes help: each is turned, shifted
# and zoomed a little, anew whenever it comes by.


# %%
def changed(images, labels):
    """Images as they might have been written too, a fifth of them as they are."""
    number, centre = tf.shape(images)[0], (images.shape[1] - 1) / 2
    moved = tf.cast(tf.random.uniform((number,)) < 0.8, tf.float32)
    turn, zoom, right, down = tf.unstack(tf.random.uniform((4, number), -1, 1) * moved)
    scale = tf.exp(0.15 * zoom)
    c, s = scale * tf.cos(0.25 * turn), scale * tf.sin(0.25 * turn)
    x, y = centre * (1 - c + s) + right, centre * (1 - c - s) + down
    # Where the pixels of the new image come from: (x, y) -> (c x - s y + ..., s x + c y + ...).
    maps = tf.stack([c, -s, x, s, c, y, tf.zeros_like(c), tf.zeros_like(c)], axis=1)
    fill = {"fill_mode": "constant", "fill_value": 0.0, "data_format": "channels_last"}
    return keras.ops.image.affine_transform(images, maps, **fill), labels


def digit_batches(images):
    """Batches of 64 images, changed a little, in another order in each epoch."""
    pairs = tf.data.Dataset.from_tensor_slices((images, labels))
    return pairs.shuffle(2000, seed=1).batch(64, drop_remainder=True).map(changed).prefetch(2)


# %%
EPOCHS = 60
keras.utils.set_random_seed(1)
sizes = {"num_layers": 4, "d_model": 64, "num_heads": 4, "dff": 128, "patch_size": 2}
# A patch of four pixels is little without its place, so positions start at their own size.
vit = kt.ViT(image_size=8, channels=1, num_classes=10, positions_stddev=0.5, **sizes)
vit.compile(
    adam(2e-3, steps=EPOCHS * (len(images) // 64)),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
history = vit.fit(
    digit_batches(images),
    validation_data=(held_out, held_out_labels),
    epochs=EPOCHS,
    shuffle=False,
    verbose=0,
)
accuracy = history.history["val_accuracy"][-1]
print(f"{accuracy:.1%} of {len(held_out)} held-out digits, {vit.count_params():,} weights")
kt.plot_training_curves(history)

# %% [markdown]
# *What to see:* held-out digits are read better than those of training, since they are not turned
# and shifted, and dropout is off.

# %% [markdown]
# ## 13. Where it looked
#
# Attention of one layer says what it took from the layer below, and that had mixed its own input
# already. The roll-out follows the mixing through all layers. $A_l$ is the mean over the heads of
# layer $l$, and $I$ stands for the residual connection (Abnar and Zuidema 2020, section 3):
#
# $$R = \prod_l \tfrac{1}{2}(A_l + I)$$

# %%
logits, scores = vit(held_out, return_attention_scores=True)
guesses = np.argmax(logits, axis=-1)
rollout = kt.attention_rollout(scores)  # (images, 17, 17): the class token and 16 patches
shown = int(np.argmax(held_out_labels == 6))  # the first 6
kt.plot_attention_rollout(
    held_out[shown], rollout[shown], patch_size=2, title=f"A 6, read as {guesses[shown]}"
)

# %% [markdown]
# *What to see:* the answer does not come from the ink alone. Much of it comes from the right of the
# upper stroke, where a 6 is empty and a 0, an 8 or a 9 would not be. The roll-out is a summary, not
# a proof: it knows nothing of what the layers make of what they see.

# %% [markdown]
# ## 14. Positions on a plane, and images of another size
#
# The positions $E_{pos}$ are one vector for each patch, and the model was told nothing of rows and
# columns. But we know that they lie on a plane, so an image of another size can have positions in
# between (the paper, section 3.2). The model does that by itself; here is what it does, by the
# cosines of one position with all others.

# %%
learned = vit.positions.positions
finer = kt.interpolate_positions(learned, (4, 4), (8, 8))
grids = {"4 x 4, learned": learned, "8 x 8, interpolated": finer}
figure, panels = plt.subplots(1, 2, figsize=(7, 3), layout="constrained")
for panel, (name, positions) in zip(panels, grids.items(), strict=True):
    patches = tf.math.l2_normalize(positions[1:], axis=-1)  # without the class token's
    side = int(len(patches) ** 0.5)
    chosen = side // 4 * side + side // 4
    cosines = tf.reshape(tf.linalg.matvec(patches, patches[chosen]), (side, side))
    drawn = panel.imshow(cosines, cmap="viridis", vmin=-0.5, vmax=1)
    panel.plot(chosen % side, chosen // side, "rx")
    panel.set(title=name, xticks=[], yticks=[])
figure.colorbar(drawn, ax=panels, label="Cosine with the position at the cross")
plt.show()

# %% [markdown]
# *What to see:* on the left each position is a vector of its own: 16 are so few that the model can
# learn each by heart. (The paper's, of 14 rows and 14 columns, grow like their neighbours.) On the
# right there are four times as many, and neighbours share what they were made from.
#
# On images of twice the size, patches of 2 x 2 pixels hold a quarter of what they held. So the
# paper trains on for a while at the new size:

# %%
large, large_held_out = (tf.image.resize(x, (16, 16)).numpy() for x in (images, held_out))


def right(images):
    """Share of held-out images that are read right."""
    return np.mean(np.argmax(vit.predict(images, verbose=0), axis=-1) == held_out_labels)


print(f"16 x 16 pixels, as it is: {right(large_held_out):.1%}")
vit.compile(
    adam(5e-4, steps=3 * (len(images) // 64)),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
)
vit.fit(digit_batches(large), epochs=3, shuffle=False, verbose=0)
print(f"after three more passes:  {right(large_held_out):.1%}")

# %% [markdown]
# ## 15. Weights of others
#
# Nobody pre-trains a large model twice. Published checkpoints are folders with a `config.json` and
# a file of tensors, and the models of this notebook load them:
#
# ```python
# bert = kt.load_huggingface("checkpoints/bert-base-uncased", architecture="BertModel")
# tokenizer = kt.load_huggingface_tokenizer("checkpoints/bert-base-uncased")
# bert(tokenizer.tokenize(["good morning"]).to_tensor()).sequence.shape  # (1, 4, 768)
# ```
#
# Nothing is downloaded; a folder comes from, for example,
# `hf download google-bert/bert-base-uncased --local-dir checkpoints/bert-base-uncased`. BERT and
# ALBERT with their heads, GPT-2, ViT and Marian are known. Without a download the way can be
# walked from the other end: this notebook's own BERT is written as such a folder, which the
# library transformers would load too, and read again.

# %%
with tempfile.TemporaryDirectory() as folder:
    kt.save_huggingface(pretraining, folder)
    for file in sorted(os.listdir(folder)):
        print(f"{file:20s}{os.path.getsize(os.path.join(folder, file)):10,} bytes")
    again = kt.load_huggingface(folder)

inputs = hidden("the neighbors who sold the phones ___ engineers .")
np.testing.assert_allclose(again(inputs)["tokens"], pretraining(inputs)["tokens"], atol=1e-4)
print(f"{type(again).__name__}, {again.count_params():,} weights: the same logits")

# %% [markdown]
# ## What minutes cannot show
#
# - Which of them reads best? Here the texts, the tasks and the times differ. `benchmarks/README.md`
#   has a comparison that is fair: ELMo, GPT and BERT, about as large, each pre-trained on the same
#   text for the same minutes and then fine-tuned on the same few labels, next to the same models
#   without pre-training. It is made by
#
#       python benchmarks/pretraining.py
#
# - `benchmarks/digits.py` trains the Vision Transformer of section 12 twice as long, with more
#   kinds of change, from three seeds, and scores it next to scikit-learn's own classifiers.
# - What made these models famous is scale: BERT read 3.3 thousand million words, GPT-2 forty
#   gigabytes, and the Vision Transformer is ahead of convolutions only after tens of millions of
#   images.
# - The same models with checkpoints, resuming and logs:
#
#       keras-transformer train --model gpt --dataset text:FILE --output runs/gpt
#       keras-transformer generate --model runs/gpt "in the beginning"
#
# - How it began: `attention_lineage.ipynb`; the layers one by one: `transformer.ipynb`.
