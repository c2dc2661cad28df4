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
# # Serving: from a trained model to a server that many can ask
#
# A trained model becomes one folder, which any process with TensorFlow and tensorflow-text can
# run, and a server, which many can ask at a time. `transformer.ipynb` ends where this notebook
# begins.
#
# | who asks | with what | sections |
# | --- | --- | --- |
# | a Python process | the folder: strings in, strings out | 2 to 5 |
# | other programs, in any language | REST or gRPC, as TensorFlow Serving speaks them | 6 to 9 |
# | people | the page of the server | 6 |
#
# It needs the extra `serve`,
#
#     pip install "keras_transformer[serve]"
#
# and runs in three minutes on two new CPU cores, without a network: servers are asked by this
# machine alone. All files are in a temporary folder, which the last cell deletes.

# %%
import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # fewer notes from TensorFlow

# %%
import atexit
import http.client
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import grpc
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

import keras_transformer as kt

# %%
tf.get_logger().setLevel("ERROR")
DATASET = "sample"  # or "ted_hrlr_translate/pt_to_en", or any other name that load_corpus takes
STEPS = 500  # of training: enough for the short sentences of "sample"

temporary = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
work = Path(temporary.name)
models = work / "pt_en"  # where the versions of the exported model will be

# %% [markdown]
# ## 1. Something to serve
#
# A small Transformer, trained for a minute. `train` makes a *run folder*, which has all that is
# needed to go on with the training. The score is what the exported model is to be worth, too.

# %%
corpus = kt.load_corpus(DATASET)
recipe = {"max_steps": STEPS, "batch_tokens": 1024, "warmup_steps": 100, "learning_rate": 0.003}
config = kt.preset("quick").replace(
    {
        "model": {
            "num_layers": 2,
            "share_embeddings": True,
            "tie_output": True,
            "dropout_rate": 0.0,
        },
        "tokenizer": {"shared": True},
        "training": {**recipe, "schedule": "linear", "epochs": None, "bleu_sentences": 0},
    }
)
run = kt.train(corpus, work / "run", config, resume=True)  # the same run if run again
translator = run.translator
scores = kt.evaluate(translator, corpus.test.take(200))
print(f"\n{scores['bleu']['score']:.1f} BLEU")

# %% [markdown]
# ## 2. One folder
#
# `export` writes what the run folder has of the *model*, and nothing of the training: the graph of
# operations that leads from strings to strings, tokenizers included, and the weights. It is a
# SavedModel of TensorFlow, under a number for its version. The folder gets its name only when all
# is written, so nobody ever finds half a model.


# %%
def show(folder):
    """Prints what lies in a folder, with sizes."""
    for path in sorted(folder.rglob("*")):
        depth = len(path.relative_to(folder).parts)
        size = f"{path.stat().st_size / 1000:9,.0f} kB" if path.is_file() else ""
        print(f"{'    ' * depth}{path.name:{44 - 4 * depth}}{size}")


card = [{**scores, "test_set": DATASET}]
version = kt.export(translator, models, version=1, overwrite=True, scores=card)
print(version.relative_to(work))
show(version)

# %% [markdown]
# `variables/` has the weights and `saved_model.pb` the graphs and the vocabularies. `README.md` is
# the model card: what the model learned from, how good it is, what it cannot do. `assets.extra/` is
# for servers: the languages, and requests to warm up with.
#
# The doors of the folder are its *signatures*, functions with names for their inputs and outputs.

# %%
loaded = tf.saved_model.load(str(version))
for name, function in sorted(loaded.signatures.items()):
    inputs = ", ".join(function.structured_input_signature[1])
    print(f"{name:20s}{inputs}\n{'':12s}-> {', '.join(sorted(function.structured_outputs))}")

# %% [markdown]
# Those that end in `_xla` do the same as those without, compiled by XLA.
#
# ## 3. A process that knows nothing of this package
#
# The program below runs in a process of its own, in which whoever imports `keras_transformer` gets
# an error. So all that it translates with comes from the folder. Capitals and joined punctuation go
# in, for bringing text into the corpus' style is part of the model.

