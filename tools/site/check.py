# SPDX-License-Identifier: Apache-2.0
# Copyright The Hamgam Authors
"""Looks at the pages that were built.

1. Each link leads to a page, and to a place in it; no id is there twice.
2. Each public name stands in the reference: what tools/check_docs finds in the headers by rules of
   its own, and each name that the tables name.
3. HTML Tidy, where it is installed, has nothing to say.
"""
import concurrent.futures
import html.parser
import importlib.machinery
import importlib.util
import os
import pathlib
import shutil
import subprocess
import urllib.parse

TIDY = ["tidy", "-errors", "-quiet", "-utf8", "--drop-empty-elements", "no"]
# Tidy is older than ARIA 1.1.
TIDY_IS_WRONG = 'proprietary attribute "aria-current"'


class Links(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.links, self.ids, self.twice = [], set(), []

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name in ("href", "src"):
                self.links.append(value)
            elif name == "id":
                if value in self.ids:
                    self.twice.append(value)
                self.ids.add(value)


def read_pages(out):
    found = {}
    for path in sorted(out.rglob("*.html")):
        found[path] = Links()
        found[path].feed(path.read_text())
    return found


def check_links(out, found):
    for path, page in found.items():
        here = path.relative_to(out)
        for name in page.twice:
            yield f"{here}: the id {name} twice"
        for link in dict.fromkeys(page.links):
            if urllib.parse.urlsplit(link).scheme:
                continue
            name, _, anchor = link.partition("#")
            goal = pathlib.Path(os.path.normpath(path.parent /
                                                 urllib.parse.unquote(name))) if name else path
            if not goal.is_file():
                yield f"{here}: {link} leads nowhere"
            elif anchor and goal in found and urllib.parse.unquote(anchor) not in found[goal].ids:
                yield f"{here}: {link}: no such place"


def check_names(root, reference):
    loader = importlib.machinery.SourceFileLoader("check_docs", str(root / "tools/check_docs"))
    spec = importlib.util.spec_from_loader("check_docs", loader)
    check_docs = importlib.util.module_from_spec(spec)
    loader.exec_module(check_docs)
    known = {name.split("::")[-1] for name in reference.places}
    for header in sorted((root / "include/hamgam").glob("*.h")):
        for number, name in check_docs.declared(header):
            if name not in known and name != "std":  # its templates, for types of ours
                yield f"{header.relative_to(root)}:{number}: {name} is not in the reference"


def check_html(out):
    if not shutil.which(TIDY[0]):
        return
    pages = sorted(out.rglob("*.html"))
    with concurrent.futures.ThreadPoolExecutor() as pool:
        runs = pool.map(
            lambda path: subprocess.run([*TIDY, path], capture_output=True, text=True, check=False),
            pages)
        for path, done in zip(pages, runs):
            yield from (f"{path.relative_to(out)}: {line}" for line in done.stderr.splitlines()
                        if line.strip() and TIDY_IS_WRONG not in line)


def problems(root, out, reference):
    return [*check_links(out, read_pages(out)), *check_names(root, reference), *check_html(out)]
