"""How the learning rate moves.

`CustomSchedule` is the tutorial's, for a Keras optimizer. `learning_rate` is what `train` uses: it
also knows how much of the training is over, which a schedule of steps alone does not.
"""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("keras_transformer")
class CustomSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up, then decay with the inverse square root of the step.

    Attention Is All You Need, equation 3:
    ``d_model^-0.5 * min(step^-0.5, step * warmup_steps^-1.5)``. The rate at step 0 is 0.

    Args:
        d_model: width of the model.
        warmup_steps: step at which the rate is highest.
        scale: factor on the whole; 1 in the paper.
    """

    def __init__(self, d_model, warmup_steps=4000, scale=1.0):
        super().__init__()
        self.d_model = int(d_model)
        self.warmup_steps = int(warmup_steps)
        self.scale = float(scale)

    def __call__(self, step):
        step = tf.cast(step, tf.float32)
        arg1 = tf.math.rsqrt(tf.maximum(step, 1.0))
        arg2 = step * (self.warmup_steps**-1.5)
        return self.scale * self.d_model**-0.5 * tf.math.minimum(arg1, arg2)

    def get_config(self):
        return {"d_model": self.d_model, "warmup_steps": self.warmup_steps, "scale": self.scale}


def learning_rate(recipe, d_model, step, progress) -> float:
    """Learning rate of one step of `train`.

    Both schedules rise in a straight line for ``warmup_steps`` steps. ``inverse_sqrt`` then falls
    with the inverse square root of the step (the paper's equation 3). ``linear`` falls in a
    straight line all the while, so that it reaches 0 when the training is over.

    Args:
        recipe: a `TrainingConfig`.
        d_model: width of the model.
        step: number of the step, from 1.
        progress: share of the training that is over, 0 to 1.

    Returns:
        the learning rate.
    """
    warmup = recipe.warmup_steps
    peak = recipe.learning_rate or (d_model * warmup) ** -0.5
    rising = min(step / warmup, 1.0)
    falling = 1 - progress if recipe.schedule == "linear" else min((warmup / step) ** 0.5, 1.0)
    return recipe.learning_rate_scale * peak * rising * falling
