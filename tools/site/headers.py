# SPDX-License-Identifier: Apache-2.0
# Copyright The Hamgam Authors
"""Reads a public header: what it declares, with the comments that stand above or beside it.

No compiler and no Doxygen: the headers are in clang-format's form, their comments are plain ones
above what they are about, and a reader that relies on both is shorter than what would make those
tools show them so. What it does not understand is an error, never left out in silence.
"""
import dataclasses
import re

BRACKETS = {"(": ")", "[": "]", "{": "}"}
ACCESS = re.compile(r"(public|protected|private)\s*:(?!:)")
NAMESPACE = re.compile(r"(inline\s+)?namespace\s+([\w:]+(?:inline \w+)?)\s*\{")
# Whose names are found without theirs.
UNSEEN = ("hamgam::inline HAMGAM_ABI", "detail::calls")
DEFINE = re.compile(r"#\s*define (\w+)(?:\([^)]*\))?")
MACRO = re.compile(r"\bHAMGAM_(?!GUARDED_BY|KEEP|VERSION|PROCS)\w+")
TYPE = re.compile(r"(?:class|struct|enum(?: class)?|union)\s+(?:\[\[\w+\]\]\s*)?([\w:]+)")
OPERATOR = re.compile(r"\boperator\s*(?:\(\)|\[\]|[^\s\w(]+|[\w:<>&*, ]+?)(?=\s*\()")
# A body's brace stands behind a space, an initialiser's behind a name; others are of requirements.
INITIALISES = re.compile(
    r"[\w>]$|=\s*$|\brequires\s*$|\brequires\s+requires\s*\([^()]*\)\s*$|\bconcept\b")
NOT_PROSE = re.compile(r"NOLINT|clang-format o|IWYU pragma")
# Overloads that only say in words what is wrong with a call, and what is no declaration for users.
EXPLAINS = re.compile(r"\{\s*(?:static_assert\(|detail::explain_)")
ASIDE = re.compile(
    r"static_assert|using namespace|extern|friend (?:class|struct|Locked)|template\b")


@dataclasses.dataclass
class Entry:
    kind: str  # type, function, alias, concept, variable, macro, enumerator
    name: str
    signature: str
    comment: list  # lines, without their //
    line: int
    apart: bool  # a comment or a blank line is above it
    access: str = "public"
    scope: tuple = ()  # namespaces below hamgam
    bases: str = ""
    members: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Header:
    name: str
    comment: list
    entries: list
    details: dict  # {name: Entry}: types of namespaces called detail, of which some are bases


class NotUnderstood(Exception):
    pass


def mask(text):
    """The code with comments blanked and strings made of x, each sign at its place."""
    def one(match):
        found = match.group()
        return re.sub(r"[^\n]", " ", found) if found[0] == "/" else f'"{"x" * (len(found) - 2)}"'

    return re.sub(r"//[^\n]*|/\*.*?\*/|\"(?:[^\"\\\n]|\\.)*\"", one, text, flags=re.S)


def closing(code, at):
    """The place of the bracket that closes the one at `at`; angles if that is one."""
    angles, depth = code[at] == "<", 0
    while at < len(code):
        if angles and code[at] == "<":
            depth += 1
        elif angles and code[at] == ">" and code[at - 1] not in "-=":
            depth -= 1
            if not depth:
                return at
        elif code[at] in BRACKETS:
            end, depth_here = BRACKETS[code[at]], 0
            start = code[at]
            for place in range(at, len(code)):
                depth_here += (code[place] == start) - (code[place] == end)
                if not depth_here:
                    break
            else:
                break
            if not angles:
                return place
            at = place
        at += 1
    raise NotUnderstood("a bracket is never closed")


def after_space(code, at):
    return re.compile(r"\s*").match(code, at).end()


def after_requires(code, at):
    """The place behind a requires-clause that begins at `at`."""
    at = after_space(code, at + len("requires"))
    while True:
        at = re.compile(r"!?(?:requires\s*)?[\w:]*").match(code, at).end()
        while code[at:at + 1] and code[at] in "<({":
            at = closing(code, at) + 1
            at = re.compile(r"(?:::\w+|\s*(?=\{))?").match(code, at).end()
        more = re.compile(r"\s*(?:&&|\|\|)\s*").match(code, at)
        if not more:
            return after_space(code, at)
        at = more.end()


