"""Options that several commands of the command line share."""

import functools
from pathlib import Path

import click

DATASET_HELP = (
    "ted_hrlr_translate/pt_to_en or another translation set of TensorFlow Datasets, sample, "
    "bible, pairs:SRC,TGT or pairs:FILE.tsv; for gpt and bert also text:FILE, a text a line."
)
model_option = click.option(
    "--model",
    "model_path",
    required=True,
    type=click.Path(path_type=Path),
    help="A run folder or an exported model.",
)


compile_option = click.option(
    "--compile/--no-compile",
    "jit_compile",
    default=None,
    help="Search with XLA from the start, or never; unless given, once it pays off.",
)


SEARCH = {
    "beam_size": {"type": int, "help": "Hypotheses side by side; 1 is greedy."},
    "length_penalty": {"type": float, "help": "Exponent; 0 ranks by probability."},
    "length_penalty_kind": {
        "type": click.Choice(["plain", "gnmt"]),
        "help": "Scores are divided by a power of the length, or of (5 + length) / 6.",
    },
    "max_length": {"type": int, "help": "Most target tokens, the end included."},
    "min_length": {"type": int, "help": "Fewest target tokens."},
    "no_repeat_ngram": {"type": int, "help": "Give no n-gram of this size twice."},
    "forbid_unknown": {"is_flag": True, "help": "Never give [UNK]."},
    "sampling": {"is_flag": True, "help": "Draw tokens by their probability."},
    "temperature": {"type": float, "help": "Of sampling; 1 unless given."},
    "top_k": {"type": int, "help": "Draw from so many tokens."},
    "top_p": {"type": float, "help": "Draw from tokens that have this probability in sum."},
    "seed": {"type": int, "help": "Of sampling."},
}


def search_options(command):
    """Adds the options of a search; those that are given arrive as the dictionary ``search``."""

    @functools.wraps(command)
    def with_search(**arguments):
        values = {name: arguments.pop(name) for name in SEARCH}
        given = {
            name: value
            for name, value in values.items()
            if value is not None and value is not False
        }
        return command(search=given, **arguments)

    for name, settings in reversed(SEARCH.items()):
        flag = f"--{name.replace('_', '-')}"
        with_search = click.option(flag, name, **settings)(with_search)
    return with_search


SERVING = {
    "name": {"help": "Of the model in paths and requests; the folder's unless given."},
    "host": {"help": "Address to listen on; unless given, only this machine can reach it."},
    "port": {"type": int, "help": "Of REST and the page; 8501 unless given."},
    "grpc_port": {"type": int, "help": "Of gRPC; 8500 unless given."},
    "max_batch_size": {"type": int, "help": "Most texts translated together; 64."},
    "max_batch_bytes": {"type": int, "help": "Most bytes of a batch with its padding; 32768."},
    "batch_timeout_ms": {"type": float, "help": "How long a text waits for others; 5."},
    "max_queue": {"type": int, "help": "Most texts that wait; 1024. More are turned away."},
    "max_texts": {"type": int, "help": "Most texts of a request; 256."},
    "max_characters": {"type": int, "help": "Of a text; 5000."},
    "max_body_bytes": {"type": int, "help": "Of a request; 1048576."},
    "max_beam_size": {"type": int, "help": "Highest beam size of a request; 16."},
    "deadline": {"type": float, "help": "Seconds until a request is given up; 30."},
    "drain_seconds": {"type": float, "help": "Seconds to finish what was accepted; 30."},
    "poll_seconds": {"type": float, "help": "Seconds between looks for new versions; 5."},
    "workers": {"type": int, "help": "Batches at a time; the number of cores unless given."},
}


def serving_options(command):
    """Adds the options of the server; those that are given arrive as keyword arguments."""
    for name, settings in reversed(SERVING.items()):
        command = click.option(f"--{name.replace('_', '-')}", name, **settings)(command)
    return command
