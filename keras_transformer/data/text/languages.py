"""Codes of languages, such as `pt-BR`."""


def primary_language(code: str) -> str:
    """The language of a code without its region and script: `pt` of `pt-BR` and of `pt_PT`."""
    return code.replace("_", "-").split("-")[0].lower()
