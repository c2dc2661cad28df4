"""One step of training: a global batch in, new weights out.

`fit` has a step of its own for the plain model. This one is what `train` runs: it never holds the
logits of a whole batch, adds up micro-batches, and works the same on one device, on several and
on several hosts. The loss is the sum over the real tokens of the whole global batch, all replicas
and all micro-batches, divided by their number, so that how a batch is divided changes nothing.
"""

import contextlib
from dataclasses import dataclass

import tensorflow as tf

from keras_transformer.internals import no_gradient_reduction
from keras_transformer.layers.dropout import dropout_seed
from keras_transformer.losses.alignment import alignment_loss
from keras_transformer.losses.projected import projected_loss

_GROWTH_STEPS = 2000
"""Steps without overflow after which the loss scale of float16 is doubled."""

IDS = tf.TensorSpec((None, None), tf.int32)
"""Token ids of any shape."""


@dataclass(frozen=True)
class StepResult:
    """What one step saw.

    Attributes:
        loss: summed cross-entropy of the real tokens, without label smoothing.
        correct: number of real tokens whose label was the predicted one.
        tokens: number of real tokens.
        gradient_norm: global norm of the gradient before clipping.
        requests: for each of the caller's requests whether any host made it.
    """

    loss: float
    correct: float
    tokens: float
    gradient_norm: float
    requests: tuple[bool, bool]