# %%
PROGRAM = """
import json, sys
sys.modules["keras_transformer"] = None  # importing it fails
import tensorflow as tf
import tensorflow_text  # registers the operations of the tokenizers

model = tf.saved_model.load(sys.argv[1])
answer = model.signatures["serving_default"](text=tf.constant(json.load(sys.stdin)))
texts = [text.decode() for text in answer["translation"].numpy()]
known = [name for name in sys.modules if name.startswith("keras_transformer.")]
print(json.dumps({"texts": texts, "scores": answer["score"].numpy().tolist(), "known": known}))
"""
questions = ["O gato viu o cachorro preto.", "Este é um problema que temos que resolver."]
command = [sys.executable, "-I", "-c", PROGRAM, version]
finished = subprocess.run(
    command, input=json.dumps(questions), stdout=subprocess.PIPE, text=True, check=True
)
found = json.loads(finished.stdout)
live = translator.translate(questions)
assert found["texts"] == [translation.text for translation in live]
np.testing.assert_allclose(found["scores"], [t.score for t in live], atol=1e-3)
assert not found["known"]
print(*found["texts"], sep="\n")

# %% [markdown]
# The answers, and their logarithmic probabilities, are those of the model in memory.
#
# ## 4. Plain or compiled
#
# Plain signatures run one operation after the other. XLA turns the whole search into one program,
# which is faster, but a program is for one shape: it is made at the first call with a shape, and
# that takes seconds. To need few of them, batches are padded to 1, 4, 16, 64 or 256 rows, and
# lengths likewise.

# %%
sources = [source.decode() for source, _ in corpus.test.take(256).as_numpy_iterator()]
sizes = (1, 4, 16, 64)
first, later = {}, {}
for name in ("serving_default", "serving_xla"):
    for size in sizes:
        text = tf.constant(sources[:size])
        seconds = []
        for _ in range(6):
            started = time.perf_counter()
            loaded.signatures[name](text=text)["translation"].numpy()
            seconds.append(time.perf_counter() - started)
        first.setdefault(name, []).append(seconds[0])
        later.setdefault(name, []).append(size / median(seconds[1:]))

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.5), layout="constrained")
for (name, offset), style in zip(
    {"serving_default": -0.2, "serving_xla": 0.2}.items(), ("o-", "s--"), strict=True
):
    left.bar(np.arange(len(sizes)) + offset, first[name], 0.4, label=name)
    right.plot(sizes, later[name], style, label=name)
left.set_xticks(range(len(sizes)), sizes)
left.set(title="First call", xlabel="Texts of the batch", ylabel="Seconds", yscale="log")
right.set_xscale("log", base=2)
right.set_xticks(sizes, sizes)
right.set(title="Later calls", xlabel="Texts of the batch", ylabel="Texts per second")
right.set_ylim(bottom=0)
for axes in (left, right):
    axes.grid(alpha=0.3)
figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=2)
plt.show()

# %% [markdown]
# *What to see:* on the left, where the axis is logarithmic: each first call of the compiled
# signature takes seconds, and of the plain one just the very first. On the right what one gets for
# it: a single text is translated several times as fast. In a large batch the lead is smaller, for
# there more of the work is in matrix products, which are the same. Both gain from batches, which
# is what the server of section 7 makes use of.

# %% [markdown]
# ## 5. More than the best translation
#
# The folder has the beam search, too, with its parameters as inputs, and the attention. Where the
# model hesitates, the beam shows between what.

# %%
sentence = "Os meus vizinhos ouviram sobre esta ideia."
beam = {
    "beam_size": tf.constant(4),
    "length_penalty": tf.constant(1.0),
    "max_length": tf.constant(0),
}
answer = loaded.signatures["translate_beam"](text=tf.constant([sentence]), **beam)
figure, axes = plt.subplots(figsize=(8, 2), layout="constrained")
axes.barh(
    [text.decode() for text in answer["translations"][0].numpy()], answer["normalized_scores"][0]
)
axes.invert_yaxis()
axes.set_xlabel("Mean logarithmic probability of a token")
plt.show()

