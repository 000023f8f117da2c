"""The tutorial that writes a network family: its program runs, and says what its frames take."""

import re

from tests.docs.pages import run_program


def test_the_family_of_the_page_encodes_and_decodes(tmp_path):
    lines = run_program("network-family.md", tmp_path).splitlines()
    assert len(lines) == 2
    for line in lines:
        told = re.fullmatch(r"([\d,]+) bytes, background ([\d.]+) dB, objects ([\d.]+) dB", line)
        assert told
        assert int(told[1].replace(",", "")) > 32 * 24 * 3
        assert float(told[2]) > 15
        assert float(told[3]) > float(told[2])
