# SPDX-License-Identifier: Apache-2.0
# Copyright The Hamgam Authors
"""The Markdown files of the tree as pages, with GitHub's rules, and the files that they lead to."""
import html
import os
import re
import urllib.parse

from markdown_it import MarkdownIt
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name, get_lexer_for_filename
from pygments.util import ClassNotFound

SAMPLE = re.compile(r"<!-- sample: (\S+)(?: \[\w+\])? -->\s*")
TABLES = re.compile(r"(from_\w+|choose(\.fa)?)\.md$")
NAMES = re.compile(
    r"(^README|docs/guide/.*|docs/(from|choose|questions|performance)\w*(\.fa)?|examples/README)\.md$"
)


def colours(code, lexer):
    return highlight(code, lexer, HtmlFormatter(nowrap=True)).rstrip("\n")


def code_block(code, language, source=""):
    """From left to right, whatever is around it."""
    try:
        body = colours(code, get_lexer_by_name(language,
                                               stripnl=False)) if language else html.escape(code)
    except ClassNotFound:
        body = html.escape(code)
    return f'<div class="code" dir="ltr">{source}<pre tabindex="0"><code>{body}</code></pre></div>\n'


def slug(title):
    """The anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- \u200c]", "", title).strip().lower().replace(" ", "-")


def address(path):
    """Where the page of a file of the tree is, below the site."""
    name = str(path)
    if name.endswith(".md"):
        name = name[:-3]
        name = re.sub(r"(^|/)README$", r"\1index", name)
        return re.sub(r"^docs/", "", name) + ".html"
    if match := re.match(r"include/hamgam/(\w+)\.h$", name):
        return f"reference/{match.group(1)}.html"
    return f"source/{name}.html"


class Page:
    """One Markdown file. wanted: the files of the tree that it leads to; sections: for the search."""
    def __init__(self, root, path, reference):
        self.root, self.path, self.reference = root, path, reference
        self.address = address(path)
        self.text = (root / path).read_text()
        self.persian = '<div dir="rtl">' in self.text
        self.wanted, self.headings, self.sections, self.problems = set(), [], [], []
        self.title = self.path.name
        self.body = self.render()

    def up(self):
        return "../" * self.address.count("/")

    def relative(self, target):
        """A link of the file as one of the page."""
        if re.match(r"[a-z]+:|#", target):
            return target
        name, _, anchor = target.partition("#")
        anchor = urllib.parse.quote(urllib.parse.unquote(anchor))
        goal = os.path.normpath(self.path.parent / name)
        if goal.startswith("..") or not (self.root / goal).exists():
            self.problems.append(f"{self.path}: {target} leads nowhere")
            return target
        self.wanted.add(goal)
        place = address(goal + "/README.md") if (self.root / goal /
                                                 "README.md").exists() else address(goal)
        if goal.endswith((".svg", ".png")):
            place = re.sub(r"^docs/", "", goal)
        return self.up() + place + (f"#{anchor}" if anchor else "")

    def render(self):
        markdown = MarkdownIt("commonmark", {"html": True}).enable("table")
        tokens = markdown.parse(self.text)
        sample = ""
        links_names = NAMES.search(str(self.path))
        in_tables = TABLES.search(str(self.path))
        ours, column = None, 0
        for at, token in enumerate(tokens):
            if token.type == "heading_open":
                title = "".join(t.content for t in tokens[at + 1].children
                                if t.type in ("text", "code_inline"))
                anchor = slug(title)
                while anchor in [known for _, _, known in self.headings]:
                    anchor += "-1"
                token.attrSet("id", anchor)
                if token.tag == "h1" and not self.headings:
                    self.title = title
                self.headings.append((token.tag, title, anchor))
                self.sections.append(["" if token.tag == "h1" else anchor, title, []])
            elif token.type == "html_block":
                match = SAMPLE.match(token.content)
                if match:
                    sample = match.group(1)
                if match or token.content.strip() in ('<div dir="rtl">', "</div>"):
                    token.content = ""  # the whole page is from right to left
            elif token.type == "fence":
                self.fence(token, sample)
                sample = ""
            elif token.type == "table_open":
                ours = []
            elif token.type == "tr_open":
                column = 0
            elif token.type in ("th_open", "td_open"):
                if token.type == "th_open" and "Hamgam" in tokens[at + 1].content:
                    ours.append(column)
                column += 1
            elif token.type == "table_close":
                ours = None
            elif token.type == "inline":
                linked = links_names and (not in_tables or ours is not None and column - 1 in ours)
                self.inline(token, linked)
                if self.sections and tokens[at - 1].type != "heading_open":
                    self.sections[-1][2].append(" ".join(t.content for t in token.children
                                                         if t.type in ("text", "code_inline")))
        out = markdown.renderer.render(tokens, markdown.options, {})
        return out.replace("<table>",
                           '<div class="table"><table>').replace("</table>", "</table></div>")

    def fence(self, token, sample):
        caption = ""
        if sample and not sample.endswith(".out"):
            self.wanted.add(sample)
            caption = f'<a class="source" href="{self.up()}{address(sample)}">{sample}</a>'
        token.type, token.content = "html_block", code_block(token.content, token.info, caption)

    def inline(self, token, linked):
        within = 0
        for child in token.children:
            if child.type == "link_open":
                within += 1
                child.attrSet("href", self.relative(child.attrGet("href")))
            elif child.type == "link_close":
                within -= 1
            elif child.type == "image":
                child.attrSet("src", self.relative(child.attrGet("src")))
            elif child.type == "code_inline":
                shown = f'<code dir="ltr">{html.escape(child.content, quote=False)}</code>' if self.persian else None
                if linked and not within:
                    shown = self.reference.code(child.content, self.up())
                    shown = shown.replace("<code>", '<code dir="ltr">') if self.persian else shown
                if shown:
                    child.type, child.content = "html_inline", shown


def source_page(root, path):
    """(title, body) of a file of the tree that is no page, or of a folder; and what it leads to."""
    up = "../" * address(path).count("/")
    file = root / path
    if file.is_dir():
        names = sorted(p for p in file.iterdir() if p.is_file() and not p.name.startswith("."))
        items = "\n".join(
            f'<li><a href="{up}{address(p.relative_to(root))}"><code>{p.name}</code></a></li>'
            for p in names)
        return path, f"<h1>{path}</h1>\n<ul>\n{items}\n</ul>", {
            str(p.relative_to(root))
            for p in names
        }
    text = file.read_text(errors="replace")
    try:
        lexer = get_lexer_for_filename(file.name, stripnl=False)
    except ClassNotFound:
        first = text.split("\n", 1)[0]
        lexer = get_lexer_by_name("python" if "python" in first else "bash" if "sh" in
                                  first else "text")
    shown = f'<pre tabindex="0"><code>{colours(text, lexer)}</code></pre>'
    return path, f'<h1>{path}</h1>\n<div class="code" dir="ltr">{shown}</div>', set()