class TrainingStep:
    """Computes gradients of a global batch and applies them.

    Args:
        model: a `TokenModel`.
        optimizer: a built Keras optimizer whose learning rate is a variable.
        label_smoothing, r_drop: as for `MaskedLoss`.
        clip_norm: longest gradient; longer ones are shortened to it.
        average_decay: keep an exponential moving average of the weights with this decay, shorter
            in the first steps: ``min(decay, (1 + step) / (10 + step))``.
        average_from: keep the uniform mean of the weights after this step, counted from 1, and
            after every later one instead (stochastic weight averaging, Izmailov et al. 2018,
            arXiv:1803.05407, algorithm 1 with a cycle of one step); until then the weights.
        seed: of dropout.
        guided_alignment: weight of the loss that teaches a head of cross-attention alignments,
            where batches have them.
        alignment_head: number of the layer and of the head, from 1.
        jit_compile: compile with XLA.
        strategy: a `tf.distribute.Strategy`, in whose scope model and optimizer were made;
            ``None`` for one device.

    Attributes:
        traces: the step as functions of TensorFlow, one for each kind of batch; with XLA, for each
            shape.
    """

    def __init__(
        self,
        model,
        optimizer,
        *,
        label_smoothing=0.0,
        r_drop=0.0,
        clip_norm=None,
        average_decay=None,
        average_from=None,
        seed=1,
        guided_alignment=0.0,
        alignment_head=None,
        jit_compile=False,
        strategy=None,
    ):
        self.model = model
        self.optimizer = optimizer
        self.label_smoothing = label_smoothing
        self.r_drop = r_drop
        self.clip_norm = clip_norm
        self.average_decay = average_decay
        self.average_from = average_from
        self.seed = seed
        self.guided_alignment = guided_alignment
        self.alignment_head = alignment_head
        self.jit_compile = jit_compile
        self.strategy = strategy or tf.distribute.get_strategy()
        self.replicas = self.strategy.num_replicas_in_sync
        self.weights = [weight.value for weight in model.trainable_variables]
        with self.strategy.scope():
            self.distributed = tf.distribute.has_strategy()
            self.averages = (
                [tf.Variable(weight, trainable=False) for weight in self.weights]
                if average_decay or average_from
                else []
            )
            # float16 gradients below 6e-8 vanish; a scaled loss keeps them in range.
            scaled = model.dtype_policy.compute_dtype == "float16"
            self.loss_scale = [
                tf.Variable(value, trainable=False, dtype=tf.float32)
                for value in ((2.0**15, 0.0) if scaled else ())
            ]
        self.traces = {}

    @property
    def variables(self) -> list[tf.Variable]:
        """Everything the next step depends on besides the batch: what a checkpoint keeps."""
        optimizer = [variable.value for variable in self.optimizer.variables]
        return self.weights + optimizer + self.averages + self.loss_scale

    def __call__(self, batches, learning_rate, step=None, requests=(False, False)) -> StepResult:
        """Trains on one global batch.

        Args:
            batches: its micro-batches, each ``(inputs, labels)``, such as
                ``((source, target_in), target_out)``, all int32 ``(rows, length)``; with several
                replicas, rows are a multiple of their number. Labels may be followed by the first
                and the last source token that each input is linked to, as from `pad_batch`.
            learning_rate: of this step; the mean over hosts counts.
            step: number of the step, which dropout follows from; the optimizer's count unless
                given.
            requests: what this host would tell the others, such as that it is time to stop.

        Returns:
            sums over the global batch.
        """
        if step is None:
            step = int(self.optimizer.iterations.value.numpy())
        batches = tf.nest.map_structure(self._checked, tuple(batches))
        # XLA compiles each shape anyway; layers that know it choose better.
        spec_of = tf.TensorSpec.from_tensor if self.jit_compile else lambda ids: IDS
        key = tf.nest.map_structure(spec_of, batches)
        if key not in self.traces:
            self.traces[key] = self._trace(key)
        trace = self.traces[key]
        values = trace(
            batches,
            tf.constant(learning_rate, tf.float32),
            tf.constant(step, tf.int64),
            tf.constant(requests, tf.float32),
        )
        loss, correct, tokens, norm, *requests = values.numpy().tolist()
        return StepResult(loss, correct, tokens, norm, tuple(number > 0 for number in requests))

    @contextlib.contextmanager
    def averaged(self):
        """Puts the averages in the place of the weights meanwhile, if there are any."""
        if not self.averages:
            yield
            return
        kept = [weight.numpy() for weight in self.weights]
        for weight, average in zip(self.weights, self.averages, strict=True):
            weight.assign(average)
        try:
            yield
        finally:
            for weight, value in zip(self.weights, kept, strict=True):
                weight.assign(value)

    def _trace(self, batches):
        """The step for micro-batches of some specifications as a TensorFlow function."""
        scalars = [tf.TensorSpec((), tf.float32), tf.TensorSpec((), tf.int64)]
        signature = [batches, *scalars, tf.TensorSpec((2,), tf.float32)]
        if not self.distributed:
            return tf.function(
                self._on_replica,
                input_signature=signature,
                jit_compile=self.jit_compile,
                autograph=False,
            )

        def on_all(*arguments):
            with no_gradient_reduction(self.optimizer):
                result = self.strategy.run(self._on_replica, args=arguments)
            return self.strategy.experimental_local_results(result)[0]

        return tf.function(on_all, input_signature=signature, autograph=False)

    def _checked(self, ids):
        ids = tf.convert_to_tensor(ids, tf.int32)
        if ids.shape[0] % self.replicas:
            raise ValueError(
                f"A batch of {ids.shape[0]} rows cannot be divided among {self.replicas} replicas."
            )
        return ids

    def _share(self, ids, context):
        """The rows of a batch that are this replica's."""
        if self.replicas == 1:
            return ids
        rows = tf.shape(ids)[0] // self.replicas
        start = rows * tf.cast(context.replica_id_in_sync_group, tf.int32)
        share = ids[start : start + rows]
        if ids.shape[0] is not None:
            share.set_shape((ids.shape[0] // self.replicas, ids.shape[1]))
        return share

    def _on_replica(self, batches, learning_rate, step, requests):
        context = tf.distribute.get_replica_context()
        batches = tf.nest.map_structure(lambda ids: self._share(ids, context), batches)
        compute = self._gradients
        if self.jit_compile and self.distributed:  # XLA cannot compile what replicas exchange
            compute = tf.function(compute, jit_compile=True, autograph=False)
        gradients = None
        totals = tf.zeros(3)  # loss, correct, tokens
        for i, batch in enumerate(batches):
            found, counts = compute(batch, step * len(batches) + i, after=totals)
            gradients = _sums(gradients, found) if gradients else found
            totals += counts
        numbers = tf.concat([totals, [learning_rate], requests], 0)
        gradients, numbers = context.all_reduce(tf.distribute.ReduceOp.SUM, [gradients, numbers])
        norm = self._apply(context, gradients, numbers[2], numbers[3] / self.replicas)
        return tf.concat([numbers[:3], [norm], numbers[4:]], 0)

    def _gradients(self, batch, number, after):
        """Gradients of the summed loss of one micro-batch, computed once `after` is there."""
        with tf.control_dependencies([after]):  # one micro-batch in memory at a time
            passes = 2 if self.r_drop else 1
            inputs, labels = tf.nest.map_structure(lambda ids: tf.concat([ids] * passes, 0), batch)
            labels, *stretches = tf.nest.flatten(labels)
        with dropout_seed(self.seed, number), tf.GradientTape() as tape:
            x = self.model.decoder_output(inputs, training=True)
            kernel, bias, transposed = self.model.output_projection()
            loss, plain, correct, tokens = projected_loss(
                x,
                labels,
                kernel,
                bias,
                label_smoothing=self.label_smoothing,
                r_drop=self.r_drop,
                transposed=transposed,
                static=self.jit_compile,
            )
            if stretches and self.guided_alignment:
                weights = self.model.last_cross_attention(*self.alignment_head)
                loss += self.guided_alignment * alignment_loss(weights, *stretches)
            loss /= passes
            if self.loss_scale:
                loss *= self.loss_scale[0]
        gradients = tape.gradient(
            loss, self.weights, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        counts = tf.stack([plain, correct, tokens]) / passes
        return [tf.convert_to_tensor(g) for g in gradients], counts

    def _apply(self, context, gradients, tokens, learning_rate):
        """Applies summed gradients; returns the norm of their mean."""
        factor = tf.math.reciprocal_no_nan(tokens)
        if self.loss_scale:
            factor /= self.loss_scale[0]
        norm = tf.linalg.global_norm(gradients) * factor
        if self.clip_norm:
            factor *= tf.minimum(1.0, self.clip_norm / tf.maximum(norm, 1e-12))
        gradients = [gradient * factor for gradient in gradients]
        finite = tf.math.is_finite(norm)
        if self.loss_scale:  # too large a scale: this step moves nothing
            gradients = [tf.where(finite, g, tf.zeros_like(g)) for g in gradients]
            learning_rate = tf.where(finite, learning_rate, 0.0)
        self.optimizer.learning_rate.assign(learning_rate)
        self.optimizer.apply(gradients, self.model.trainable_variables)
        context.merge_call(self._follow, args=(finite,))
        return norm

    def _follow(self, strategy, finite):
        """Lets averages and loss scale follow an update."""
        if self.averages:
            step = tf.cast(self.optimizer.iterations.value, tf.float32)
            if self.average_from:
                rate = 1 / tf.maximum(step - self.average_from + 1, 1)
            else:
                rate = 1 - tf.minimum(self.average_decay, (1 + step) / (10 + step))
            for average, weight in zip(self.averages, self.weights, strict=True):
                strategy.extended.update(average, _move, args=(weight, rate), group=False)
        if self.loss_scale:
            finite = strategy.experimental_local_results(finite)[0]
            scale, steps = self.loss_scale
            grown = tf.where(steps + 1 >= _GROWTH_STEPS, 2.0, 1.0)
            scale.assign(scale * tf.where(finite, grown, 0.5))
            steps.assign(tf.where(finite & (grown == 1), steps + 1, 0.0))


def _sums(some, others):
    return [a + b for a, b in zip(some, others, strict=True)]


def _move(average, weight, rate):
    """Moves `average` a part of the way to `weight`."""
    average.assign_sub(rate * (average - weight))
