"""Turns a screen that tmux captured with its colours into an SVG: screen on stdin, picture on stdout.

    tmux capture-pane -e -p | python3 scripts/terminal_svg.py COLUMNS "alternative text"

Every character is drawn where the terminal had it: each run of text is put at its column and set to its width, so the
picture does not depend on the reader's font, and the lines between panes are drawn as lines. It asks for no font and no
file, and has a dark window of its own, so it looks the same in light and dark mode. Needs Python 3.9 and nothing else.

It knows the colours and attributes that our programs and tmux use (SGR), and refuses other escape sequences.
"""

import re
import sys
from html import escape

FONT_SIZE, CELL_WIDTH, LINE_HEIGHT = 12, 7.2, 16
MARGIN, BAR = 12, 30
WINDOW, EDGE, INK, DIM, LINE = "#0d1117", "#30363d", "#e6edf3", "#8b949e", "#484f58"
# The sixteen colours: GitHub's dark palette.
COLOURS = ["#6e7681", "#ff7b72", "#3fb950", "#d29922", "#58a6ff", "#bc8cff", "#39c5cf", "#b1bac4",
           "#8b949e", "#ffa198", "#56d364", "#e3b341", "#79c0ff", "#d2a8ff", "#56d4dd", "#ffffff"]
# The directions in which a line character leaves the middle of its cell: left, right, up, down.
LINES = {"─": "lr", "│": "ud", "┌": "rd", "┐": "ld", "└": "ru", "┘": "lu",
         "├": "rud", "┤": "lud", "┬": "lrd", "┴": "lru", "┼": "lrud"}


