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
# # Where attention came from: RNN, LSTM and GRU, Bahdanau and Luong, the Transformer
#
# This notebook walks from recurrent networks to the Transformer, and shows with tiny models of the
# same corpus what each step mended.
#
# | | what was new | way back to the first word | waits |
# | --- | --- | --- | --- |
# | RNN, 1990 | a state that is carried along | $n$ steps, through a matrix each | $n$ |
# | LSTM, 1997; GRU, 2014 | gates, and a memory that is added to | $n$ steps, of addition | $n$ |
# | one context vector, 2014 | one network reads, another writes | $n$ steps | $n$ |
# | attention, 2015 | the writer looks back at every word | 1 step from writer to word | $n$ |
# | Transformer, 2017 | nothing but attention | 1 step | 1 in training |
#
# The third column is what a gradient has to travel, the last one how many computations must wait
# for each other, for a sentence of $n$ words. The papers: Elman 1990; Hochreiter and Schmidhuber
# 1997; Cho et al. 2014; Sutskever et al. 2014; Bahdanau et al. 2015; Luong et al. 2015; Vaswani et
# al. 2017.
#
# It runs in three minutes on two new CPU cores, without a download. What cannot be seen in so short
# a time is said at the end, with the command that shows it.

# %%
import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # fewer notes from TensorFlow

# %%
import time
from statistics import median

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

import keras_transformer as kt

tf.get_logger().setLevel("ERROR")  # no warnings that each new model is traced anew
DATASET = "sample"  # or "ted_hrlr_translate/pt_to_en", or any other name that load_corpus takes
STEPS = 540  # of training, for each model
UNITS = 128  # width of all models

corpus = kt.load_corpus(DATASET)
tokenizers = kt.train_tokenizers(corpus, kind="wordpiece", vocab_size=2000, shared=True)
val_batches = kt.make_batches(corpus.validation, tokenizers, batch_tokens=2048, shuffle=False)

# %% [markdown]
# ## 1. A state that is carried along
#
# A recurrent network reads one word after the other. All that it knows of the words before stands
# in one vector, its state:
#
# $$h_t = \tanh(b + W h_{t-1} + U x_t)$$
#
# Below, the formula as a loop gives what the layer gives. Then the first of 40 inputs is changed,
# with recurrent matrices $W$ that are orthogonal up to a factor, and the change of the state is
# followed.

# %%
rng = np.random.default_rng(1)
x = rng.normal(size=(1, 40, 32)).astype(np.float32)
cell = kt.RNNCell(32)
states = keras.layers.RNN(cell, return_sequences=True)(x)

b, w, u = (weight.numpy() for weight in (cell.bias, cell.recurrent_kernel, cell.kernel))
h = np.zeros((1, 32))
for t in range(40):
    h = np.tanh(b + h @ w + x[:, t] @ u)
np.testing.assert_allclose(states[:, -1], h, atol=1e-5)

figure, axes = plt.subplots(figsize=(7, 3))
for factor in (0.5, 1.0, 3.0):
    cell.recurrent_kernel.assign(factor * w)
    both = np.concatenate([x, x + (np.arange(40) == 0)[:, np.newaxis] * 0.1]).astype(np.float32)
    first, second = keras.layers.RNN(cell, return_sequences=True)(both)
    axes.semilogy(tf.norm(first - second, axis=-1), label=f"W times {factor}")
axes.set(xlabel="Position", ylabel="Change of the state")
axes.legend()
plt.show()

# %% [markdown]
# *What to see:* with a small matrix the first word is forgotten at once, with the fresh one within
# some twenty steps (what is left at the bottom is rounding), and with a large one it is never
# settled: the state is chaotic.

# %% [markdown]
# ## 2. Gradients that vanish
#
# Learning goes the same way back. What the last step's loss $L$ says to an early state comes
# through a product of as many factors as there are steps between:
#
# $$\frac{\partial L}{\partial h_{t-1}} = W^\top \operatorname{diag}(1 - h_t^2)\,
#   \frac{\partial L}{\partial h_t}$$
#
# Factors that are mostly below 1 leave nothing of it, and factors above 1 let it explode.


