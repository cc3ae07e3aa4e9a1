"""The vendored files are those of their packages, unchanged but for the listed rewrites."""

import re

from script import vendor


def test_vendored_files_are_as_listed() -> None:
    assert list(vendor.find_differences()) == []


def test_every_vendored_package_has_its_license() -> None:
    texts = [(vendor.STATIC / file.path).read_text() for file in vendor.FILES if file.source == "LICENSE"]
    assert len(texts) == len(vendor.LICENSES)
    assert all(re.search("Permission|Redistribution|Apache License", text) for text in texts)
