"""Notebooks run from top to bottom, and match the scripts they are paired with."""

import ast
from pathlib import Path
from typing import NamedTuple

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient


class Promise(NamedTuple):
    """What a notebook has to show.

    Attributes:
        pictures: at least as many, each followed by what is to be seen.
        outputs: texts among what its cells print.
        needs: modules that the extra `test` does not install.
    """

    pictures: int
    outputs: tuple[str, ...]
    needs: tuple[str, ...] = ()


PROMISES = {
    "attention_lineage": Promise(8, ("BLEU",)),
    "bert_gpt_vit": Promise(
        12, ("perplexity of", "held-out digits", "the same logits"), needs=("sklearn",)
    ),
    "serving": Promise(6, ("BLEU", "Retry-After", "exit code 0")),
    "transformer": Promise(8, ("BLEU",)),
}

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
EVERY_NOTEBOOK = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
LONGEST_CELL = 25  # lines: what a reader takes in at once
SEES = "*What to see:*"


def read(path):
    return nbformat.read(path, as_version=4)


def draws(cell):
    """Whether a code cell shows a picture: it ends in a call that gives or shows a figure."""
    if cell.cell_type != "code":
        return False
    last = ast.parse(cell.source).body[-1]
    name = ast.unparse(last.value.func) if _is_call(last) else ""
    return name.startswith("kt.plot_") or name in ("plt.show", "draw_losses")


def _is_call(statement):
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)


def test_there_are_notebooks():
    assert [path.stem for path in NOTEBOOKS] == sorted(PROMISES)


@EVERY_NOTEBOOK
def test_a_notebook_equals_its_script(path):
    notebook = read(path)
    script = jupytext.read(path.with_suffix(".py"))
    assert [(cell.cell_type, cell.source) for cell in notebook.cells] == [
        (cell.cell_type, cell.source) for cell in script.cells
    ]


@EVERY_NOTEBOOK
def test_a_notebook_has_no_outputs(path):
    nbformat.validate(read(path))
    for cell in read(path).cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@EVERY_NOTEBOOK
def test_a_notebook_is_in_small_pieces(path):
    code = [cell.source for cell in read(path).cells if cell.cell_type == "code"]
    longest = max(code, key=lambda source: len(source.splitlines()))
    assert len(longest.splitlines()) <= LONGEST_CELL, longest


@EVERY_NOTEBOOK
def test_a_notebook_says_what_to_see(path):
    cells = read(path).cells
    pictures = [place for place, cell in enumerate(cells) if draws(cell)]
    assert len(pictures) >= PROMISES[path.stem].pictures
    for place in pictures:
        assert cells[place + 1].source.startswith(SEES), cells[place].source


@EVERY_NOTEBOOK
def test_a_notebook_takes_another_corpus_by_one_word(path):
    code = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "code")
    assert code.count('DATASET = "sample"') == 1
    assert "load_corpus(DATASET)" in code


@pytest.mark.slow
@EVERY_NOTEBOOK
def test_a_notebook_runs(path, tmp_path):
    promise = PROMISES[path.stem]
    for module in promise.needs:
        pytest.importorskip(module)
    notebook = read(path)
    NotebookClient(
        notebook, timeout=1800, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    for cell in filter(draws, notebook.cells):
        assert any("image/png" in output.get("data", {}) for output in cell.outputs), cell.source
    text = "".join(str(cell.get("outputs", "")) for cell in notebook.cells)
    for expected in promise.outputs:
        assert expected in text
