"""The guides in docs/ as tests read them: their code, tables and links."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from demo.process import PROJECT
from shared.settings import Settings

DOCS = PROJECT / "docs"
_BOUNDS = {"maximum", "maxItems"}
UUID_PATTERN = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


@dataclass(frozen=True)
class Block:
    """A block of code, and the comment above it."""

    line: int
    comment: str
    language: str
    text: str


class Guide:
    """A guide's text."""

    def __init__(self, name: str) -> None:
        self.text = (DOCS / name).read_text(encoding="utf-8")
        pattern = r"(?:^<!-- (?P<comment>[^\n]*) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$"
        self.blocks = [
            Block(self.text.count("\n", 0, m.start("language")) + 1, m["comment"] or "", m["language"], m["text"])
            for m in re.finditer(pattern, self.text, re.MULTILINE | re.DOTALL)
        ]
        self.quoted = [block for block in self.blocks if block.comment.startswith("from: ")]

    def code(self, comment: str) -> str:
        """The only block under this comment."""
        [found] = [block.text for block in self.blocks if block.comment == comment]
        return found

    def after(self, block: Block) -> Block:
        """The block that comes next."""
        return self.blocks[self.blocks.index(block) + 1]

    def section(self, heading: str) -> str:
        """The text below a heading, up to the next one of any rank."""
        [found] = re.findall(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#+ |\Z)", self.text, re.MULTILINE | re.DOTALL)
        return found

    def dangling_links(self) -> list[str]:
        """Links that lead nowhere, as far as that can be seen here."""
        return [link for link in re.findall(r"\]\(([^)\s]+)\)", self.text) if not self._leads_somewhere(link)]

    def wrong_settings(self, *, besides: Collection[str] = ()) -> list[str]:
        """Settings that there are not, or with another default than the text gives them."""
        defaults = {name.upper(): field.default for name, field in Settings.model_fields.items()}
        mentioned = set(re.findall(r"`([A-Z]{2,}(?:_[A-Z]+)+)`", self.text))
        valued = re.findall(r"`([A-Z]+(?:_[A-Z]+)+)`\s+\(([\d,]+)\)", self.text)
        wrong = {name for name, value in valued if defaults.get(name) != float(value.replace(",", ""))}
        return sorted(wrong | (mentioned - defaults.keys() - set(besides)))

    def _leads_somewhere(self, link: str) -> bool:
        file, _, anchor = link.partition("#")
        if file.startswith("https:"):
            return True
        if file and not (DOCS / file).exists():
            return False
        return not anchor or anchor in _anchors((DOCS / file).read_text(encoding="utf-8") if file else self.text)


def _anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def quoted_region(block: Block) -> str:
    """What stands in the file a block is `from:` between `region: name` and `end`, moved to the left margin."""
    _, file, name = block.comment.split()
    text = Path(DOCS, file).read_text(encoding="utf-8")
    [found] = re.findall(rf"^ *(?:#|//) region: {name}\n(.*?)^ *(?:#|//) end$", text, re.MULTILINE | re.DOTALL)
    return textwrap.dedent(found).strip() + "\n"


def table(text: str, first_column: str) -> list[list[str]]:
    """The rows of the table whose first column is called so, without its head."""
    [found] = re.findall(rf"^\| {first_column} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in found.splitlines()]


def wrong_parameters(rows: list[list[str]], contract: type[BaseModel]) -> list[str]:
    """Rows (name, range, default, ...) that are not what the contract says, or that are missing. What a parameter is
    when it is left out and the contract has nothing, the text says in its own words."""
    told = {names(row[0])[0]: row for row in rows}
    wrong = told.keys() ^ contract.model_fields.keys()
    schemas = contract.model_json_schema()["properties"]
    for name in told.keys() & contract.model_fields.keys():
        _, allowed, default, _ = told[name]
        field, schema = contract.model_fields[name], schemas[name]
        bounds = next((one for one in [schema, *schema.get("anyOf", [])] if one.keys() & _BOUNDS), {})
        if "maximum" in bounds and allowed != f"{bounds['minimum']:g} to {bounds['maximum']}":
            wrong.add(name)
        if "maxItems" in bounds and not allowed.startswith(f"at most {bounds['maxItems']} "):
            wrong.add(name)
        in_own_words = field.default in (None, []) and default not in ("", "required")
        by_contract = (
            f"{field.default:g}" if isinstance(field.default, float) else json.dumps(field.default, default=str)
        )
        if not in_own_words and default != ("required" if field.is_required() else by_contract):
            wrong.add(name)
    return sorted(wrong)


def names(cell: str) -> list[str]:
    """What is set as code."""
    return re.findall(r"`([^`\n]+)`", cell)


def alike(shown: Any, given: Any, where: str = "the answer") -> None:
    """The same fields with values of the same kind; null stands for any."""
    if isinstance(shown, dict) and isinstance(given, dict):
        assert list(shown) == list(given), where
        for name, value in shown.items():
            alike(value, given[name], f"{where}.{name}")
    elif isinstance(shown, list) and isinstance(given, list):
        if not all(isinstance(one, str) for one in [*shown, *given]):  # a title has as many genres as it has
            assert len(shown) == len(given), where
        for one, other in zip(shown, given, strict=False):
            alike(one, other, f"{where}[]")
    elif shown is not None and given is not None:
        assert type(shown) is type(given), where
