"""Keras models: Transformer, recurrent models, GPT, BERT, ELMo and ViT."""

from keras_transformer.models.bert import Bert
from keras_transformer.models.bert_heads import SequenceClassifier, SpanPredictor, TokenClassifier
from keras_transformer.models.bert_pretraining import BertPretraining
from keras_transformer.models.elmo import ELMo, ElmoClassifier
from keras_transformer.models.ensemble import ModelEnsemble
from keras_transformer.models.gpt import GPT
from keras_transformer.models.recurrent_seq2seq import RecurrentSeq2Seq
from keras_transformer.models.transformer import Transformer
from keras_transformer.models.vit import ViT
