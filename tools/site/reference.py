# SPDX-License-Identifier: Apache-2.0
# Copyright The Hamgam Authors
"""The pages of the reference, one for each public header, and the links from names to them."""
import dataclasses
import html
import re

from markdown_it import MarkdownIt
from pygments.lexers import CppLexer
from pygments.token import STANDARD_TYPES

import headers

# Public names that are defined in headers of detail/, and where they are shown.
EXTRAS = {"time.h": ["clock.h"], "mutex.h": ["annotations.h"]}
LEXER = CppLexer(stripnl=False, ensurenl=False)
QUALIFIED = re.compile(r"(?:hamgam::)?(~?[A-Za-z_]\w*(?:<.*?>)?(?:::~?\w+)*)(?:<.*>)?(?:\(.*\))?")


@dataclasses.dataclass
class Group:
    """Entries that share a comment."""
    entries: list
    comment: list

    @property
    def names(self):
        return list(dict.fromkeys(entry.name for entry in self.entries))


def stem(name):
    return re.sub(r"_(for|until)$", "", name)


def is_special(entry, owner):
    """What needs no words: copies, moves, destructors, what is made from nothing, what a base has said."""
    if re.search(r"= (default|delete)$| override$", entry.signature) or entry.name.startswith(
        ("~", "operator=")):
        return True
    if entry.name != owner:
        return False
    return bool(
        re.search(rf"\((?:(?:const )?{owner}&&?(?: \w+)?)?\)(?: noexcept)?$", entry.signature))


def grouped(entries):
    """Types stand alone; what has no comment goes with what is above it, or is its other form."""
    groups = []
    for entry in entries:
        last = groups[-1] if groups else None
        goes_with = last and entry.kind != "type" and not entry.comment and (
            not entry.apart or stem(entry.name) in map(stem, last.names) and last.comment)
        if goes_with:
            last.entries.append(entry)
        else:
            groups.append(Group([entry], entry.comment))
    return groups