# %%
def loss(states):
    """Squared length of the last state, of `(batch, seq, units)`."""
    return tf.reduce_sum(states[:, -1] ** 2)


x = rng.normal(size=(32, 60, 32)).astype(np.float32)
norms = {}
for factor in (0.5, 1.0, 2.0, 3.0):
    cell.recurrent_kernel.assign(factor * w)
    (norms[f"W times {factor}"],) = kt.gradient_norms_through_time(cell, x, loss)
kt.plot_gradients_through_time(norms)

# %% [markdown]
# *What to see:* the axis is logarithmic, so each straight line is a gradient that shrinks or grows
# by the same factor with every step: it vanishes, or explodes, and no factor on $W$ is right for
# all distances.

# %% [markdown]
# ## 3. Gates: LSTM and GRU
#
# The LSTM keeps a second state $c$, which is not squeezed through a matrix at every step but added
# to. Gates, numbers from 0 to 1 that are learned, say what is kept, written and shown:
#
# $$c_t = f_t \odot c_{t-1} + i_t \odot g_t \qquad h_t = o_t \odot \tanh(c_t)
#   \qquad f_t, i_t, o_t = \sigma(b + W h_{t-1} + U x_t)$$
#
# The GRU does it with one state: $h_t = z_t \odot h_{t-1} + (1 - z_t) \odot g_t$. Where $f_t$ or
# $z_t$ is near 1 the factor of section 2 is near 1, too.

# %%
kt.plot_gradients_through_time(kt.gradient_norms_by_architecture(steps=60, units=32))

# %% [markdown]
# *What to see:* over 60 steps the RNN loses a factor of a million millions, and a fresh GRU no
# less. But with their gates open, which LSTM and GRU can learn and the RNN cannot, a good part of
# the gradient arrives. Attention, to which we come, does not fall with the distance at all.

# %% [markdown]
# ## 4. One network reads, another writes
#
# To translate, an encoder reads the source, and its last state is the first state of a decoder,
# which writes the target (Sutskever et al.):
#
# $$s_0 = h_n \qquad s_i = \text{cell}(s_{i-1}, t_{i-1}) \qquad
#   p(t_i \mid t_{<i}) = \text{softmax}(V s_i)$$
#
# Whatever the length of the sentence, all of it must go through that one vector. Every model from
# here on is trained by this one function: the same batches in the same order, Adam with a short
# warm-up and a learning rate that suits the model, gradients clipped to length 1.

# %%
results = {}


