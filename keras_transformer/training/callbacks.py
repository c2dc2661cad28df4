"""What people see of a training: the progress bar, sample translations, TensorBoard."""

import sys
import time
from pathlib import Path

import keras
import numpy as np
from tqdm import tqdm


class ProgressBar(keras.callbacks.Callback):
    """One live line on standard error: loss, accuracy, real tokens per second, time left.

    Where standard error is no terminal, a line every minute instead.

    Args:
        total: number of steps at the end of the training, if it is known.
        initial: number of steps done already.
    """

    def __init__(self, total=None, initial=0):
        super().__init__()
        self.total = total
        self.initial = initial

    def on_train_begin(self, logs=None):
        self._bar = tqdm(
            total=self.total,
            initial=self.initial,
            desc="training",
            unit="step",
            file=sys.stderr,
            disable=not sys.stderr.isatty(),
            dynamic_ncols=True,
        )
        self._last_line = time.monotonic()

    def on_epoch_begin(self, epoch, logs=None):
        epochs = self.params["epochs"]
        self._epoch = f"epoch {epoch + 1}" + (f"/{epochs}" if epochs else "")
        self._bar.set_description(self._epoch)

    def on_train_batch_end(self, batch, logs=None):
        self._bar.update()
        summary = (
            f"loss {logs['loss']:.3f}, accuracy {logs['masked_accuracy']:.3f}, "
            f"{logs['tokens_per_second']:,.0f} tokens/s"
        )
        if not self._bar.disable:
            self._bar.set_postfix_str(summary, refresh=False)
        elif time.monotonic() - self._last_line > 60:
            self._last_line = time.monotonic()
            line = f"{self._epoch}, step {int(logs['step']):,}: {summary}"
            print(line, file=sys.stderr, flush=True)

    def on_epoch_end(self, epoch, logs=None):
        line = (
            f"{self._epoch}: loss {logs['loss']:.3f}, accuracy {logs['masked_accuracy']:.3f}, "
            f"validation loss {logs['val_loss']:.3f}, "
            f"validation accuracy {logs['val_masked_accuracy']:.3f}, "
        )
        if "val_bleu" in logs:
            line += f"validation BLEU {logs['val_bleu']:.2f}, "
        self._bar.write(f"{line}{logs['tokens_per_second']:,.0f} tokens/s", file=sys.stderr)

    def on_train_end(self, logs=None):
        self._bar.close()


class SampleTranslations(keras.callbacks.Callback):
    """Prints some validation pairs with the model's translation after each epoch.

    Args:
        translator: a `Translator` of the model in training.
        pairs: ``(source, target)`` strings.
    """

    def __init__(self, translator, pairs):
        super().__init__()
        self.translator = translator
        self.pairs = list(pairs)

    def on_epoch_end(self, epoch, logs=None):
        found = self.translator.translate([source for source, _ in self.pairs], style="corpus")
        for (source, reference), translation in zip(self.pairs, found, strict=True):
            tqdm.write(
                f"  source      {source}\n"
                f"  reference   {reference}\n"
                f"  translation {translation.text}",
                file=sys.stderr,
            )


class SampleTexts(keras.callbacks.Callback):
    """Prints how the model goes on with the beginnings of some texts after each epoch.

    Args:
        generator: a `Generator` of the model in training.
        texts: strings.
        words: number of their words to begin with.
    """

    def __init__(self, generator, texts, words=3):
        super().__init__()
        self.generator = generator
        self.prompts = [" ".join(text.split()[:words]) for text in texts]

    def on_epoch_end(self, epoch, logs=None):
        found = self.generator.generate(self.prompts, max_new_tokens=32, style="corpus")
        for prompt, generation in zip(self.prompts, found, strict=True):
            tqdm.write(f"  {prompt} ... {generation.continuation}", file=sys.stderr)


class TensorBoard(keras.callbacks.Callback):
    """Writes what TensorBoard shows: curves, sample translations, an attention picture.

    Args:
        folder: where the event files go.
        translator: a `Translator` of the model in training; without one there are curves alone.
        pairs: ``(source, target)`` strings to translate after each epoch; the first one's
            attention is drawn.
        every: steps between two points of the training curves.
    """

    def __init__(self, folder, translator=None, pairs=(), every=50):
        super().__init__()
        self.folder = Path(folder)
        self.translator = translator
        self.pairs = list(pairs)
        self.every = every

    def on_train_begin(self, logs=None):
        import tensorflow as tf

        self._summary = tf.summary
        self._writer = tf.summary.create_file_writer(str(self.folder))

    def on_train_batch_end(self, batch, logs=None):
        step = int(logs["step"])
        if step % self.every:
            return
        with self._writer.as_default(step=step):
            for name in ("batch_loss", "learning_rate", "gradient_norm", "tokens_per_second"):
                self._summary.scalar(f"training/{name}", logs[name])

    def on_epoch_end(self, epoch, logs=None):
        with self._writer.as_default(step=int(logs["step"])):
            for name, value in logs.items():
                if name != "step":
                    self._summary.scalar(f"epoch/{name}", value)
            if self.translator is not None:
                self._write_translations()
        self._writer.flush()

    def _write_translations(self):
        sources = [source for source, _ in self.pairs]
        found = self.translator.translate(sources, style="corpus", attention=True)
        table = ["source | reference | translation", "--- | --- | ---"]
        for (source, reference), translation in zip(self.pairs, found, strict=True):
            table.append(" | ".join((source, reference, translation.text)))
        self._summary.text("translations", "\n".join(table))
        if found[0].attention is not None and found[0].attention.any():
            self._summary.image("attention", _picture(found[0])[np.newaxis])

    def on_train_end(self, logs=None):
        self._writer.close()


def _picture(translation) -> np.ndarray:
    """The attention of a translation as pixels, ``(height, width, 4)``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from keras_transformer.plotting.attention import attention_figure

    figure = attention_figure(translation.source_tokens, translation.tokens, translation.attention)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())
