# Text and batches.
from .data.corpora.corpus import Corpus
from .data.corpora.load import load_corpus
from .data.corpora.mixture import CorpusPart, mix_corpora
from .data.corpora.pair_filters import PairFilters
from .data.tokenizers.pair import (
    Tokenizers,
    as_tokenizers,
    train_tokenizers,
    tutorial_tokenizers,
)
from .data.batches.pairs import make_batches

# Positions and masks.
from .layers.positional import PositionalEmbedding, get_angles, positional_encoding
from .layers.attention.masks import create_look_ahead_mask, create_masks, create_padding_mask

# Attention and the feed-forward network.
from .layers.attention.dot_product import scaled_dot_product_attention
from .layers.attention.multi_head import MultiHeadAttention
from .layers.attention.sublayers import (
    BaseAttention,
    CausalSelfAttention,
    CrossAttention,
    GlobalSelfAttention,
)
from .layers.feed_forward import FeedForward, point_wise_feed_forward_network

# Encoder, decoder, model.
from .layers.encoder import Encoder, EncoderLayer, EncoderStack
from .layers.decoder import Decoder, DecoderLayer
from .models.transformer import Transformer
from .saving import load_model

# Where it came from: recurrent networks and their attention.
from .layers.recurrent.cells import GRUCell, LSTMCell, OutputRecurrentCell, RNNCell
from .layers.recurrent.layer import Recurrent
from .layers.recurrent.stack import RecurrentStack
from .layers.recurrent.attention import (
    AdditiveAttention,
    ConcatAttention,
    DotAttention,
    GeneralAttention,
)
from .layers.recurrent.encoder import RecurrentEncoder
from .layers.recurrent.decoder import RecurrentDecoder
from .models.recurrent_seq2seq import RecurrentSeq2Seq
from .models.ensemble import ModelEnsemble
from .layers.embeddings import OneHot, set_word_vectors
from .data.word_vectors import read_word_vectors, word_vector_rows
from .plotting.gradients import (
    gradient_norms_by_architecture,
    gradient_norms_through_attention,
    gradient_norms_through_time,
    plot_gradients_through_time,
)

# What came after: models of one language, and of images.
from .models.elmo import ELMo, ElmoClassifier
from .layers.scalar_mix import ScalarMix
from .models.bert import Bert, BertOutput
from .models.bert_pretraining import BertPretraining
from .models.bert_heads import (
    LastTokenReader,
    SequenceClassifier,
    SpanPredictor,
    TokenClassifier,
    best_spans,
)
from .data.corpora.documents import (
    bible_documents,
    next_sentence_pairs,
    sentence_order_pairs,
    split_documents,
    text_documents,
)
from .data.batches.masked import mask_tokens
from .data.batches.sentence_pairs import (
    masked_language_batches,
    pack_pairs,
    tokenize_sentence_pairs,
)
from .layers.causal import CausalStack
from .models.gpt import GPT
from .data.batches.texts import block_batches, line_batches
from .translating.generator import Generation, Generator
from .models.vit import ViT
from .layers.patches import PatchEmbedding, interpolate_positions
from .plotting.rollout import attention_rollout, plot_attention_rollout
from .interop.huggingface import load_huggingface, save_huggingface
from .interop.tokenizer_files import load_huggingface_tokenizer, save_huggingface_tokenizer
from .interop.sentences import sentence_embeddings

# Training.
from .config import (
    Config,
    DecodingConfig,
    TokenizerConfig,
    TrainingConfig,
    WordVectorsConfig,
    preset,
)
from .config.model import BertConfig, GPTConfig, ModelConfig, RecurrentConfig
from .training.backup import BackupAndRestore
from .optimizers.schedules import CustomSchedule
from .optimizers.adam import Adam
from .optimizers.muon import Muon
from .losses.masked import MaskedLoss, masked_loss
from .losses.metrics import MaskedAccuracy, MaskedCrossentropy, masked_accuracy
from .training.run import train
from .training.averaging import average_weights
from .training.sweep import sweep