# %% [markdown]
# *What to see:* the four best translations, the best on top: the shorter its bar, the surer the
# model.

# %%
answer = loaded.signatures["attention"](text=tf.constant([sentence]))
answer = {name: tensor[0].numpy() for name, tensor in answer.items()}
seen = kt.Translation(
    answer["translation"].decode(),
    float(answer["score"]),
    tokens=[token.decode() for token in answer["target_tokens"]],
    source_tokens=[token.decode() for token in answer["source_tokens"]],
    attention=answer["attention"],  # (heads, target tokens after [START], source tokens)
)
print(seen.text)
kt.plot_attention_average(seen)

# %% [markdown]
# *What to see:* each row is an English token, and its bright squares are the Portuguese tokens that
# it was written with an eye on. All numbers of the picture came out of the folder.

# %% [markdown]
# A whole document goes through the same folder. What is between its sentences comes back as it was,
# and so does what is not to be translated: addresses, placeholders, code.

# %%
page = """<h1>O gato preto</h1>
<p>O gato viu o <b>cachorro</b>. A menina não tem fome, {name}!</p>
<!-- not for readers -->
<ul><li>Veja https://example.com/gatos?cor=preto</li></ul>
"""
in_english = kt.translate_document(kt.Translator.load(models), page, "html")
print(in_english)
assert in_english.count("{name}") == in_english.count("https://example.com/gatos?cor=preto") == 1

# %% [markdown]
# *What to see:* two sentences became two sentences, the tags are around the same words or sentences
# as before, and the comment has not moved.

# %% [markdown]
# ## 6. A server
#
# On a command line it is
#
#     keras-transformer serve --saved-model pt_en
#
# Here the same command runs in a process beside the notebook. Port 0 takes any free port, and the
# server's log says which. `--no-compile` takes the plain signatures, which are ready sooner; a
# server that is to run for days does without it. `--poll-seconds` is of section 9.

# %%
if "server" in globals():  # this cell is run again
    globals()["server"].kill()
log = work / "server.log"
command = [sys.executable, "-m", "keras_transformer", "serve", "--saved-model", models]
command += ["--port", "0", "--grpc-port", "0", "--json-logs"]
command += ["--no-compile", "--poll-seconds", "1"]
environment = os.environ | {"XDG_CACHE_HOME": str(work)}  # nothing is left behind elsewhere
with log.open("w") as errors:
    server = subprocess.Popen(command, stderr=errors, env=environment)
atexit.register(server.kill)  # whatever happens, it goes with the notebook


def wait_for(event, **values):
    """Waits until the server has logged an event, and gives it."""
    while server.poll() is None:
        for line in log.read_text().splitlines(keepends=True):
            if line.startswith("{") and line.endswith("\n"):
                logged = json.loads(line)
                if logged["event"] == event and values.items() <= logged.items():
                    return logged
        time.sleep(0.05)
    raise RuntimeError(f"the server has stopped: {log.read_text()}")


# %%
listening = wait_for("listening")
print(f"{listening['rest']} and, for gRPC, port {listening['grpc']}")


def ask(path, content=None, connection=None):
    """Sends a request, a POST if it has a content; gives status, answer and headers."""
    host = listening["rest"].removeprefix("http://")
    connection = connection or http.client.HTTPConnection(host, timeout=120)
    body = json.dumps(content).encode() if isinstance(content, dict) else content
    connection.request("GET" if body is None else "POST", path, body)
    answer = connection.getresponse()
    return answer.status, answer.read().decode(), answer.headers


started = time.perf_counter()
print(ask("/healthz")[:2], ask("/readyz")[:2])
while ask("/readyz")[0] != 200:  # the model is loaded and warmed up
    time.sleep(0.2)