def train(name, model, learning_rate=0.003):
    """Trains `model` and keeps its losses, its speed and the model itself under `name`."""
    batches = kt.make_batches(corpus.train, tokenizers, batch_tokens=1024, seed=1).repeat()
    ends = []
    clock = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: ends.append(time.perf_counter())
    )
    # The rate rises for the first sixth of the steps.
    rate = keras.optimizers.schedules.PolynomialDecay(0.0, STEPS // 6, learning_rate)
    model.compile(kt.Adam(rate, global_clipnorm=1.0), loss=kt.masked_loss)
    options = {"epochs": 6, "steps_per_epoch": STEPS // 6, "shuffle": False, "verbose": 0}
    history = model.fit(batches, validation_data=val_batches, callbacks=[clock], **options)
    losses = history.history["val_loss"]
    results[name] = {"model": model, "losses": losses, "steps/s": 1 / median(np.diff(ends))}
    print(f"{name:28s}{model.count_params():10,} weights, loss {losses[-1]:.3f}")


# %%
def draw_losses():
    """Draws the validation losses of all that was trained so far."""
    _, axes = plt.subplots(figsize=(8, 3.5), layout="constrained")
    styles = ("o:", "s:", "^:", "D--", "v--", "*-")
    for (name, result), style in zip(results.items(), styles, strict=False):
        steps = np.arange(1, len(result["losses"]) + 1) * (STEPS // 6)
        axes.plot(steps, result["losses"], style, label=name)
    axes.set(xlabel="Training step", ylabel="Validation loss of a token")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    plt.show()


# %% [markdown]
# First the three cells with one context vector. The encoders read in both directions, as they will
# in the next section, and all models share one vocabulary for both languages.

# %%
vocab_size = tokenizers.target.get_vocab_size()
common = {
    "input_vocab_size": vocab_size,
    "target_vocab_size": vocab_size,
    "share_embeddings": True,  # one table of word vectors for source, target and output
    "tie_output": True,
    "dropout_rate": 0.0,  # so short a training does not overfit
}
keras.utils.set_random_seed(1)
rates = {"rnn": 0.001, "lstm": 0.003, "gru": 0.003}
for kind, rate in rates.items():
    model = kt.RecurrentSeq2Seq(units=UNITS, kind=kind, attention=None, **common)
    train(kind.upper(), model, rate)
draw_losses()

# %% [markdown]
# *What to see:* all three learn slowly: they soon know which words are frequent and what an English
# sentence looks like, but little of what the source says. The gates help.

# %% [markdown]
# ## 5. Bahdanau: look back at every word
#
# Bahdanau et al. let the decoder look at *all* states of the encoder before each word that it
# writes. A small network scores how well its state $s_{i-1}$ and each $h_j$ fit; the scores become
# weights, and the weighted mean of the states is what the decoder reads:
#
# $$e_{ij} = v^\top \tanh(W s_{i-1} + U h_j) \qquad
#   a_{ij} = \frac{\exp(e_{ij})}{\sum_k \exp(e_{ik})} \qquad c_i = \sum_j a_{ij} h_j$$

# %%
s, h = rng.normal(size=(1, 1, 16)), rng.normal(size=(1, 5, 24))  # one query, five encoder states
attention = kt.AdditiveAttention(units=32, dtype="float64")
context, weights = attention(s, h)

w_s, u_h, v = (weight.numpy() for weight in attention.weights)
scores = np.tanh(s @ w_s + h @ u_h) @ v[:, 0]  # (1, 5 keys)
by_hand = np.exp(scores) / np.exp(scores).sum()
np.testing.assert_allclose(weights[:, 0], by_hand)
np.testing.assert_allclose(context[:, 0], by_hand @ h[0])

train("GRU, Bahdanau", kt.RecurrentSeq2Seq(units=UNITS, attention="additive", **common))
draw_losses()

# %% [markdown]
# *What to see:* the line with attention leaves the others behind, with the same cell and the same
# number of steps.

# %%
sentence = "este é um problema que temos que resolver ."


def translation(name):
    """What a trained model makes of the sentence, with its attention."""
    translator = kt.Translator(tokenizers, results[name]["model"], jit_compile=False)
    found = translator.translate([sentence], attention=True, style="corpus")[0]
    print(f"{name}: {found.text}")
    return found


translation("GRU")
kt.plot_attention_average(translation("GRU, Bahdanau"))

# %% [markdown]
# *What to see:* each English word was written with an eye on one or two Portuguese ones, while the
# GRU without attention invents a sentence; nobody told the model which words belong together.

# %% [markdown]
# ## 6. Luong: a product will do
#
# Luong et al. let the decoder step first and look then. The score is a product, with or without a
# matrix in between, which is one matrix multiplication for all positions; what was found and who
# looked for it make the vector that the next word is predicted from:
#
# $$e_{ij} = s_i^\top h_j \;\;(\text{dot}) \qquad
#   e_{ij} = s_i^\top W h_j \;\;(\text{general}) \qquad
#   \tilde{s}_i = \tanh(W_c\,[c_i; s_i])$$
#
# A product of two wide states soon gets so large that the softmax makes a hard choice before it
# knows what to choose. Divided by $\sqrt{d}$ it does not, and then it is the attention of the
# Transformer; the model here divides. Its encoder reads in one direction, for states of one width.

# %%
s, h = rng.normal(size=(1, 3, 16)), rng.normal(size=(1, 5, 16))  # three queries, five states
context, weights = kt.DotAttention(scaled=True, dtype="float64")(s, h)
theirs, their_weights = kt.scaled_dot_product_attention(s, h, h)
np.testing.assert_allclose(context, theirs)
np.testing.assert_allclose(weights, their_weights)

model = kt.RecurrentSeq2Seq(units=UNITS, attention="scaled_dot", bidirectional=False, **common)
train("GRU, Luong", model, 0.005)
kt.plot_attention_average(translation("GRU, Luong"))

# %% [markdown]
# *What to see:* the same diagonal from a simpler score, still soft after so few steps.

# %% [markdown]
# ## 7. The Transformer: nothing but attention
#
# If attention carries the meaning, what is the recurrence for? It says where words stand, and lets
# words of one language see each other. The first can be added to the word vectors, and the second
# is attention, too, from a sentence to itself:
#
# $$\text{Attention}(Q, K, V) = \text{softmax}\!\left(\frac{QK^\top}{\sqrt{d_k}}\right) V$$
#
# No position waits for another, so all steps of a sentence are trained side by side.
# `transformer.ipynb` takes it apart.

# %%
transformer = kt.Transformer(
    num_layers=2, d_model=UNITS, num_heads=4, dff=4 * UNITS, norm_first=True, **common
)
train("Transformer", transformer)
draw_losses()

# %% [markdown]
# *What to see:* on the same batches the Transformer's loss falls the fastest, and only that with
# Bahdanau's attention comes down to it in as many steps.

# %%
translator = kt.Translator(tokenizers, transformer, jit_compile=False)
kt.plot_attention_grid(kt.sentence_attention(translator, sentence), attention="cross")

# %% [markdown]
# *What to see:* in the place of one table of weights there are eight, layers by heads, and they
# look at different things.

# %% [markdown]
# ## 8. The lineage table
#
# All models translate the same held-out sentences, greedily, and are scored with BLEU.

# %%
test = corpus.test.take(300)
pairs = [(source.decode(), target.decode()) for source, target in test.as_numpy_iterator()]
sources, references = zip(*pairs, strict=True)
scores = {}
print(f"{'':16}{'weights':>10}{'steps/s':>9}{'val. loss':>11}{'BLEU':>7}")
for name, result in results.items():
    translator = kt.Translator(tokenizers, result["model"], jit_compile=False)
    found = kt.evaluate(translator, test, return_hypotheses=True)
    scores[name] = kt.scores_by_length(sources, found["hypotheses"], references, (8, 11, 14))
    print(
        f"{name:16}{result['model'].count_params():10,}{result['steps/s']:9.1f}"
        f"{result['losses'][-1]:11.3f}{found['bleu']['score']:7.1f}"
    )
kt.plot_scores_by_length(scores)

# %% [markdown]
# *What to see:* models with one context vector hardly get off the ground, whatever the length;
# those with attention do far better, the Transformer and Bahdanau's the best of them.
#
# ## What minutes cannot show
#
# - These models are tiny, and a few hundred steps are a beginning. After the 1,300 or 1,400 steps
#   of the package's recipe both kinds of attention come close to the Transformer on this easy
#   corpus; models with one context vector do not.
# - The widths are equal here, the numbers of weights are not. A fair table gives every system the
#   same number, the same minutes and one vocabulary, and takes a real corpus. `docs/models.md`
#   shows what came of it, and this makes it, ten minutes for each of eight systems:
#
#       python benchmarks/lineage.py --dataset ted_hrlr_translate/pt_to_en --minutes 10 \
#           --output lineage
#
# - That no position waits for another is worth most on hardware with thousands of units, and on
#   longer sentences: `benchmarks/layer_costs.py` measures it. On two cores and ten words the
#   recurrence is cheap.
# - One of these models, trained to its end:
#
#       keras-transformer train --dataset sample --model gru --attention bahdanau --output runs/gru
