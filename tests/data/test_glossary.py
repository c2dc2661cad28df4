"""Files of glossaries: what is one, and one clear error for what is none."""

import pytest

from keras_transformer.data.glossary import MOST_CHARACTERS, MOST_TERMS, Glossary, Term
from keras_transformer.errors import InputError


def test_a_file(tmp_path):
    path = tmp_path / "terms.tsv"
    path.write_text("\ufeffgato\ttomcat\r\n\n caixa de diálogo \t dialog \tui\n", "utf-8")
    glossary = Glossary.load(path)
    assert glossary.terms == (Term("gato", "tomcat"), Term("caixa de diálogo", "dialog", "ui"))
    assert glossary.columns() == (
        [b"gato", "caixa de diálogo".encode()],
        [b"tomcat", b"dialog"],
    )
    assert Glossary.of(path) == Glossary.of(str(path)) == Glossary.of(glossary) == glossary


def test_what_python_has():
    pairs = [("gato", "tomcat"), ("cão", "dog")]
    assert (
        Glossary.of(pairs) == Glossary.of(dict(pairs)) == Glossary.parse("gato\ttomcat\ncão\tdog")
    )
    assert len(Glossary.of([])) == 0
    assert Glossary.parse("\n\n") == Glossary.of({})


@pytest.mark.parametrize("given", [3, None, ["gato"], [("a", "b", "c", "d")], [("a", 1)], [3]])
def test_what_is_no_glossary(given):
    with pytest.raises(InputError, match="glossary"):
        Glossary.of(given)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("gato", r"g, line 1: has 1 columns"),
        ("a\tb\tc\td", r"g, line 1: has 4 columns"),
        ("a\tb\n\n\tb", r"g, line 3: its term is empty"),
        ("a\t ", r"g, line 1: its translation is empty"),
        ("...\tb", r"g, line 1: its term '...' has no letter"),
        (
            "a\t" + "b" * (MOST_CHARACTERS + 1),
            r"g, line 1: its translation 'b+' has 201 characters",
        ),
        ("a " * 17 + "\tb", r"g, line 1: its term .* has 33 characters in 17 words"),
        ("a\tb\x01", r"g, line 1: its translation .* has a control character"),
        ("a\tb\uf8fb", r"g, line 1: its translation .* has a control character"),
        ("a\tb\ud800", r"g, line 1: its translation .* has a control character or half of one"),
        (
            "Gato\tcat\ngato\ttomcat",
            r"line 2: translates 'gato' as 'tomcat', and g, line 1, as 'cat'",
        ),
        ("a\tb\tui\na\tc\tweb", r"line 2: .* keep one of them, or choose a domain"),
    ],
)
def test_one_error_for_what_is_none(text, problem):
    with pytest.raises(InputError, match=problem):
        Glossary.parse(text, "g")


def test_what_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match=r"no\.tsv"):
        Glossary.load(tmp_path / "no.tsv")
    (tmp_path / "latin.tsv").write_bytes("cão\tdog".encode("latin-1"))
    with pytest.raises(InputError, match="is not UTF-8"):
        Glossary.load(tmp_path / "latin.tsv")


def test_a_repeated_term_counts_once():
    assert len(Glossary.parse("gato\tcat\nGATO\tcat")) == 1


def test_a_domain_goes_before_what_holds_everywhere():
    text = "gato\tcat\njanela\twindow\ngato\ttomcat\tbiology\ngato\tcat o'nine tails\tsea"
    glossary = Glossary.parse(text, domain="biology")
    assert {(term.source, term.target) for term in glossary.terms} == {
        ("gato", "tomcat"),
        ("janela", "window"),
    }
    with pytest.raises(InputError, match=r"no term of the domain 'law'; it has biology, sea"):
        Glossary.parse(text, domain="law")
    with pytest.raises(InputError, match=r"its terms have none"):
        Glossary.parse("a\tb", domain="law")


def test_too_many_terms():
    with pytest.raises(InputError, match="100,001 terms is more than 100,000"):
        Glossary.of((f"a{i}", "b") for i in range(MOST_TERMS + 1))