# Translating.
from .decoding.search import Search
from .translating.exported import ExportedTranslator
from .translating.translation import Translation
from .data.glossary import Glossary
from .translating.graph import ExportTranslator
from .translating.translator import Translator, print_translation
from .translating.documents.translate import translate_document, translate_document_file
from .translating.documents.markup import translate_markup
from .translating.evaluation import Perplexity, corpus_scores, evaluate, perplexity
from .translating.comparison.breakdowns import scores_by_length
from .translating.comparison.compare import compare_translations
from .translating.comparison.page import comparison_page
from .plotting.attention import plot_attention_head, plot_attention_weights
from .plotting.scores import SentenceAttention, sentence_attention, sharpest_heads
from .plotting.attention import plot_attention_average, plot_attention_grid
from .plotting.lines import plot_attention_lines
from .plotting.teaching import plot_masks, plot_positional_encoding
from .plotting.training import plot_label_smoothing, plot_learning_rate, plot_training_curves
from .plotting.lengths import plot_scores_by_length

# Export.
from .exporting.saved_model import export
from .exporting.ctranslate2 import export_ctranslate2
from .translating.ctranslate2 import CTranslate2Translator
from .errors import InputError

# The older edition of the tutorial, where its names clash with the newer one.
from . import edition_2019

__all__ = [
    "GPT",
    "Adam",
    "AdditiveAttention",
    "BackupAndRestore",
    "BaseAttention",
    "Bert",
    "BertConfig",
    "BertOutput",
    "BertPretraining",
    "CTranslate2Translator",
    "CausalSelfAttention",
    "CausalStack",
    "ConcatAttention",
    "Config",
    "Corpus",
    "CorpusPart",
    "CrossAttention",
    "CustomSchedule",
    "Decoder",
    "DecoderLayer",
    "DecodingConfig",
    "DotAttention",
    "ELMo",
    "ElmoClassifier",
    "Encoder",
    "EncoderLayer",
    "EncoderStack",
    "ExportTranslator",
    "ExportedTranslator",
    "FeedForward",
    "GPTConfig",
    "GRUCell",
    "GeneralAttention",
    "Generation",
    "Generator",
    "GlobalSelfAttention",
    "Glossary",
    "InputError",
    "LSTMCell",
    "LastTokenReader",
    "MaskedAccuracy",
    "MaskedCrossentropy",
    "MaskedLoss",
    "ModelConfig",
    "ModelEnsemble",
    "MultiHeadAttention",
    "Muon",
    "OneHot",
    "OutputRecurrentCell",
    "PairFilters",
    "PatchEmbedding",
    "Perplexity",
    "PositionalEmbedding",
    "RNNCell",
    "Recurrent",
    "RecurrentConfig",
    "RecurrentDecoder",
    "RecurrentEncoder",
    "RecurrentSeq2Seq",
    "RecurrentStack",
    "ScalarMix",
    "Search",
    "SentenceAttention",
    "SequenceClassifier",
    "SpanPredictor",
    "TokenClassifier",
    "TokenizerConfig",
    "Tokenizers",
    "TrainingConfig",
    "Transformer",
    "Translation",
    "Translator",
    "ViT",
    "WordVectorsConfig",
    "as_tokenizers",
    "attention_rollout",
    "average_weights",
    "best_spans",
    "bible_documents",
    "block_batches",
    "compare_translations",
    "comparison_page",
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
    "interpolate_positions",
    "line_batches",
    "load_corpus",
    "load_huggingface",
    "load_huggingface_tokenizer",
    "load_model",
    "make_batches",
    "mask_tokens",
    "masked_accuracy",
    "masked_language_batches",
    "masked_loss",
    "mix_corpora",
    "next_sentence_pairs",
    "pack_pairs",
    "perplexity",
    "plot_attention_average",
    "plot_attention_grid",
    "plot_attention_head",
    "plot_attention_lines",
    "plot_attention_rollout",
    "plot_attention_weights",
    "plot_gradients_through_time",
    "plot_label_smoothing",
    "plot_learning_rate",
    "plot_masks",
    "plot_positional_encoding",
    "plot_scores_by_length",
    "plot_training_curves",
    "point_wise_feed_forward_network",
    "positional_encoding",
    "preset",
    "print_translation",
    "read_word_vectors",
    "save_huggingface",
    "save_huggingface_tokenizer",
    "scaled_dot_product_attention",
    "scores_by_length",
    "sentence_attention",
    "sentence_embeddings",
    "sentence_order_pairs",
    "set_word_vectors",
    "sharpest_heads",
    "split_documents",
    "sweep",
    "text_documents",
    "tokenize_sentence_pairs",
    "train",
    "train_tokenizers",
    "translate_document",
    "translate_document_file",
    "translate_markup",
    "tutorial_tokenizers",
    "word_vector_rows",
]