print(f"after {time.perf_counter() - started:.0f} s", ask("/readyz")[:2])

# %% [markdown]
# A server is *live* at once and *ready* later: it loads the model and answers requests of its own
# before those of others, for the first ones take longest. Whoever runs servers (Kubernetes, a load
# balancer) asks `/readyz` before it sends clients.
#
# Now anyone can ask. This is TensorFlow Serving's REST interface: `instances`, one for each text,
# or, where an input stands for all texts, `inputs` by name.

# %%
PREDICT = "/v1/models/pt_en:predict"  # the model has its folder's name
answer = ask(PREDICT, {"instances": questions})[1]
print(answer)
assert [row["translation"] for row in json.loads(answer)["predictions"]] == found["texts"]
inputs = {"text": [sentence], "beam_size": 4, "length_penalty": 1.0, "max_length": 0}
print(ask(PREDICT, {"signature_name": "translate_beam", "inputs": inputs})[1])
print(ask("/v1/models/pt_en")[1])

# %% [markdown]
# The same over gRPC, which also says which version has answered. The answers of both are those of
# the folder in section 3.

# %%
channel = grpc.insecure_channel(
    f"localhost:{listening['grpc']}",
    options=[("grpc.enable_http_proxy", 0)],  # not even where a proxy is set for everything
)
stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)


