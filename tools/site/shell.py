# SPDX-License-Identifier: Apache-2.0
# Copyright The Hamgam Authors
"""What is around each page: the head, the lists at both sides, in English or in Persian."""
import html
import re
import urllib.parse

WORDS = {
    "en": {
        "dir": "ltr",
        "search": "Search",
        "copy": "copy",
        "none": "Nothing found.",
        "theme": "Light or dark",
        "menu": "Contents",
        "page": "On this page",
        "close": "Close",
        "skip": "To the text",
        "start": "Start",
        "guide": "The guide",
        "tables": "Tables",
        "reference": "Reference",
        "more": "More",
        "foot": "Made from the sources by"
    },
    "fa": {
        "dir": "rtl",
        "search": "جست‌وجو",
        "copy": "کپی",
        "none": "چیزی پیدا نشد.",
        "theme": "روشن یا تیره",
        "menu": "فهرست",
        "page": "در این صفحه",
        "close": "بستن",
        "skip": "رفتن به متن",
        "start": "آغاز",
        "guide": "راهنما",
        "tables": "جدول‌ها",
        "reference": "مرجع",
        "more": "بیشتر",
        "foot": "ساخته‌شده از روی متن‌ها با"
    },
}
# What stands beside the guide: the file, its name in English, its name in Persian.
START = [("README.md", "Hamgam", "Hamgam (انگلیسی)"),
         ("examples/README.md", "Examples", "نمونه‌ها (انگلیسی)")]
TABLES = [("docs/choose.md", "Which primitive?", None), ("docs/choose.fa.md", None, "کدام ابزار؟"),
          ("docs/from_go.md", "From Go", "از Go (انگلیسی)"),
          ("docs/from_std.md", "From std and threads", "از std (انگلیسی)"),
          ("docs/from_others.md", "From Boost.Fiber, Asio, absl, TBB",
           "از کتابخانه‌های دیگر (انگلیسی)")]
MORE = [("docs/performance.md", "Performance, measured", "کارایی، با اندازه‌گیری (انگلیسی)"),
        ("docs/questions.md", "Questions", "پرسش‌ها (انگلیسی)"), ("CHANGELOG.md", "Changes", None),
        ("docs/design.md", "Design", None), ("docs/hacking.md", "Working on Hamgam", None),
        ("docs/net_tests.md", "Tests of the network layer", None),
        ("bench/README.md", "The benchmarks", None), ("CONTRIBUTING.md", "Contributing", None)]


def guide_contents(text):
    """[(heading or None, [(file, title), ...])] of the guide's README.md."""
    parts = [(None, [])]
    for line in text.splitlines():
        if match := re.fullmatch(r"\*\*(.+)\*\*", line):
            parts.append((match.group(1), []))
        elif match := re.match(r"\d+\. \[(.+?)\]\((\w[\w-]*\.md)\)", line):
            parts[-1][1].append((match.group(2), match.group(1)))
    return [part for part in parts if part[1]]


class Shell:
    def __init__(self, root, pages, headers, address):
        self.pages, self.headers, self.address = pages, headers, address
        self.contents = {
            side: guide_contents((root / f"docs/guide/{side}/README.md").read_text())
            for side in ("en", "fa")
        }

    def items(self, links, up, current):
        rows = []
        for place, title in links:
            here = ' aria-current="page"' if place == current else ""
            rows.append(f'<li><a href="{up}{place}"{here}>{html.escape(title)}</a></li>')
        return "<ul>\n" + "\n".join(rows) + "\n</ul>"

    def listed(self, entries, side):
        return [(self.address(path), title) for path, *titles in entries
                if path in self.pages and (title := titles[side == "fa"])]

    def nav(self, side, up, current):
        words = WORDS[side]
        out = [f'<a class="close" href="#top" aria-label="{words["close"]}">×</a>']

        def part(title, links):
            heading = f"<h2>{html.escape(title)}</h2>\n" if title else ""
            out.extend([heading + self.items(links, up, current)] if links else [])

        part(words["start"], self.listed(START, side))
        out.append(f'<h2><a href="{up}guide/{side}/index.html">{words["guide"]}</a></h2>')
        for title, entries in self.contents[side]:
            part(title,
                 [(self.address(f"docs/guide/{side}/{name}"), text) for name, text in entries])
        part(words["tables"], self.listed(TABLES, side))
        part(words["more"], self.listed(MORE, side))
        out.append(f'<h2><a href="{up}reference/hamgam.html">{words["reference"]}</a></h2>')
        part("", [(self.address(f"include/hamgam/{header.name}"), header.name)
                                  for header in self.headers])
        return "\n".join(out)

    def other_side(self, place, side):
        """The same page in the other language, or that language's beginning."""
        if side == "en":
            other = place.replace("guide/en/", "guide/fa/").replace("choose.html", "choose.fa.html")
            return (other if other != place else "guide/fa/index.html"), "فارسی", "fa"
        return place.replace("guide/fa/", "guide/en/").replace("choose.fa.html",
                                                               "choose.html"), "English", "en"

    def wrap(self, place, title, body, side="en", headings=()):
        words, up = WORDS[side], "../" * place.count("/")
        other, language, code = self.other_side(place, side)
        toc = "\n".join(
            f'<li class="{tag}"><a href="#{urllib.parse.quote(anchor)}">{html.escape(text)}</a></li>'
            for tag, text, anchor in headings if tag in ("h2", "h3"))
        aside = f"<aside>\n<h2>{words['page']}</h2>\n<ul>\n{toc}\n</ul>\n</aside>" if toc else "<aside></aside>"
        name = title if title == "Hamgam" else f"{title} · Hamgam"
        return f"""<!DOCTYPE html>
<html lang="{side}" dir="{words['dir']}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(name)}</title>
<link rel="stylesheet" href="{up}site.css">
<script>try {{ const t = localStorage.getItem("theme"); if (t) document.documentElement.dataset.theme = t; }} catch (e) {{ }}</script>
</head>
<body id="top" data-up="{up}" data-copy="{words['copy']}" data-none="{words['none']}">
<header>
<a class="menu" href="#nav" aria-label="{words['menu']}">☰</a>
<a class="home" href="{up}index.html">Hamgam</a>
<div class="search"><input id="search" type="search" placeholder="{words['search']}" aria-label="{words['search']}" title="/" autocomplete="off">
<div id="found" hidden></div></div>
<a class="side" href="{up}{other}" lang="{code}">{language}</a>
<button id="theme" type="button" title="{words['theme']}" aria-label="{words['theme']}">◐</button>
</header>
<div class="frame">
<nav id="nav" aria-label="{words['menu']}">
{self.nav(side, up, place)}
</nav>
<main>
{body}
<footer>{words['foot']} <code dir="ltr">./dev docs</code></footer>
</main>
{aside}
</div>
<script src="{up}site.js"></script>
</body>
</html>
"""
