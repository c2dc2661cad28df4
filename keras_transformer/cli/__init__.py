"""The command ``keras-transformer``."""

from keras_transformer.cli.command import main
