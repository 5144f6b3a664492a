"""Product pictures of the demo shop: flat SVG drawings, one shape in two colours each.

`shapes/` holds the drawings on a canvas of 800 by 600, with `$main` and `$accent`
where the product's colours go.
"""

from functools import cache
from pathlib import Path
from string import Template

SHAPES = Path(__file__).parent / "shapes"

BACKDROPS = {
    "sand": ("#f7f0e4", "#efe0c8"),
    "mist": ("#e8f0f4", "#d5e4ec"),
    "sage": ("#ecf2e7", "#d9e6d1"),
    "blush": ("#faece7", "#f3d9cf"),
    "lilac": ("#f0edf7", "#e0daee"),
    "butter": ("#fbf4dc", "#f4e6b6"),
    "sky": ("#e4f1f6", "#c9e3ee"),
    "stone": ("#f0f0ed", "#e0e0da"),
}

FRAME = Template(
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 600" '
    'width="800" height="600">\n'
    '<rect width="800" height="600" fill="$wall"/>\n'
    '<circle cx="400" cy="300" r="262" fill="$halo"/>\n'
    "$drawing</svg>\n"
)


def draw(shape: str, *, backdrop: str, main: str, accent: str) -> str:
    """The SVG of one product picture, 4 to 3."""
    wall, halo = BACKDROPS[backdrop]
    drawing = _shape(shape).substitute(main=main, accent=accent)
    return FRAME.substitute(wall=wall, halo=halo, drawing=drawing)


@cache
def _shape(name: str) -> Template:
    return Template((SHAPES / f"{name}.svg").read_text(encoding="utf-8"))
