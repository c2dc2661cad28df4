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

# Training.
from .config import Config, DecodingConfig, ModelConfig, TokenizerConfig, TrainingConfig, preset
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
    "BackupAndRestore",
    "BaseAttention",
    "CTranslate2Translator",
    "CausalSelfAttention",
    "Config",
    "Corpus",
    "CrossAttention",
    "CustomSchedule",
    "Decoder",
    "DecoderLayer",
    "DecodingConfig",
    "Encoder",
    "EncoderLayer",
    "ExportTranslator",
    "ExportedTranslator",
    "FeedForward",
    "GlobalSelfAttention",
    "InputError",
    "MaskedAccuracy",
    "MaskedCrossentropy",
    "MaskedLoss",
    "ModelConfig",
    "MultiHeadAttention",
    "PositionalEmbedding",
    "Search",
    "TokenizerConfig",
    "Tokenizers",
    "TrainingConfig",
    "Transformer",
    "Translation",
    "Translator",
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
    "load_corpus",
    "load_model",
    "make_batches",
    "masked_accuracy",
    "masked_loss",
    "plot_attention_head",
    "plot_attention_weights",
    "point_wise_feed_forward_network",
    "positional_encoding",
    "preset",
    "print_translation",
    "scaled_dot_product_attention",
    "train",
    "train_tokenizers",
    "tutorial_tokenizers",
]
