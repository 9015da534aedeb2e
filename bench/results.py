# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the benchmark scripts share: running the program, cells that are done once, intervals, plots as SVG."""
import json
import math
import os
import subprocess

COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a6d00", "#666666", "#000000"]


class Refused(Exception):
    """The program ended with an error; .status is its exit status, the text what it said."""

    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


def mynah(program, *args):
    done = subprocess.run([program, *args, "--json", "--quiet"], capture_output=True, text=True)
    if done.returncode == 130:
        raise KeyboardInterrupt
    if done.returncode != 0:
        raise Refused(done.returncode, done.stderr.strip() or done.stdout.strip())
    return json.loads(done.stdout)


def load(path):
    try:
        with open(path) as f:
            return json.load(f)
    except FileNotFoundError:
        return None


def save(path, value):
    """Whole or not at all: a stopped script leaves no half file that looks like a result."""
    with open(path + ".part", "w") as f:
        json.dump(value, f, indent=1)
    os.replace(path + ".part", path)


def wilson(k, n):
    """Wilson's 95 % score interval of k of n."""
    z = 1.959963984540054
    centre, spread = k + z * z / 2, z * math.sqrt(k * (n - k) / n + z * z / 4)
    return (centre - spread) / (n + z * z), (centre + spread) / (n + z * z)


def mean(values):
    return sum(values) / len(values)


def deviation(values):
    m = mean(values)
    return math.sqrt(sum((v - m) ** 2 for v in values) / (len(values) - 1)) if len(values) > 1 else 0.0


def settings(argv, defaults):
    """key=value arguments over defaults of the same type; the rest, in order."""
    values, rest = dict(defaults), []
    for text in argv:
        key, is_setting, value = text.partition("=")
        if not is_setting or key not in defaults:
            rest.append(text)
        else:
            values[key] = type(defaults[key])(value)
    return values, rest


class Plot:
    """One panel with axes, in a picture of its own coordinates."""

    def __init__(self, x, y, width, height, x_range, y_range, is_log_x=False):
        self.box = (x, y, width, height)
        self.x_range, self.y_range, self.is_log_x = x_range, y_range, is_log_x
        self.parts = ['<rect x="%g" y="%g" width="%g" height="%g" fill="none" stroke="#999"/>' % self.box]

    def at(self, x, y):
        low, high = self.x_range
        if self.is_log_x:
            x, low, high = math.log(x), math.log(low), math.log(high)
        bottom, top = self.y_range
        return (self.box[0] + self.box[2] * (x - low) / (high - low), self.box[1] + self.box[3] * (top - y) / (top - bottom))

    def text(self, x, y, text, anchor="middle", colour="#222"):
        text = text.replace("&", "&amp;").replace("<", "&lt;")
        self.parts.append('<text x="%g" y="%g" text-anchor="%s" fill="%s">%s</text>' % (x, y, anchor, colour, text))

    def x_ticks(self, ticks, title, form="%g"):
        for t in ticks:
            x, y = self.at(t, self.y_range[0])
            self.parts.append('<path d="M%g %gV%g" stroke="#ddd"/>' % (x, y, self.box[1]))
            self.text(x, y + 14, form % t)
        self.text(self.box[0] + self.box[2] / 2, self.box[1] + self.box[3] + 30, title)

    def y_ticks(self, ticks, title, form="%g"):
        for t in ticks:
            x, y = self.at(self.x_range[0], t)
            self.parts.append('<path d="M%g %gH%g" stroke="#ddd"/>' % (x, y, x + self.box[2]))
            self.text(x - 5, y + 4, form % t, "end")
        self.text(self.box[0], self.box[1] - 8, title, "start")

    def line(self, points, colour):
        path = " ".join("%g,%g" % self.at(x, y) for x, y in points)
        self.parts.append('<polyline points="%s" fill="none" stroke="%s" stroke-width="1.8"/>' % (path, colour))

    def dot(self, x, y, colour, is_hollow=False):
        cx, cy = self.at(x, y)
        self.parts.append('<circle cx="%g" cy="%g" r="3.5" fill="%s" stroke="%s"/>' % (cx, cy, "#fff" if is_hollow else colour, colour))

    def whisker(self, x_low, x_high, y, colour):
        a, b = self.at(x_low, y), self.at(x_high, y)
        self.parts.append('<path d="M%g %gH%g" stroke="%s" stroke-width="2.5"/>' % (a[0], a[1], b[0], colour))


def write_svg(path, width, height, plots):
    body = "\n".join(part for plot in plots for part in plot.parts)
    with open(path, "w") as f:
        f.write('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11">\n'
                '<rect width="100%%" height="100%%" fill="#fff"/>\n%s\n</svg>\n' % (width, height, body))