def parted(code):
    """(template and requires lines in front, the declaration)"""
    front, at = [], 0
    while match := re.compile(r"template\s*(?=<)|requires\b").match(code, at):
        end = (closing(code, match.end()) +
               1 if match.group().startswith("template") else after_requires(code, at))
        front.append(" ".join(code[at:end].split()))
        at = after_space(code, end)
    return front, code[at:]


def without_macros(text):
    """Without the macros for export, lifetimes and thread safety, and what is in their brackets."""
    while match := MACRO.search(text):
        end = match.end()
        if text[end:end + 1] == "(":
            end = closing(text, end) + 1
        text = text[:match.start()].rstrip(" ") + " " + text[end:].lstrip(" ")
    return text


def signature_of(text):
    """One line for each: what is in front, the declaration, a requires-clause behind it."""
    front, rest = parted(without_macros(text).strip())
    if " concept " in f" {rest}":
        return "\n".join([*front, rest])
    rest = " ".join(rest.split())
    rest = re.sub(r"^(\[\[nodiscard\]\] )?(?:friend |inline (?!constexpr))", r"\1", rest)
    rest = re.sub(r"\( ", "(", re.sub(r" ([,;)])", r"\1", rest))
    rest = re.sub(r"(?<=[\w)>]) requires(?=[ (])", "\n  requires", rest)
    return "\n".join(
        [*(("  " if line.startswith("requires") else "") + line for line in front), rest])


