# SPDX-License-Identifier: Apache-2.0
# Copyright The Hamgam Authors
"""Bars and lines as SVG: black on white, so that they can be read on pages of any colour."""
import html
import math

COLOURS = {
    "hamgam": "#0f766e",
    "go": "#2f7fc4",
    "std": "#7d8590",
    "absl": "#c2702b",
    "tbb": "#7b5cc4",
    "nsync": "#a8901f",
    "boost_fiber": "#b14a7a",
    "crossbeam": "#5a963b",
    "tokio": "#cc4547",
    "asio": "#946b3d",
    "plain": "#3d444d",
    "under_mutex": "#9a8c98",
    "sharded": "#4a4e69"
}
WIDTH, LEFT, TOP, HEIGHT, RIGHT = 720, 56, 34, 190, 12
FONT = 'font-family="system-ui, sans-serif" font-size="12"'


def colour(library):
    return COLOURS.get(library, "#555555")


def short(value):
    for sign, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {sign}"
    return f"{value:.3g}"


def text(x, y, words, anchor="middle", more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{html.escape(words)}</text>'


class Scale:
    """From values to heights; from the decade below the least if they differ by more than that."""
    def __init__(self, values, height):
        self.height, self.top = height, max(values)
        self.log = self.top / max(min(values), 1e-9) > 30
        self.low = 10**math.floor(math.log10(min(values))) if self.log else 0
        if self.log:
            self.top = 10**math.ceil(math.log10(self.top))
        else:
            step = 10**math.floor(math.log10(self.top))
            self.top = next(n * step for n in (1, 2, 4, 6, 8, 10) if n * step >= self.top)

    def __call__(self, value):
        if self.log:
            return self.height * math.log(value / self.low) / math.log(self.top / self.low)
        return self.height * value / self.top

    def marks(self):
        if self.log:
            return [
                10**n for n in range(round(math.log10(self.low)),
                                     round(math.log10(self.top)) + 1)
            ]
        return [self.top * n / 4 for n in range(5)]


def axes(scale, right, top):
    out = []
    for mark in scale.marks():
        y = top + HEIGHT - scale(mark) if mark else top + HEIGHT
        out.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#d8dee4"/>')
        out.append(text(LEFT - 6, y + 4, short(mark), "end"))
    return out


def legend(libraries, y):
    out, x = [], LEFT
    for library in libraries:
        out.append(f'<rect x="{x}" y="{y - 9}" width="10" height="10" fill="{colour(library)}"/>')
        out.append(text(x + 14, y, library, "start"))
        x += 30 + 7 * len(library)
    return out


def drawing(title, parts, height):
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" {FONT} fill="#1d232b">',
        f"<title>{html.escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        text(LEFT, 18, title, "start", ' font-weight="600"'), *parts, "</svg>", ""
    ])


def bars(title, groups):
    """groups: [(name, {library: (value, least, most)})]; a thin line shows least and most."""
    libraries = list(dict.fromkeys(library for _, figures in groups for library in figures))
    scale = Scale([value for _, figures in groups for found in figures.values() for value in found],
                  HEIGHT)
    out = axes(scale, WIDTH - RIGHT, TOP)
    room = (WIDTH - LEFT - RIGHT) / len(groups)
    for place, (name, figures) in enumerate(groups):
        width = min(26, room * .8 / len(figures))
        x = LEFT + room * (place + .5) - width * len(figures) / 2
        for library, (value, least, most) in figures.items():
            y = TOP + HEIGHT - scale(value)
            out.append(
                f'<rect x="{x + 1:.1f}" y="{y:.1f}" width="{width - 2:.1f}" height="{scale(value):.1f}" '
                f'fill="{colour(library)}"><title>{library}: {short(value)}</title></rect>')
            if most > least:
                middle = x + width / 2
                out.append(
                    f'<line x1="{middle:.1f}" y1="{TOP + HEIGHT - scale(least):.1f}" x2="{middle:.1f}" '
                    f'y2="{TOP + HEIGHT - scale(most):.1f}" stroke="#1d232b" stroke-opacity=".7"/>')
            x += width
        for line, words in enumerate(name.split("\n")):
            out.append(text(LEFT + room * (place + .5), TOP + HEIGHT + 16 + 14 * line, words))
    below = TOP + HEIGHT + 18 + 14 * max(name.count("\n") + 1 for name, _ in groups)
    return drawing(title, [*out, *legend(libraries, below + 6)], below + 18)


def lines(title, places, series, below):
    """places: what stands under the marks; series: {library: [value or None]}."""
    values = [value for row in series.values() for value in row if value]
    scale = Scale(values, HEIGHT)
    out = axes(scale, WIDTH - RIGHT, TOP)
    step = (WIDTH - LEFT - RIGHT) / max(len(places), 1)
    where = [LEFT + step * (n + .5) for n in range(len(places))]
    out += [text(x, TOP + HEIGHT + 16, place) for x, place in zip(where, places)]
    out.append(text(LEFT + (WIDTH - LEFT - RIGHT) / 2, TOP + HEIGHT + 32, below))
    for library, row in series.items():
        points = [(x, TOP + HEIGHT - scale(value), value) for x, value in zip(where, row) if value]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in points)
        out.append(
            f'<polyline points="{path}" fill="none" stroke="{colour(library)}" stroke-width="2"/>')
        out += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour(library)}"><title>{library}: {short(value)}'
            "</title></circle>" for x, y, value in points
        ]
    return drawing(title, [*out, *legend(series, TOP + HEIGHT + 54)], TOP + HEIGHT + 66)
