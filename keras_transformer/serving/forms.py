"""Fields of HTML forms, as queries, ``application/x-www-form-urlencoded`` and multipart bodies."""

import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import parse_qsl

from keras_transformer.serving.failures import invalid

URLENCODED, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"

_MOST_BEGINNING = 2**13  # bytes of the headers of a part
_BOUNDARY = re.compile(r';\s*boundary\s*=\s*(?:"([^"]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)
_PARAMETER = re.compile(r';\s*(name|filename\*?)\s*=\s*(?:"([^"]*)"|([^\s;"]+))', re.IGNORECASE)


class Field(NamedTuple):
    """A field of a form.

    Attributes:
        name: its name.
        content: its bytes.
        file: the name of the file that these are of; ``None`` where it is no file.
    """

    name: str
    content: bytes
    file: str | None = None

    @property
    def text(self) -> str:
        """The content as a text, line ends as everywhere but in forms.

        Raises:
            Failure: where it is no UTF-8.
        """
        try:
            return self.content.decode("utf-8").replace("\r\n", "\n")
        except UnicodeDecodeError as error:
            raise invalid(f'the field "{self.name}" is not UTF-8.') from error


def media_type(content_type: str) -> str:
    """The type in a header, without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def read_urlencoded(content: bytes, most: int) -> list[Field]:
    """The fields of a query or of a body of that type.

    Raises:
        Failure: when there are more than `most`, or it is no UTF-8.
    """
    try:
        pairs = parse_qsl(
            content.decode("utf-8"), keep_blank_values=True, max_num_fields=most, errors="strict"
        )
    except UnicodeDecodeError as error:
        raise invalid("the form is not UTF-8.") from error
    except ValueError as error:
        raise invalid(f"the form has more than {most} fields.") from error
    return [Field(name, value.encode("utf-8")) for name, value in pairs]


def read_multipart(content: bytes, content_type: str, most: int) -> list[Field]:
    """The fields of a multipart body.

    Args:
        content: the body.
        content_type: the header, which names the boundary.
        most: fields.

    Raises:
        Failure: when it is none, or has more fields.
    """
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise invalid(f"Content-Type {MULTIPART} names no boundary.")
    delimiter = b"\r\n--" + (found[1] or found[2]).encode("latin-1", "replace")
    _, *parts = (b"\r\n" + content).split(delimiter, most + 2)
    if len(parts) > most + 1:
        raise invalid(f"the form has more than {most} fields.")
    if not parts or not parts.pop().startswith(b"--"):
        raise invalid("the form does not end with its boundary.")
    return [_field(part) for part in parts]


def _field(part: bytes) -> Field:
    head, blank, content = part.partition(b"\r\n\r\n")
    if not blank or len(head) > _MOST_BEGINNING:
        raise invalid("a part of the form has no proper headers.")
    for line in head.split(b"\r\n"):
        header, _, value = line.decode("utf-8", "replace").partition(":")
        if header.strip().lower() == "content-disposition":
            parameters = {
                name.lower(): quoted or plain for name, quoted, plain in _PARAMETER.findall(value)
            }
            file = parameters.get("filename", parameters.get("filename*"))
            return Field(parameters.get("name", ""), content, file)
    raise invalid("a part of the form has no Content-Disposition.")


def by_name(fields: Iterable[Field]) -> dict[str, str | list[str]]:
    """The texts of fields; a list of them for a name that several have. Files are left out.

    Raises:
        Failure: where one is no UTF-8.
    """
    texts: dict[str, list[str]] = {}
    for field in fields:
        if field.file is None:
            texts.setdefault(field.name, []).append(field.text)
    return {name: values[0] if len(values) == 1 else values for name, values in texts.items()}