class Reader:
    def __init__(self, name, text):
        self.name, self.text, self.code = name, text, mask(text)
        self.details = {}

    def line(self, at):
        return self.text.count("\n", 0, at) + 1

    def comment_at(self, at):
        """The lines of the comment that begins at `at`, and the end of its last line."""
        lines, comment = [], re.compile(r"[ \t]*// ?([^\n]*)")
        while match := comment.match(self.text, at):
            if not NOT_PROSE.search(match.group(1)):
                lines.append(match.group(1))
            at, end = match.end() + 1, match.end()
        return lines, end

    def beside(self, at):
        """The comment behind a declaration that ends at `at`, and where it ends."""
        match = re.compile(r"[,; \t]*//\s*([^\n]*)").match(self.text, at)
        if not match:
            return [], at
        text = re.sub(r"\s*NOLINT.*", "", match.group(1))
        return [text] if text else [], match.end()

    def scope(self, at, end, access, names):
        """The entries between two places."""
        entries, comment, apart = [], [], True
        while at < end:
            if space := re.compile(r"\s+").match(self.text, at):
                if space.group().count("\n") > 1:
                    comment, apart = [], True
                at = space.end()
            elif self.text.startswith("//", at):
                comment, at = self.comment_at(at)
                apart = True
            elif self.text[at] == "#":
                match = DEFINE.match(self.text, at)
                if match and match.group(1).startswith("HAMGAM_"):
                    entries.append(
                        Entry("macro", match.group(1), match.group(), comment, self.line(at),
                              apart))
                    apart = False
                at, comment = re.compile(r"(?:[^\n]*\\\n)*[^\n]*").match(self.text, at).end(), []
            elif match := ACCESS.match(self.code, at):
                access, at, apart, comment = match.group(1), match.end(), True, []
            elif match := NAMESPACE.match(self.code, at):
                stop = closing(self.code, match.end() - 1)
                seen = not match.group(1) and match.group(2) not in UNSEEN
                inner = (*names, match.group(2)) if seen else names
                entries += self.scope(match.end(), stop, "public", inner)
                at, comment, apart = stop + 1, [], True
            elif self.text[at] == ";":
                at += 1
            else:
                found, at = self.declaration(at, comment, apart, access, names)
                entries += [found] if found else []
                apart, comment = apart and not found, []
        return entries

    def extent(self, at):
        """(where the head ends, where the declaration ends, whether it has a body)"""
        place = at
        while self.code[place] != ";":
            if self.code[place] == "{":
                before = self.code[at:place]
                end = closing(self.code, place)
                if not INITIALISES.search(before):
                    return place, end + 1, True
                place = end
            elif self.code[place] in "([":
                place = closing(self.code, place)
            place += 1
        return place, place + 1, False

    def declaration(self, at, comment, apart, access, names):
        head_end, end, has_body = self.extent(at)
        _, plain = parted(without_macros(self.code[at:head_end]).strip())
        plain = re.sub(r"^(?:\[\[\w+\]\]\s*)+|decltype\(auto\)", "", plain).strip()
        made = dict(line=self.line(at), apart=apart, access=access, scope=names)
        if TYPE.match(plain) and not re.search(r"\w\s*\(", plain.split("{")[0]):
            return self.type(at, plain, head_end if has_body else None, end,
                             made | {"comment": comment})
        beside, after = self.beside(end)
        made["comment"] = comment or beside
        explains = has_body and EXPLAINS.match(self.code,
                                               head_end) or "detail::OverloadedMember" in plain
        if ASIDE.match(plain) or explains:
            return None, after
        signature = signature_of(
            re.sub(r"\s*/\*.*?\*/|\s*//[^\n]*", "", self.text[at:head_end], flags=re.S))
        if match := re.match(r"using (?:[\w:<>, ]+::)?(\w+)", plain):
            return Entry("alias", match.group(1), signature, **made), after
        if match := re.match(r"concept (\w+) =", plain):
            return Entry("concept", match.group(1), signature, **made), after
        name = OPERATOR.search(plain)
        if not name:
            angles = re.compile(r"(?<=\w)<[^<>]*>")
            while (flat := angles.sub("", plain)) != plain:
                plain = flat
            name = re.search(r"~?[\w:]+(?=\s*\()", plain.split("=")[0])
        if name:
            operator = name.group().startswith("operator")
            if not operator and (plain.startswith("friend") and not has_body
                                 or "::" in name.group()):
                return None, after  # declared or defined for others
            return Entry("function", " ".join(name.group().split()),
                         without_initialisers(signature), **made), after
        if match := re.search(r"(\w+)\s*(?:\[\w*\]\s*)?(?:=.*|\{.*)?$", plain, re.S):
            return Entry("variable", match.group(1), signature, **made), after
        raise NotUnderstood(f"{self.name}:{self.line(at)}: {plain[:60]}")

    def type(self, at, plain, body, end, made):
        name = TYPE.match(plain).group(1)
        front = parted(self.code[at:end])[0]
        if body is None or "::" in name or "template <>" in front:
            return None, end
        bases = re.search(r"(?<!:):(?!:)(.*)", plain, re.S)
        entry = Entry("type",
                      name,
                      signature_of(self.text[at:body]),
                      bases=bases.group(1) if bases else "",
                      **made)
        stop = closing(self.code, body)
        if plain.startswith("enum"):
            for match in re.compile(r"(\w+)(?:\s*= (\w+))?(?=\s*[,}])").finditer(
                    self.code, body, stop + 1):
                comment, _ = self.beside(match.end())
                entry.members.append(
                    Entry("enumerator", match.group(1), " ".join(match.group().split()), comment,
                          self.line(match.start()), False))
        else:
            access = "private" if plain.startswith("class") else "public"
            entry.members = [
                member for member in self.scope(body + 1, stop, access, ())
                if member.access == "public"
            ]
        if "detail" in made["scope"] and name not in self.details:
            self.details[name] = entry
        return entry, self.code.index(";", stop) + 1


def without_initialisers(signature):
    """A constructor, without the list behind its colon."""
    return re.sub(r"(\)(?: noexcept)?(?:\n  requires[^\n]*?)?) : .*", r"\1", signature, flags=re.S)


def read(path):
    """The Header in a file."""
    text = path.read_text()
    reader = Reader(path.name, text)
    start = text.index("#pragma once") + len("#pragma once")
    if space := re.compile(r"\s*(?=//)").match(text, start):
        comment, start = reader.comment_at(space.end())
    else:  # it stands below the licence
        comment = [line[3:] for line in text[:start].splitlines()[3:-1]]
    entries, known = [], set()
    for entry in reader.scope(start, len(text), "public", ()):
        # What is declared first and defined later is the same but for its defaults.
        bare = entry.kind, re.sub(r" = [^,)]+(?=[,)])|\s+|\[\[nodiscard\]\]", "", entry.signature)
        if "detail" not in entry.scope and bare not in known:
            known.add(bare)
            entries.append(entry)
    return Header(path.name, comment, entries, reader.details)
