"""Forms are read as those who write them mean them, and anything else is one clear failure."""

import email.message
import email.policy
import functools

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_transformer.serving.failures import Failure, Kind
from keras_transformer.serving.forms import (
    MULTIPART,
    Field,
    by_name,
    media_type,
    read_multipart,
    read_urlencoded,
)

examples = settings(max_examples=100, deadline=None, database=None, derandomize=True)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=30)
names = st.text(st.characters(min_codepoint=97, max_codepoint=122), min_size=1, max_size=5)


def written(**parts):
    """Body and type of a form, as httpx writes them."""
    request = httpx.Request("POST", "http://a", **parts)
    return request.read(), request.headers["content-type"]


def refused(read, *arguments):
    with pytest.raises(Failure) as caught:
        read(*arguments)
    assert caught.value.kind is Kind.INVALID
    return caught.value.message


@examples
@given(st.lists(st.tuples(names, texts), max_size=5))
def test_what_is_encoded_in_a_form_comes_out(pairs):
    content = str(httpx.QueryParams(pairs)).encode()
    expected = {}
    for name, text in pairs:
        expected.setdefault(name, []).append(text)
    found = by_name(read_urlencoded(content, 5))
    assert found == {
        name: values[0] if len(values) == 1 else values for name, values in expected.items()
    }


@examples
@given(st.dictionaries(names, texts, max_size=4), st.binary(max_size=200), texts)
def test_what_is_sent_in_parts_comes_out(fields, content, name):
    body, content_type = written(data=fields, files={"file": (name or "a", content)})
    assert media_type(content_type) == MULTIPART
    found = read_multipart(body, content_type, 5)
    assert by_name(found) == fields
    [file] = [field for field in found if field.file is not None]
    assert (file.name, file.content) == ("file", content)


def test_parts_of_another_writer_come_out():
    message = email.message.EmailMessage(policy=email.policy.HTTP)
    message["Content-Type"] = 'multipart/form-data; boundary="a b-c"'
    for name, text in (("q", "um dois"), ("source", "pt")):
        part = email.message.EmailMessage(policy=email.policy.HTTP)
        part["Content-Disposition"] = f'form-data; name="{name}"'
        part.set_payload(text)
        message.attach(part)
    body = message.as_bytes().partition(b"\r\n\r\n")[2]
    found = by_name(read_multipart(b"preamble\r\n" + body, message["Content-Type"], 2))
    assert found == {"q": "um dois", "source": "pt"}


def test_line_ends_of_forms_are_those_of_texts():
    assert Field("q", b"a\r\nb\nc\rd").text == "a\nb\nc\rd"


def test_too_many_fields_are_refused_without_reading_them():
    assert len(read_urlencoded(b"&".join([b"a=b"] * 5), 5)) == 5
    assert "5" in refused(read_urlencoded, b"&".join([b"a=b"] * 6), 5)
    part = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nc\r\n'
    assert len(read_multipart(part * 5 + b"--b--\r\n", "multipart/form-data; boundary=b", 5)) == 5
    assert "5" in refused(read_multipart, part * 6 + b"--b--", "multipart/form-data; boundary=b", 5)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--b",
        b"--b--x",
        b"--b\r\n\r\n",
        b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\nc",
        b"--b\r\nContent-Type: a\r\n\r\nc\r\n--b--",
        b"--b\r\nContent-Disposition: form-data; name=a\r\n--b--",
        b"--b\r\nA: " + b"a" * 9000 + b"\r\n\r\nc\r\n--b--",
    ],
)
def test_what_is_no_form_of_parts_is_refused(body):
    if body == b"--b--x":  # what stands after the end says nothing
        assert read_multipart(body, "multipart/form-data; boundary=b", 5) == []
    else:
        refused(read_multipart, body, "multipart/form-data; boundary=b", 5)


@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary="])
def test_a_form_of_parts_names_its_boundary(kind):
    assert "boundary" in refused(read_multipart, b"--b--", kind, 5)


def test_what_is_no_utf_8_is_refused():
    refused(read_urlencoded, b"q=%ff", 5)
    refused(read_urlencoded, b"q=\xff", 5)
    refused(by_name, [Field("q", b"\xff")])
    assert by_name([Field("file", b"\xff", "a.txt")]) == {}


@settings(examples, max_examples=300)
@given(st.binary(max_size=100), st.sampled_from([b"", b"--b\r\n", b"--b--", b'; name="']))
def test_any_bytes_are_read_or_refused(content, mark):
    body = mark + content + mark + b"\r\n--b--"
    kinds = set()
    for read in (read_urlencoded, functools.partial(read_multipart, content_type="; boundary=b")):
        try:
            by_name(read(body, most=5))
        except Failure as failure:
            kinds.add(failure.kind)
    assert kinds <= {Kind.INVALID}