def predict(texts):
    """Translations over gRPC, and the version that made them."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "pt_en"
    request.inputs["text"].CopyFrom(tf.make_tensor_proto(texts))
    response = stub.Predict(request, timeout=60)
    translations = tf.make_ndarray(response.outputs["translation"])
    return [text.decode() for text in translations], response.model_spec.version.value


print(predict(questions))
assert predict(questions)[0] == found["texts"]

# %% [markdown]
# For people there is a page, which translates as they type and shows tokens, attention and the
# alternatives of a beam. While this notebook runs on your machine you can open it: its address is
# the first that was printed above. For Prometheus there are numbers:


# %%
def metrics():
    """What the server has counted, by name."""
    lines = [line for line in ask("/metrics")[1].splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


for name, value in metrics().items():
    if name.startswith(("keras_transformer_requests_total", "keras_transformer_texts_total")):
        print(f"{value:4.0f} {name}")

# %% [markdown]
# ## 7. Many clients
#
# Each client below sends one text after the other, and waits for each answer. Texts of clients who
# ask at the same time are translated together: the server makes batches of what waits, texts of
# like length first.


# %%
def client(number, until):
    """Asks until the time is over; gives the seconds that each answer took."""
    connection = http.client.HTTPConnection(listening["rest"].removeprefix("http://"), timeout=60)
    seconds = []
    for text in islice(cycle(sources), 7 * number, None):  # everyone begins elsewhere
        started = time.perf_counter()
        if started > until:
            return seconds
        status, answer, _ = ask(PREDICT, {"instances": [text]}, connection)
        assert status == 200, answer
        seconds.append(time.perf_counter() - started)


numbers, rates, waits, sums = (1, 2, 4, 8, 16, 32), [], [], []
for clients in numbers:
    before, duration = metrics(), 3.0  # seconds
    with ThreadPoolExecutor(clients) as pool:
        until = time.perf_counter() + duration
        each = list(pool.map(client, range(clients), [until] * clients))
    seconds = np.concatenate(each)
    rates.append(len(seconds) / duration)
    waits.append(1000 * np.percentile(seconds, [50, 95]))
    sums.append({name: value - before.get(name, 0.0) for name, value in metrics().items()})

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.5), layout="constrained")
left.plot(numbers, rates, "o-")
left.set(title="Throughput", ylabel="Texts per second")
half, most = np.transpose(waits)
right.plot(numbers, half, "o-", label="half of the answers came within")
right.plot(numbers, most, "s--", label="95 % of the answers came within")
right.set(title="Latency", ylabel="Milliseconds")
right.legend()
for axes in (left, right):
    axes.set_xscale("log", base=2)
    axes.set_xticks(numbers, numbers)
    axes.set_xlabel("Clients")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
plt.show()

# %% [markdown]
# *What to see:* 32 clients together get many times the texts per second that one alone gets, from
# the same cores, and each waits a few times as long, not 32 times.

# %%
name = "keras_transformer_batch_{}_{}"
batches = [found[name.format("texts", "count")] for found in sums]
texts = np.array([found[name.format("texts", "sum")] for found in sums])
seconds = np.array([found[name.format("seconds", "sum")] for found in sums])
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.5), layout="constrained")
left.bar(range(len(numbers)), texts / batches)
left.set(ylabel="Texts of a batch, mean")
right.bar(range(len(numbers)), 1000 * seconds / texts)
right.set(ylabel="Milliseconds of the model for a text")
for axes in (left, right):
    axes.set_xticks(range(len(numbers)), numbers)
    axes.set_xlabel("Clients")
plt.show()

# %% [markdown]
# *What to see:* this is why. The more clients there are, the more texts share a batch, and the less
# time the model spends on each of them. No client has to know of the others, and none gets another
# answer than it would have got alone.

# %% [markdown]
# ## 8. What can go wrong
#
# A server that many can ask will be asked nonsense. The answer to it has a status of its own and
# one sentence that says what is wrong.

# %%
wrong = {
    "no JSON": (PREDICT, b"bom dia"),
    "no texts": (PREDICT, {"text": ["bom dia"]}),
    "a number": (PREDICT, {"instances": ["bom dia", 7]}),
    "no such signature": (PREDICT, {"signature_name": "summarise", "instances": ["bom dia"]}),
    "too wide a beam": (
        PREDICT,
        {"signature_name": "translate_beam", "inputs": {**inputs, "beam_size": 99}},
    ),
    "too long a text": (PREDICT, {"instances": ["palavra " * 1000]}),
    "too many texts": (PREDICT, {"instances": ["bom dia"] * 300}),
    "too large a body": (PREDICT, b" " * 2**21),
    "no such model": ("/v1/models/en_pt:predict", {"instances": ["good day"]}),
    "no such version": ("/v1/models/pt_en/versions/7:predict", {"instances": ["bom dia"]}),
}
for name, (path, content) in wrong.items():
    status, answer, _ = ask(path, content)
    print(f"{name:18s} {status} {json.loads(answer)['error']}")

# %% [markdown]
# Nor is too much of the good a reason to break down. The queue has room for 1,024 texts. Who comes
# when it is full is turned away at once and told when to come back; all others get their answers
# as if nothing were.

# %%
crowd = {"instances": (sources * 2)[:256]}
with ThreadPoolExecutor(8) as pool:
    answers = list(pool.map(lambda _: ask(PREDICT, crowd), range(8)))
for status, answer, headers in sorted(answers, key=lambda found: found[0]):
    if status == 200:
        print(status, len(json.loads(answer)["predictions"]), "translations")
    else:
        print(status, json.loads(answer)["error"], "Retry-After:", headers["Retry-After"])

# %% [markdown]
# ## 9. A new version, while it serves
#
# The model is trained a little more and exported again, which makes version 2. The server looks at
# the folder every second here, loads and warms up what is new *beside* the old, and then lets it
# take over. All the while clients ask.

# %%
longer = {"max_steps": 150, "warmup_steps": 50, "learning_rate": 0.001}
config = config.replace({"training": longer})
longer_run = kt.train(corpus, work / "longer", config, init_from=run.folder, resume=True)
better = longer_run.translator
improved = kt.evaluate(better, corpus.test.take(200))
print(f"\n{scores['bleu']['score']:.1f} BLEU before, {improved['bleu']['score']:.1f} BLEU now")

# %%
asked = []  # when, milliseconds, version
enough = threading.Event()


def keep_asking():
    """Asks now and then; notes when, how long the answer took and which version gave it."""
    for text in cycle(sources):
        if enough.is_set():
            return
        started = time.perf_counter()
        answered_by = predict([text])[1]
        asked.append((started, 1000 * (time.perf_counter() - started), answered_by))
        time.sleep(0.1)


# %%
with ThreadPoolExecutor(2) as pool:
    asking = [pool.submit(keep_asking) for _ in range(2)]
    try:
        begin = time.perf_counter()
        card = [{**improved, "test_set": DATASET}]
        # Without the signatures for XLA, which this server does not use.
        kt.export(better, models, version=2, overwrite=True, compiled=False, scores=card)
        exported = time.perf_counter() - begin
        wait_for("version", version=2, state="AVAILABLE")
        available = time.perf_counter() - begin
        time.sleep(3)
    finally:
        enough.set()

# %%
for each in asking:
    each.result()  # raises what went wrong, had anything
print(f"{len(asked)} answers, by version {dict(Counter(version for _, _, version in asked))}")
figure, axes = plt.subplots(figsize=(9, 3.5), layout="constrained")
for version, style in ((1, "o"), (2, "s")):
    points = [(when - begin, wait) for when, wait, answered_by in asked if answered_by == version]
    axes.plot(*np.transpose(points), style, markersize=4, label=f"answered by version {version}")
axes.axvspan(0, exported, alpha=0.1, color="black", label="exporting")
axes.axvspan(exported, available, alpha=0.25, color="black", label="loading, warming up")
axes.set(xlabel="Seconds", ylabel="Milliseconds", yscale="log")
axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
plt.show()

# %% [markdown]
# *What to see:* the colours change without a failed request. While a version is exported and loaded
# all share the same cores, so answers take longer; those that come at the very change wait the
# longest, up to a second, for the server tidies its memory then.
#
# To go back to an older version, move the newer folder away; its place is taken by the highest
# there is. What cannot be loaded is reported, in the log and under `/v1/models/pt_en`, and the
# version that was there goes on.

# %%
print(ask("/v1/models/pt_en")[1])

# %% [markdown]
# A server is stopped by SIGTERM, as Docker, systemd and Kubernetes do it. It takes no new requests
# from then on, answers those that it has accepted, and ends. Four clients ask until they are turned
# away.


# %%
def until_turned_away():
    """The statuses of one client's answers, up to the first that is not 200."""
    statuses = []
    while not statuses or statuses[-1] == 200:
        try:
            statuses.append(ask(PREDICT, {"instances": sources[:4]})[0])
        except OSError:  # nobody is there any more
            statuses.append("no connection")
    return statuses


