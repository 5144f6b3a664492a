"""Product pictures of the demo shop: flat SVG drawings, one shape in two colours each.

Of each there are three views: from the front, from close by, and on a shelf at home.
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
    'width="800" height="600">\n$content</svg>\n'
)
VIEWS = {
    "front": Template(
        '<rect width="800" height="600" fill="$wall"/>\n'
        '<circle cx="400" cy="300" r="262" fill="$halo"/>\n'
        "$drawing"
    ),
    "close": Template(
        '<rect width="800" height="600" fill="$halo"/>\n'
        '<g transform="translate(-400 -290) scale(2)">\n$drawing</g>\n'
    ),
    "shelf": Template(
        '<rect width="800" height="600" fill="$wall"/>\n'
        '<rect x="96" y="70" width="210" height="230" rx="8" fill="$halo"/>\n'
        '<path d="M201 74v222M100 185h202" stroke="$wall" stroke-width="8"/>\n'
        '<path d="M0 470h800v34H0z" fill="#b98a5e"/>\n'
        '<path d="M0 504h800v14H0z" opacity=".16"/>\n'
        '<g transform="translate(260 192) scale(.56)">\n$drawing</g>\n'
        '<path d="M112 470l12-72h72l12 72z" fill="$accent"/>\n'
        '<path d="M160 398c-50-20-50-66-26-92 12 28 26 50 26 92zm0 0'
        'c50-20 50-66 26-92-12 28-26 50-26 92z" fill="#4f7a5b"/>\n'
    ),
}


def draw(
    shape: str, *, backdrop: str, main: str, accent: str, view: str = "front"
) -> str:
    """The SVG of one product picture, 4 to 3."""
    wall, halo = BACKDROPS[backdrop]
    colors = {"main": main, "accent": accent}
    drawing = _shape(shape).substitute(colors)
    content = VIEWS[view].substitute(colors, wall=wall, halo=halo, drawing=drawing)
    return FRAME.substitute(content=content)


@cache
def _shape(name: str) -> Template:
    return Template((SHAPES / f"{name}.svg").read_text(encoding="utf-8"))
