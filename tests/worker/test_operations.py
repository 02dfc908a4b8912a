import re
from pathlib import Path

from core.settings import Settings

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()


def test_the_page_tells_every_setting_and_no_other():
    table = PAGE[PAGE.index("| setting |") :]
    told = {
        name
        for line in table.splitlines()
        for name in re.findall(r"`(\w+)`", line.split("|")[1] if "|" in line else "")
    }

    assert told == set(Settings.model_fields)