def colour(codes):
    """Takes the arguments of 38 or 48 from the codes and returns the colour."""
    if codes.pop(0) == 2:
        return "#%02x%02x%02x" % tuple(codes.pop(0) for _ in range(3))
    index = codes.pop(0)
    if index < 16:
        return COLOURS[index]
    if index >= 232:
        return "#%02x%02x%02x" % ((8 + 10 * (index - 232),) * 3)
    steps = [0, 95, 135, 175, 215, 255]
    index -= 16
    return "#%02x%02x%02x" % (steps[index // 36], steps[index // 6 % 6], steps[index % 6])


def apply(style, codes):
    """Returns the style after an SGR sequence."""
    style = dict(style)
    while codes:
        code = codes.pop(0)
        if code == 0:
            style = {}
        elif code in (1, 2, 3, 4, 7):
            style[{1: "bold", 2: "dim", 3: "italic", 4: "underline", 7: "reverse"}[code]] = True
        elif code in (22, 23, 24, 27):
            for name in {22: ["bold", "dim"], 23: ["italic"], 24: ["underline"], 27: ["reverse"]}[code]:
                style.pop(name, None)
        elif 30 <= code <= 37 or 90 <= code <= 97:
            style["ink"] = COLOURS[code - 30 if code < 90 else code - 82]
        elif 40 <= code <= 47 or 100 <= code <= 107:
            style["paper"] = COLOURS[code - 40 if code < 100 else code - 92]
        elif code in (38, 48):
            style["ink" if code == 38 else "paper"] = colour(codes)
        elif code in (39, 49):
            style.pop("ink" if code == 39 else "paper", None)
        else:
            sys.exit(f"terminal_svg: SGR code {code} is not known")
    return style


def cells(screen):
    """Returns the rows of a screen as lists of (character, style)."""
    style, rows = {}, []
    for line in screen.rstrip("\n").split("\n"):
        row = []
        for sequence, character in re.findall(r"\x1b\[([\d;]*)m|(.)", line):
            if character == "":
                style = apply(style, [int(code or 0) for code in sequence.split(";")])
            elif not character.isprintable():
                sys.exit(f"terminal_svg: control character {character!r} is not known")
            else:
                row.append((character, style))
        rows.append(row)
    return rows


def runs(row):
    """Joins neighbours of one style; yields (column, text, style). Line characters and double blanks part runs."""
    column = 0
    while column < len(row):
        style, end = row[column][1], column
        while end < len(row) and row[end][1] == style and row[end][0] not in LINES:
            end += 1
        text = "".join(character for character, _ in row[column:end])
        for word in re.finditer(r"\S+(?: \S+)*" if not style.get("paper") else r".+", text):
            yield column + word.start(), word.group(), style
        column = max(end, column + 1)


def run(x, y, text, style):
    ink = style.get("ink", DIM if style.get("dim") else INK)
    paper = style.get("paper")
    if style.get("reverse"):
        ink, paper = paper or WINDOW, ink
    width = len(text) * CELL_WIDTH
    attributes = f' fill="{ink}"' if ink != INK else ""
    attributes += ' font-weight="bold"' if style.get("bold") else ""
    attributes += ' font-style="italic"' if style.get("italic") else ""
    attributes += ' text-decoration="underline"' if style.get("underline") else ""
    back = f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{LINE_HEIGHT}" fill="{paper}"/>' if paper else ""
    return (f'{back}<text x="{x:.1f}" y="{y + 12}" textLength="{width:.1f}" lengthAdjust="spacingAndGlyphs"'
            f"{attributes}>{escape(text, quote=False)}</text>")


def strokes(rows):
    """Returns the path of all line characters; neighbours in a row are one stroke."""
    path = []
    for r, row in enumerate(rows):
        top, middle = BAR + MARGIN + r * LINE_HEIGHT, BAR + MARGIN + (r + 0.5) * LINE_HEIGHT
        line = "".join(character for character, _ in row)
        for match in re.finditer("─+", line):
            path.append(f"M{MARGIN + match.start() * CELL_WIDTH:.1f} {middle:g}h{len(match.group()) * CELL_WIDTH:.1f}")
        for c, character in enumerate(line):
            x = MARGIN + (c + 0.5) * CELL_WIDTH
            arms = LINES.get(character, "") if character != "─" else ""
            ends = {"l": f"h{-CELL_WIDTH / 2:g}", "r": f"h{CELL_WIDTH / 2:g}", "u": f"V{top:g}",
                    "d": f"V{top + LINE_HEIGHT:g}"}
            path += [f"M{x:.1f} {middle:g}{ends[arm]}" for arm in arms]
    return "".join(path)


def draw(rows, columns, alternative):
    width = columns * CELL_WIDTH + 2 * MARGIN
    height = BAR + len(rows) * LINE_HEIGHT + 2 * MARGIN
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}"'
        f' height="{height:g}" role="img" aria-labelledby="title">',
        f'<title id="title">{escape(alternative)}</title>',
        f'<style>text{{font:{FONT_SIZE}px ui-monospace,SFMono-Regular,"SF Mono",Menlo,Consolas,"Liberation Mono",'
        f'"DejaVu Sans Mono",monospace;white-space:pre}}</style>',
        f'<rect x="0.5" y="0.5" width="{width - 1:g}" height="{height - 1:g}" rx="8" fill="{WINDOW}" stroke="{EDGE}"/>',
    ]
    out += [f'<circle cx="{MARGIN + 7 + 18 * i}" cy="{BAR / 2 + 3:g}" r="5.5" fill="{fill}"/>'
            for i, fill in enumerate(("#ff5f57", "#febc2e", "#28c840"))]
    out.append(f'<path d="{strokes(rows)}" stroke="{LINE}" fill="none"/>')
    out.append(f'<g fill="{INK}">')
    for r, row in enumerate(rows):
        out += [run(MARGIN + column * CELL_WIDTH, BAR + MARGIN + r * LINE_HEIGHT, text, style)
                for column, text, style in runs(row)]
    return "\n".join(out) + "\n</g>\n</svg>\n"


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: terminal_svg.py COLUMNS ALTERNATIVE-TEXT <screen >picture")
    rows = cells(sys.stdin.read())
    while rows and not any(character.strip() for character, _ in rows[-1]):
        rows.pop()
    sys.stdout.write(draw(rows, int(sys.argv[1]), sys.argv[2]))


if __name__ == "__main__":
    main()
