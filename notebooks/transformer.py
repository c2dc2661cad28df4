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
# # Translate with a Transformer and `fit`
#
# From a corpus of sentence pairs to an exported translator, with plain Keras `compile` and `fit`.
# The embedded corpus needs no download; `kt.load_corpus("ted_hrlr_translate/pt_to_en")` takes the
# tutorial's own corpus instead.

# %%
import keras
import tensorflow as tf

import keras_transformer as kt

corpus = kt.load_corpus("sample")
for portuguese, english in corpus.train.take(3):
    print(portuguese.numpy().decode(), "→", english.numpy().decode())

# %% [markdown]
# ## Text becomes tokens
#
# Subword vocabularies are learned from the training pairs. Tokenizing adds `[START]` and `[END]`;
# detokenizing gives the very same text back.

# %%
tokenizers = kt.train_tokenizers(corpus, kind="wordpiece", vocab_size=2000)
ids = tokenizers.pt.tokenize(["este é um problema que temos que resolver ."])
print(tokenizers.pt.lookup(ids).to_list())
print(tokenizers.pt.detokenize(ids).numpy()[0].decode())

# %% [markdown]
# ## Tokens become batches
#
# Sentences of like length share a batch, so that little is padding. The decoder reads the target
# from `[START]` on and predicts it up to `[END]`: teacher forcing.

# %%
train_batches = kt.make_batches(corpus.train, tokenizers, batch_tokens=2048, seed=1)
val_batches = kt.make_batches(corpus.validation, tokenizers, batch_tokens=2048, shuffle=False)
(pt, en), en_labels = next(iter(train_batches))
print(pt.shape, en.shape, en_labels.shape)

# %% [markdown]
# ## The model
#
# The tutorial's four layers of width 128, with layer normalisation before each sub-layer, which
# learns faster from a short warm-up.

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
transformer.compile(
    loss=kt.MaskedLoss(label_smoothing=0.1),
    optimizer=keras.optimizers.Adam(
        kt.CustomSchedule(d_model=128, warmup_steps=400), beta_1=0.9, beta_2=0.98, epsilon=1e-9
    ),
    metrics=[kt.MaskedAccuracy()],
)
history = transformer.fit(
    train_batches, epochs=4, validation_data=val_batches, verbose=2, shuffle=False
)

# %% [markdown]
# ## Translate
#
# The cache makes each new token cost one position, and XLA compiles the whole search.

# %%
translator = kt.Translator(tokenizers, transformer)
sentence = "este é um problema que temos que resolver ."
text, tokens, attention = translator(tf.constant(sentence))
kt.print_translation(sentence, text, "this is a problem we have to solve .")

# %% [markdown]
# Where each head of the last layer looked as it wrote each token:

# %%
kt.plot_attention_weights(sentence, tokens, attention[0], tokenizers=tokenizers)

# %% [markdown]
# ## Score and export

# %%
scores = kt.evaluate(translator, corpus.test)
print(f"{scores['bleu']['score']:.1f} BLEU ({scores['bleu']['signature']})")

# %%
version = kt.export(translator, "saved_models/sample")
reloaded = tf.saved_model.load(str(version))
reloaded.signatures["serving_default"](tf.constant(["O gato viu o cachorro preto?"]))
