# Text and batches.
from .data.corpora import Corpus, load_corpus
from .data.tokenizers import (
    Tokenizers,
    as_tokenizers,
    train_tokenizers,
    tutorial_tokenizers,
)
from .data.batching import make_batches

# Positions and masks.
from .layers.positional import PositionalEmbedding, get_angles, positional_encoding
from .layers.masks import create_look_ahead_mask, create_masks, create_padding_mask

# Attention and the feed-forward network.
from .layers.attention import (
    BaseAttention,
    CausalSelfAttention,
    CrossAttention,
    GlobalSelfAttention,
    MultiHeadAttention,
    scaled_dot_product_attention,
)
from .layers.feed_forward import FeedForward, point_wise_feed_forward_network

# Encoder, decoder, model.
from .layers.encoder import Encoder, EncoderLayer
from .layers.decoder import Decoder, DecoderLayer
from .models.transformer import Transformer
from .saving import load_model

# Where it came from: recurrent networks and their attention.
from .layers.recurrent_cells import GRUCell, LSTMCell, OutputRecurrentCell, RNNCell
from .layers.recurrent import Recurrent
from .layers.recurrent_stack import RecurrentStack
from .layers.recurrent_attention import (
    AdditiveAttention,
    ConcatAttention,
    DotAttention,
    GeneralAttention,
)
from .layers.recurrent_encoder import RecurrentEncoder
from .layers.recurrent_decoder import RecurrentDecoder
from .models.recurrent_seq2seq import RecurrentSeq2Seq
from .layers.embeddings import OneHot, set_word_vectors
from .data.word_vectors import read_word_vectors, word_vector_rows
from .training.gradients_through_time import (
    gradient_norms_by_architecture,
    gradient_norms_through_attention,
    gradient_norms_through_time,
)
from .plotting_gradients import plot_gradients_through_time

# Training.
from .config import (
    Config,
    DecodingConfig,
    TokenizerConfig,
    TrainingConfig,
    WordVectorsConfig,
    preset,
)
from .model_config import ModelConfig, RecurrentConfig
from .training.backup import BackupAndRestore
from .training.schedules import CustomSchedule
from .training.losses import MaskedLoss, masked_loss
from .training.metrics import MaskedAccuracy, MaskedCrossentropy, masked_accuracy
from .training.trainer import train

# Translating.
from .decoding.search import Search
from .translation import ExportedTranslator, Translation
from .graph_translation import ExportTranslator
from .translator import Translator, print_translation
from .evaluation import corpus_scores, evaluate
from .plotting import plot_attention_head, plot_attention_weights

# Export.
from .exporting.saved_model import export
from .exporting.ctranslate2 import export_ctranslate2
from .exporting.ctranslate2_translator import CTranslate2Translator
from .errors import InputError

# The older edition of the tutorial, where its names clash with the newer one.
from . import edition_2019

__all__ = [
    "AdditiveAttention",
    "BackupAndRestore",
    "BaseAttention",
    "CTranslate2Translator",
    "CausalSelfAttention",
    "ConcatAttention",
    "Config",
    "Corpus",
    "CrossAttention",
    "CustomSchedule",
    "Decoder",
    "DecoderLayer",
    "DecodingConfig",
    "DotAttention",
    "Encoder",
    "EncoderLayer",
    "ExportTranslator",
    "ExportedTranslator",
    "FeedForward",
    "GRUCell",
    "GeneralAttention",
    "GlobalSelfAttention",
    "InputError",
    "LSTMCell",
    "MaskedAccuracy",
    "MaskedCrossentropy",
    "MaskedLoss",
    "ModelConfig",
    "MultiHeadAttention",
    "OneHot",
    "OutputRecurrentCell",
    "PositionalEmbedding",
    "RNNCell",
    "Recurrent",
    "RecurrentConfig",
    "RecurrentDecoder",
    "RecurrentEncoder",
    "RecurrentSeq2Seq",
    "RecurrentStack",
    "Search",
    "TokenizerConfig",
    "Tokenizers",
    "TrainingConfig",
    "Transformer",
    "Translation",
    "Translator",
    "WordVectorsConfig",
    "as_tokenizers",
    "corpus_scores",
    "create_look_ahead_mask",
    "create_masks",
    "create_padding_mask",
    "edition_2019",
    "evaluate",
    "export",
    "export_ctranslate2",
    "get_angles",
    "gradient_norms_by_architecture",
    "gradient_norms_through_attention",
    "gradient_norms_through_time",
    "load_corpus",
    "load_model",
    "make_batches",
    "masked_accuracy",
    "masked_loss",
    "plot_attention_head",
    "plot_attention_weights",
    "plot_gradients_through_time",
    "point_wise_feed_forward_network",
    "positional_encoding",
    "preset",
    "print_translation",
    "read_word_vectors",
    "scaled_dot_product_attention",
    "set_word_vectors",
    "train",
    "train_tokenizers",
    "tutorial_tokenizers",
    "word_vector_rows",
]
