"""``translate --document`` as a user meets it: files, streams, exit codes, one line a mistake."""

import pytest
from click.testing import CliRunner

from keras_transformer.cli.command import main
from keras_transformer.translating.translation import BaseTranslator, Translation
from keras_transformer.translating.translator import Translator

PAGE = "<p>O <i>gato</i> é <b>meu</b>.\r\n<!-- nada -->"
CATALOGUE = 'msgid "um"\nmsgstr "one"\n'


class Upper(BaseTranslator):
    """Stands in the place of a model."""

    def translate(self, lines, *, beam_size=1):
        return [Translation(line.upper() * beam_size, 0.0) for line in lines]


@pytest.fixture
def translate(tmp_path, monkeypatch):
    """Runs ``translate`` in a folder with documents."""
    (tmp_path / "a.html").write_bytes(PAGE.encode())
    (tmp_path / "a.po").write_text(CATALOGUE)
    (tmp_path / "a.txt").write_bytes("é um\r\n\n- dois".encode())
    (tmp_path / "a.md").write_text("um\n")
    (tmp_path / "latin.txt").write_bytes(b"um\n\xe9\n")
    (tmp_path / "damaged.srt").write_text("um\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Translator, "load", lambda path, jit_compile=None: Upper())
    return lambda *arguments, **options: CliRunner().invoke(
        main, ["translate", "--model", "model", *arguments], **options
    )


@pytest.mark.parametrize(
    ("arguments", "written"),
    [
        (["--document", "a.txt"], "É UM\r\n\n- DOIS"),
        (["--document", "a.html"], "<p><i><b>O GATO É MEU.</b></i>\r\n<!-- nada -->"),
        (["--document", "a.md", "--format", "text"], "UM\n"),
        (["--document", "a.txt", "--beam-size", "2"], "É UMÉ UM\r\n\n- DOISDOIS"),
        (["--document", "a.po"], CATALOGUE),
        (
            ["--document", "a.po", "--everything"],
            '#, fuzzy\nmsgid "um"\nmsgstr "UM"\n',
        ),
        (["--document", "-", "--format", "text"], "ENTRA\r\n"),
    ],
)
def test_a_document_comes_back_in_its_shape(translate, tmp_path, arguments, written):
    done = translate(*arguments, input=b"entra\r\n")
    assert done.exit_code == 0, done.stderr
    assert done.stdout_bytes == written.encode()
    assert translate(*arguments, "--output", "written", input=b"entra\r\n").stdout == ""
    assert (tmp_path / "written").read_bytes() == written.encode()


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["--document", "a.txt", "--n-best", "2"], 2, "--n-best says nothing with --document"),
        (["--document", "a.txt", "--json"], 2, "--json says nothing with --document"),
        (["--document", "a.txt", "um"], 2, "TEXT says nothing with --document"),
        (["--format", "html", "um"], 2, "--format says nothing without --document"),
        (["--output", "b", "um"], 2, "--output says nothing without --document"),
        (["--everything", "um"], 2, "--everything says nothing without --document"),
        (["--document", "a.txt", "--everything"], 2, "--everything is for message catalogues"),
        (["--document", "-"], 2, "Standard input has no name: give --format."),
        (["--document", "a.txt", "--format", "pdf"], 2, "'pdf' is not one of"),
        (["--document", "a.md"], 1, "Error: a.md: its name tells no format"),
        (["--document", "none.txt"], 1, "Error: none.txt: no such file: check the path."),
        (["--document", ".", "--format", "text"], 1, "Error: .: cannot be read (Is a directory)"),
        (["--document", "latin.txt"], 1, "Error: latin.txt, line 2: byte 0xe9 is not UTF-8"),
        (["--document", "damaged.srt"], 1, "Error: damaged.srt, line 1: begins no subtitle"),
        (
            ["--document", "-", "--format", "html"],
            1,
            "Error: standard input, line 1: byte 0xff is not UTF-8",
        ),
        (["--document", "a.txt", "--output", "no/b"], 1, "Error: no/b: cannot be written"),
    ],
)
def test_a_mistake_is_one_line(translate, tmp_path, arguments, code, complaint):
    before = sorted(tmp_path.iterdir())
    if "--output" not in arguments and "--document" in arguments:
        arguments = [*arguments, "--output", "written"]
    done = translate(*arguments, input=b"\xff")
    assert done.exit_code == code
    assert complaint in done.stderr.splitlines()[-1]
    assert done.stdout == ""
    assert sorted(tmp_path.iterdir()) == before