class Reference:
    """All public headers of a tree. warnings: what has no comment."""
    def __init__(self, root):
        self.headers, self.details, self.warnings = [], {}, []
        folder = root / "include/hamgam"
        for path in sorted(folder.glob("*.h")):
            header = headers.read(path)
            for extra in EXTRAS.get(path.name, ()):
                more = headers.read(folder / "detail" / extra)
                shown = [entry for entry in more.entries if entry.name != "HAMGAM_TSA"]
                shown[0].comment = shown[0].comment or more.comment
                header.entries += shown
            self.headers.append(header)
            self.details |= header.details
        self.places = {}  # {qualified name: (page, anchor)}
        self.short = {}  # {name or Type::member: the qualified names}
        self.types = {}  # {name: the qualified names}
        self.here = ""  # the page that is being written
        for header in self.headers:
            for entry in header.entries:
                self.register(header, entry, entry.scope)
        self.prose = MarkdownIt("zero").enable(["list", "fence", "backticks"])
        self.prose.renderer.rules["code_inline"] = lambda tokens, at, *_: self.code(tokens[at].
                                                                                    content)
        self.prose.renderer.rules["fence"] = lambda tokens, at, *_: highlighted(tokens[at].content)

    def register(self, header, entry, scope):
        qualified = "::".join((*scope, entry.name))
        if qualified not in self.places:
            self.places[qualified] = f"reference/{header.name[:-2]}.html", anchor_of(qualified)
            self.short.setdefault(entry.name, []).append(qualified)
            if len(scope) > 1 or scope and entry.kind != "type":
                self.short.setdefault("::".join(qualified.split("::")[-2:]), []).append(qualified)
        if entry.kind in ("type", "alias", "concept") and (not scope or scope[-1][0].islower()):
            self.types.setdefault(entry.name, []).append(qualified)
        for member in self.members(entry):
            self.register(header, member, (*scope, entry.name))

    def members(self, entry):
        """Its own, and those of its bases, or of what it is an alias of, in a namespace called detail."""
        found = list(entry.members)
        within = entry.bases if entry.kind == "type" else entry.signature if entry.kind == "alias" else ""
        while (flat := re.sub(r"<[^<>]*>", "", within)) != within:
            within = flat
        for base in re.findall(r"detail::(\w+)", within):
            if base in self.details:
                inherited = self.members(self.details[base])
                found += [
                    member for member in inherited
                    if not is_special(member, base) and member.name != base
                ]
        return found

    def find(self, code):
        """The qualified public name that a piece of code is, if it is one and there is one such."""
        if re.fullmatch(r"(?:hamgam/)?\w+\.h", code):
            page = code.removeprefix("hamgam/")
            return page if any(header.name == page for header in self.headers) else None
        match = QUALIFIED.fullmatch(code)
        if not match:
            return None
        name = re.sub(r"<.*?>(?=::|$)", "", match.group(1))
        if name in self.places:
            return name
        return self.only(self.types.get(name) or self.short.get(name, []))

    def only(self, found):
        """The one that is meant: of several, that of the page itself."""
        own = [name for name in found if self.places[name][0] == self.here]
        return found[0] if len(found) == 1 else own[0] if len(own) == 1 else None

    def place(self, qualified):
        """(page, anchor)"""
        if qualified.endswith(".h"):
            return f"reference/{qualified[:-2]}.html", ""
        return self.places[qualified]

    def code(self, text, up="../"):
        """A piece of code in prose, a link if it is a public name."""
        shown = f"<code>{html.escape(text, quote=False)}</code>"
        found = self.find(text)
        if not found:
            return shown
        page, anchor = self.place(found)
        return f'<a class="name" href="{up}{page}{"#" + anchor if anchor else ""}">{shown}</a>'

    # ---- a page ------------------------------------------------------------------------------

    def markdown(self, lines):
        """A comment as Markdown: what is indented is code, names of ours are marked as such."""
        out, in_code, in_list = [], False, False
        for line in lines:
            is_item = re.match(r" ?\* ", line)
            in_list = bool(is_item) or in_list and line.startswith("   ")
            is_code = line.startswith("  ") and not is_item and not in_list
            if line.strip() and is_code != in_code:
                if is_code:
                    out += ["", "```"]
                else:
                    while not out[-1].strip():
                        out.pop()
                    out += ["```", ""]
                in_code = is_code
            if in_code:
                out.append(line[2:])
            else:
                # A line that begins with a sign is no item of a list.
                text = line.lstrip() if not in_list else re.sub(
                    r"^ (?=\*)|^   (?=\S)", lambda m: "  " if len(m.group()) > 1 else "", line)
                out.append(self.marked(re.sub(r"^(\d+)\.(?= )", r"\1\\.", text)))
        return "\n".join(out + ["```"] * in_code)

    def marked(self, line):
        parts = re.split(r"(`[^`]*`|\"[^\"]*\")", line)
        for i, part in enumerate(parts):
            if i % 2 == 0:
                part = re.sub(r"(?<![\w:.`])((?:[a-z]\w*(?:::|\.))*~?\w+(?:<\w+>)?\(\))", r"`\1`",
                              part)
                part = re.sub(r"(?<![\w:.`(])(std::[\w:]+(?:<[\w:, ]+>)?)(?![\w(`])", r"`\1`", part)
                parts[i] = re.sub(r"(?<=[\w,;()] )([A-Z]\w+(?:<\w>)?(?:::\w+)*)(?![\w`(.]\w)",
                                  lambda m: f"`{m.group()}`"
                                  if self.find(m.group()) else m.group(), part)
        return "".join(parts)

    def text(self, lines):
        return self.prose.render(self.markdown(lines))

    def signature(self, entry):
        text = re.sub(r"\s*(?:,|(?<!:):)\s*(?:public )?detail::\w+(?:<(?:[^<>]|<[^<>]*>)*>)?(?=,|$)", "", entry.signature) \
            if entry.kind == "type" else entry.signature
        return text

    def type_link(self, name, own):
        qualified = self.only(self.types.get(name, []))
        if not qualified or qualified == own:
            return None
        page, anchor = self.places[qualified]
        return f"../{page}#{anchor}"

    def signatures(self, group, own):
        text = "\n".join(
            self.signature(entry) + (";" if entry.kind != "type" and entry.kind != "macro" else "")
            for entry in group.entries)
        return highlighted(text, lambda name: self.type_link(name, own), "signature")

    def warn(self, header, group, owner, known):
        entry = group.entries[0]
        if group.comment or known:
            return
        if entry.kind in ("function", "concept", "macro", "type", "alias"):
            for entry in group.entries:
                if not is_special(entry, owner):
                    self.warnings.append(
                        f"include/hamgam/{header.name}:{entry.line}: {entry.name} has no comment")

    def type_html(self, header, entry, scope, level, sections):
        qualified = "::".join((*scope, entry.name))
        anchor = anchor_of(qualified)
        title = qualified if level == 2 else entry.name
        out = [
            f'<section class="type"><h{level} id="{anchor}">{html.escape(title)}</h{level}>',
            self.signatures(Group([entry], []), qualified)
        ]
        comment = entry.comment or self.alias_comment(entry)
        out.append(self.text(comment))
        sections.append((anchor, title, comment))
        used = {anchor}
        members = self.members(entry)
        values = [
            m for m in members
            if m.kind in ("variable", "enumerator") and "static" not in m.signature
        ]
        if values:
            out.append(self.values_html(values, qualified))
        for group in grouped([m for m in members if m not in values]):
            first = group.entries[0]
            if first.kind == "type" or first.kind == "alias" and self.members(first):
                self.warn(header, group, entry.name, bool(self.alias_comment(first)))
                out.append(self.type_html(header, first, (*scope, entry.name), level + 1, sections))
                used.add(anchor_of(f"{qualified}::{first.name}"))
                # What stands below a type, without a word of its own, belongs to it.
                group = Group(group.entries[1:], [])
                if not group.entries:
                    continue
            else:
                self.warn(header, group, entry.name, False)
            out.append(self.group_html(group, qualified, entry.name, level + 1, used, sections))
        return "\n".join([*out, "</section>"])

    def alias_comment(self, entry):
        base = re.search(r"= detail::(\w+)", entry.signature) if entry.kind == "alias" else None
        return self.details[base.group(1)].comment if base and base.group(1) in self.details else []

    def values_html(self, values, qualified):
        # Several in a row may share the comment above the first one.
        rows = []
        for value in values:
            names = f'id="{anchor_of(f"{qualified}::{value.name}")}"'
            code = highlighted(value.signature, lambda name: self.type_link(name, qualified),
                               "inline")
            words = self.prose.renderInline(self.marked(" ".join(value.comment)))
            rows.append(f"<tr {names}><td>{code}</td><td>{words}</td></tr>")
        return ('<div class="table"><table class="values"><tbody>' + "\n".join(rows) +
                "</tbody></table></div>")

    def group_html(self, group, qualified, owner, level, used, sections):
        anchors, names = [], [
            name for name in group.names
            if not (name.startswith(("operator=", "~")) and len(group.names) > 1)
        ]
        for name in group.names:
            anchor = anchor_of(f"{qualified}::{name}" if qualified else name)
            if anchor not in used:
                used.add(anchor)
                anchors.append(anchor)
        title = ", ".join("constructor" if name == owner else name for name in names)
        first = f' id="{anchors[0]}"' if anchors else ""
        more = "".join(f'<span id="{anchor}"></span>' for anchor in anchors[1:])
        if anchors and (group.comment or names[0] != owner):
            sections.append(
                (anchors[0], f"{qualified}::{names[0]}" if qualified else title, group.comment))
        return (f'<section class="member"><h{level}{first}>{more}{html.escape(title)}</h{level}>\n'
                f"{self.signatures(group, qualified)}\n{self.text(group.comment)}</section>")

    def page(self, header, guide=""):
        """(body, [(anchor, title, comment)] for the search); warnings are kept."""
        self.here = f"reference/{header.name[:-2]}.html"
        about = "\n".join(header.comment)
        sections, used = [("", header.name, header.comment)], set()
        out = [
            f'<h1>{header.name}</h1>',
            f'<p class="include"><code>#include &lt;hamgam/{header.name}&gt;</code> · '
            f'<a href="../source/include/hamgam/{header.name}.html">the file</a>{guide}</p>',
            self.text(header.comment)
        ]
        if header.name == "hamgam.h":
            out.append(self.contents())
        for group in grouped(header.entries):
            first = group.entries[0]
            if first.kind == "type" or first.kind == "alias" and self.members(first):
                self.warn(header, group, "", re.search(rf"\b{first.name}\b", about))
                out.append(self.type_html(header, first, first.scope, 2, sections))
            else:
                self.warn(header, group, "", first.kind == "macro" and header.name == "version.h")
                out.append(self.group_html(group, "::".join(first.scope), "", 2, used, sections))
        return "\n".join(out), sections

    def contents(self):
        """A table of all headers and what they declare."""
        rows = []
        for header in self.headers:
            if header.name == "hamgam.h":
                continue
            names = list(dict.fromkeys("::".join((*e.scope, e.name)) for e in header.entries))
            links = ", ".join(f'<a href="../{page}#{anchor}"><code>{html.escape(name)}</code></a>'
                              for name in names for page, anchor in [self.places[name]])
            rows.append(
                f'<tr><td><a href="{header.name[:-2]}.html"><code>{header.name}</code></a></td><td>{links}</td></tr>'
            )
        return (
            '<div class="table"><table><thead><tr><th>header</th><th>what it declares</th></tr></thead><tbody>'
            + "\n".join(rows) + "</tbody></table></div>")


def anchor_of(qualified):
    """An id: operators by their signs' numbers, so that it may stand in an address."""
    return re.sub(r"[^\w.~-]", lambda m: f"-{ord(m.group()):x}",
                  qualified.replace("::", ".").replace(" ", "_")).replace("~", "-7e")


def highlighted(text, link=lambda name: None, kind="code"):
    """C++ as HTML; what `link` knows becomes a link."""
    out = []
    for token, value in LEXER.get_tokens(text):
        css = next((STANDARD_TYPES[part]
                    for part in reversed(token.split()) if STANDARD_TYPES.get(part)), "")
        shown = html.escape(value, quote=False)
        target = link(value) if css.startswith("n") or css == "" else None
        if target:
            shown = f'<a href="{target}">{shown}</a>'
        out.append(f'<span class="{css}">{shown}</span>' if css and css not in ("w", "n",
                                                                                "p") else shown)
    body = "".join(out).rstrip("\n")
    return f"<code>{body}</code>" if kind == "inline" else f'<pre class="{kind}"><code>{body}</code></pre>'
