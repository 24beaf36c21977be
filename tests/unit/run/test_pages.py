"""The pages of the manual, as the package ships them."""

from __future__ import annotations

import re

import pytest

from qdebug.errors import UsageError
from qdebug.run.kinds import KINDS
from qdebug.run.model import Finding
from qdebug.run.pages import GUIDES, explanation_of, page
from qdebug.vendors import manual


def finding(slug: str) -> Finding:
    return Finding(
        id="QD000",
        slug=slug,
        status="warn",
        severity="warning",
        title="t",
        seen="s",
        advice="a",
        confidence="high",
    )


def test_a_page_goes_by_its_slug_and_by_its_id() -> None:
    assert page("mixed-range").startswith("# QD301 mixed-range\n")
    assert page("qd301") == page("QD301") == page("mixed-range")


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        page("mixed_range")
    assert caught.value.hint == "did you mean: qdebug explain mixed-range"
    with pytest.raises(UsageError) as caught:
        page("../../pyproject")
    assert caught.value.hint == "qdebug explain lists them"


def test_every_page_leads_to_pages_only() -> None:
    for text in (*map(page, KINDS), *map(manual.page, GUIDES)):
        assert "](" not in text.replace("](http", "").replace("](#", "")
        for other in re.findall(r"`qdebug explain ([a-z0-9-]+)`", text):
            assert other in KINDS or other in GUIDES


def test_findings_of_plug_ins_have_none() -> None:
    assert explanation_of(finding("mixed-range")) == "qdebug explain mixed-range"
    assert explanation_of(finding("somebody-s-own")) is None
