"""What to do about a missing image: for each reason there is advice, and a section of the documentation."""

import re
from collections.abc import Iterator

import pytest

from nodeprefetch.cluster.advice import PAGE, REMEDIES, advice
from nodeprefetch.runtime import artifacts, error_words, errors, image_check, pull_errors, throttle_words
from nodeprefetch.runtime.faults import Fault
from tests.unit.docs_pages import ROOT, anchors

TEXT = (ROOT / PAGE).read_text("utf-8")
ABOUT_IMAGES = TEXT.partition("\n## An image fails\n")[2].partition("\n## ")[0]


def faults_in(value: object) -> Iterator[Fault]:
    match value:
        case Fault():
            yield value
        case dict():
            yield from faults_in(tuple(value.values()))
        case tuple() | list():
            for each in value:
                yield from faults_in(each)


def known_reasons() -> set[str]:
    modules = [artifacts, error_words, errors, image_check, pull_errors, throttle_words]
    return {fault.reason for module in modules for fault in faults_in(dict(vars(module)))}


def test_there_is_advice_for_each_reason_of_a_fault():
    assert set() == known_reasons() - set(REMEDIES)


def test_the_reasons_of_faults_are_found():
    assert {"not_found", "denied", "no_space", "rate_limited", "tls"} <= known_reasons()


def test_there_is_advice_for_each_reason_in_the_documentation_and_for_no_other():
    documented = set(re.findall(r"`([a-z_]+)`", "".join(re.findall(r"^\| (`[^|]*) \|", ABOUT_IMAGES, re.MULTILINE))))

    assert documented | {"cancelled", "no_runtime"} == set(REMEDIES)


@pytest.mark.parametrize("reason", REMEDIES)
def test_the_section_for_a_reason_exists_and_names_it(reason: str):
    section = REMEDIES[reason].section

    assert section in anchors(ROOT / PAGE)
    assert reason == "no_runtime" or f"`{reason}`" in ABOUT_IMAGES


def test_advice_is_one_line_with_the_section():
    assert "free disk space on the node, or shorten the list (docs/troubleshooting.md#the-disk-is-full)" == advice(
        "no-space", "no_space"
    )


@pytest.mark.parametrize(
    ("error_class", "section"),
    [
        ("permanent", "the-name-or-the-request-is-rejected"),
        ("refused", "no-credential-is-accepted"),
        ("no-space", "the-disk-is-full"),
        ("brand-new", "report-an-unrecognized-error"),
    ],
)
def test_a_reason_of_a_newer_version_has_the_advice_of_its_class(error_class: str, section: str):
    assert advice(error_class, "brand_new").endswith(f"#{section})")


def test_without_a_reason_there_is_no_advice():
    assert "" == advice("", "")
