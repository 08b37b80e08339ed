"""Draws how many nodes are warm against time, with the ideal line, as an SVG file for light and dark pages."""

from collections.abc import Sequence
from itertools import accumulate

from simulation.result import Result

WIDTH, HEIGHT = 720, 360
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 44, 52
MAX_POINTS = 240
TICKS = 5

_STYLE = """
svg { color-scheme: light dark; font: 13px system-ui, sans-serif }
.ground { fill: #ffffff } .text { fill: #24292f } .faint { stroke: #d0d7de }
.warm { stroke: #0969da } .ideal { stroke: #bc4c00 }
@media (prefers-color-scheme: dark) {
  .ground { fill: #0d1117 } .text { fill: #e6edf3 } .faint { stroke: #30363d }
  .warm { stroke: #58a6ff } .ideal { stroke: #ffa657 }
}
path { fill: none } .warm, .ideal { stroke-width: 2 } .ideal { stroke-dasharray: 6 4 }
"""

Point = tuple[float, int]


def draw(result: Result) -> str:
    """Return the SVG document."""
    warm = _thin([(time, count) for count, time in enumerate(result.warm_at, 1)])
    counts = accumulate(nodes for _, nodes in result.ideal.steps)
    ideal = _thin([(time, count) for (time, _), count in zip(result.ideal.steps, counts, strict=True)])
    end = max(warm[-1][0], ideal[-1][0])
    nodes = max(warm[-1][1], ideal[-1][1])
    title = f"{nodes:,} nodes, {result.scenario.images} images: warm after {duration(result.end)}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">',
        f"<title>{title}</title><style>{_STYLE}</style>",
        f'<rect class="ground" width="{WIDTH}" height="{HEIGHT}"/>',
        *_axes(end, nodes),
        f'<path class="warm" d="{_steps(warm, end, nodes)}"/>',
        f'<path class="ideal" d="{_steps(ideal, end, nodes)}"/>',
        *_legend(result),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def duration(seconds: float) -> str:
    """Format seconds for people: `8.5 s`, `44 s`, `67 min`, `11.1 h`."""
    for size, unit in ((3600 * 2, "h"), (60 * 2, "min")):
        if seconds >= size:
            amount = 2 * seconds / size
            return f"{amount:.1f} {unit}" if amount < 100 else f"{amount:.0f} {unit}"  # noqa: PLR2004 - three digits
    return f"{seconds:.1f} s"


def _thin(points: Sequence[Point]) -> Sequence[Point]:
    """Keep so many points as can be seen, always the last one."""
    step = -(-len(points) // MAX_POINTS)
    return [*points[:-1:step], points[-1]]


def _axes(end: float, nodes: int) -> list[str]:
    bottom = HEIGHT - BOTTOM
    parts = [f'<text class="text" x="{LEFT - 50}" y="{TOP - 20}">nodes warm</text>']
    for number in range(TICKS + 1):
        share = number / TICKS
        x, y = _x(share * end, end), _y(share * nodes, nodes)
        parts += [
            f'<line class="faint" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>',
            f'<text class="text" x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{share * nodes:,.0f}</text>',
            f'<text class="text" x="{x}" y="{bottom + 20}" text-anchor="middle">{duration(share * end)}</text>',
        ]
    return parts


def _legend(result: Result) -> list[str]:
    texts = (("warm", "simulated"), ("ideal", f"ideal: {result.ideal.name}"))
    return [
        f'<line class="{name}" x1="{x}" x2="{x + 28}" y1="{HEIGHT - 12}" y2="{HEIGHT - 12}"/>'
        f'<text class="text" x="{x + 36}" y="{HEIGHT - 8}">{text}</text>'
        for x, (name, text) in zip((LEFT, LEFT + 160), texts, strict=True)
    ]


def _steps(points: Sequence[Point], end: float, nodes: int) -> str:
    path = [f"M{LEFT} {_y(0, nodes)}"]
    for time, count in points:
        path.append(f"H{_x(time, end)}V{_y(count, nodes)}")
    return "".join([*path, f"H{WIDTH - RIGHT}"])


def _x(time: float, end: float) -> float:
    return round(LEFT + (WIDTH - LEFT - RIGHT) * time / end, 1)


def _y(count: float, nodes: int) -> float:
    return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * count / nodes, 1)