with ThreadPoolExecutor(4) as pool:
    asking = [pool.submit(until_turned_away) for _ in range(4)]
    time.sleep(1)
    server.terminate()  # SIGTERM
    code = server.wait(60)
print("exit code", code, Counter(status for each in asking for status in each.result()))
print(*log.read_text().splitlines()[-2:], sep="\n")

# %% [markdown]
# No request was lost: those that got no translation were told so by a 503, and could have gone to
# another server. Now nobody needs the temporary folder any more.

# %%
temporary.cleanup()

# %% [markdown]
# ## 10. Where to go on
#
# - From a run folder to a server on the command line:
#
#       keras-transformer export --model runs/NAME --output saved_models/NAME
#       keras-transformer serve --saved-model saved_models/NAME
#
#   `keras-transformer serve --help` lists its limits: how large a batch, how long a queue, how many
#   seconds for a request. `--host 0.0.0.0` lets other machines ask.
# - TensorFlow Serving's own container takes the same folder and the same requests;
#   `saved_models/README.md` has the commands, and a deployment for Kubernetes.
# - `export --format ctranslate2` writes the model for CTranslate2, an engine in C++, with 8-bit
#   numbers if you like. `export --format stablehlo` writes programs that JAX runs without
#   TensorFlow.
# - `benchmarks/serving.py` measures a server under load: many clients, far too many clients, and a
#   stop in the midst of their work.
# - How the model came about that was served here: `transformer.ipynb`.
