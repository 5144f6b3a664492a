"""The dashboard's CSS is not built: a class that the theme lacks does nothing."""

import re
from pathlib import Path

import pytest
import unfold
from django.conf import settings

ROOT = Path(settings.BASE_DIR)
STYLES = [
    Path(unfold.__file__).parent / "static/unfold/css/styles.css",
    ROOT / "static/css/admin.css",
]
HOOKS = re.compile(r"field-\w+|desk-all")  # what scripts and tests look for
TEMPLATES = sorted(
    path
    for folder in ("merchant", "admin")
    for path in ROOT.glob(f"templates/{folder}/**/*.html")
)


@pytest.fixture(scope="module")
def known():
    css = "".join(path.read_text() for path in STYLES)
    return {name.replace("\\", "") for name in re.findall(r"\.((?:\\.|[\w-])+)", css)}


def classes(html):
    """The whole names of classes in a template; those put together are left out."""
    plain = re.sub(r"{{.*?}}", "?", re.sub(r"{[%#].*?[%#]}", " ", html))
    values = re.findall(r'class="([^"]*)"', plain)
    return {name for name in " ".join(values).split() if "?" not in name}


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_every_class_of_the_dashboard_exists(path, known):
    used = {name for name in classes(path.read_text()) if not HOOKS.fullmatch(name)}

    assert used <= known, used - known
