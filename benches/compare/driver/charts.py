"""Bar charts as SVG: a panel for each case, a bar for each arm, the median with its spread."""

from html import escape

WIDTH = 440
BAR = 15
GAP = 5
LABEL = 118
VALUE = 84
HEAD = 30
COLUMNS = 2
COLOURS = {"ours": "#c2410c", "ours-callback": "#ea9a62", "ours-get": "#f3c6a5", "floor": "#9ca3af"}
OTHER = "#3b6ea5"


def chart(title: str, note: str, panels: list[tuple[str, list[tuple[str, float, float, float]]]], label) -> str:
    """`panels`: a title, and for each bar its name, median, least and greatest value; `label` writes a value."""
    columns = min(COLUMNS, max(len(panels), 1))
    heights = [HEAD + len(bars) * (BAR + GAP) + 12 for _, bars in panels]
    rows = [max(heights[n:n + columns]) for n in range(0, len(heights), columns)]
    width, height = columns * WIDTH + 20, sum(rows) + 64
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="system-ui, sans-serif" font-size="12">',
        f'<title>{escape(title)}</title>',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="24" font-size="16" font-weight="600" fill="#111827">{escape(title)}</text>',
        f'<text x="12" y="42" fill="#6b7280">{escape(note)}</text>',
    ]
    top = 56
    for row, row_height in enumerate(rows):
        for column, (name, bars) in enumerate(panels[row * columns:(row + 1) * columns]):
            parts += _panel(12 + column * WIDTH, top, name, bars, label)
        top += row_height
    return "\n".join([*parts, "</svg>", ""])


def _panel(x: int, y: int, name: str, bars, label) -> list[str]:
    parts = [f'<text x="{x}" y="{y + 16}" font-weight="600" fill="#111827">{escape(name)}</text>']
    room = WIDTH - LABEL - VALUE - 16
    most = max((high for *_, high in bars), default=0) or 1
    for n, (arm, median, low, high) in enumerate(bars):
        top = y + HEAD + n * (BAR + GAP)
        middle = top + BAR / 2
        left = x + LABEL
        long = max(median / most * room, 1)
        from_x, to_x = left + low / most * room, left + high / most * room
        colour = COLOURS.get(arm, OTHER)
        parts += [
            f'<text x="{left - 6}" y="{middle + 4:.1f}" text-anchor="end" fill="#374151">{escape(arm)}</text>',
            f'<rect x="{left}" y="{top}" width="{long:.1f}" height="{BAR}" fill="{colour}"/>',
            f'<path d="M{from_x:.1f} {middle - 3:.1f}v6M{from_x:.1f} {middle:.1f}H{to_x:.1f}M{to_x:.1f} '
            f'{middle - 3:.1f}v6" stroke="#111827" fill="none"/>',
            f'<text x="{left + max(long, to_x - left) + 6:.1f}" y="{middle + 4:.1f}" fill="#111827">'
            f"{escape(label(median))}</text>",
        ]
    return parts
