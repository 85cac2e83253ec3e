#!/usr/bin/python3 -B
"""Do the documents say what is there? Links, paths, functions, settings, console commands, log lines, tests, targets.

Prints each fault as file:line: what; exits 0 or 1. Needs the sources only, no build.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")] + sorted((ROOT / "docs").glob("*.md"))
WIDTH = 120
WIDER = {"configuration.md": 128}  # mostly tables, and checked by config.py
PLACEHOLDERS = {"key", "name", "sw_thing", "sw_thing_verb", "on_event", "ret_x"}  # in the rules for names and files
TOP = ("proxy", "router", "lagmon", "tests", "conf", "docs", "docker")
COMMANDS = ("make", "build/seawall", "psql", "chmod")  # what a ```sh block may run
ITEMS = range(1, 99)
SECTION_WITHOUT_KEYS = ("nodes", "databases", "users")  # their keys are names; attributes stand behind the "="

faults = 0


def fault(path, line, text):
    global faults
    faults += 1
    print(f"{path.relative_to(ROOT)}:{line}: {text}")


def read_all(*patterns):
    files = sorted({path for pattern in patterns for path in ROOT.glob(pattern) if "__pycache__" not in path.parts})
    return "\n".join(path.read_text(errors="replace") for path in files if path.is_file())


def plain_strings(source):
    """The sources with adjacent string constants joined and quotes as they are printed."""
    source = re.sub(r'"\s*(?:PRI\w+|SW_VERSION)\s*"', "", source)
    source = re.sub(r'(?<!\\)"\s*\n\s*"', "", source)
    return source.replace('\\"', '"')


class Facts:
    """What the documents are compared with."""

    def __init__(self):
        self.code = read_all("proxy/**/*.[ch]", "router/*", "lagmon/*.[ch]")
        self.strings = plain_strings(self.code)
        self.all = self.code + read_all("tests/**/*.py", "tests/**/*.[ch]", "tests/**/*.sh", "Makefile", "conf/*")
        table = (ROOT / "proxy/config_table.c").read_text()
        rows = re.findall(r"\{(SEAWALL|ROUTING|MONITOR|NODES|DATABASES|USERS), \.name = \"(\w+)\"", table)
        self.keys = {(section.lower(), name) for section, name in rows}
        admin = (ROOT / "proxy/admin.c").read_text()
        self.console = set(re.findall(r'\{"([A-Z][A-Z 1]+)",', admin)) | {"EXPLAIN ROUTE"}
        local = (ROOT / "proxy/session/local.c").read_text()
        self.settings = set(re.findall(r'strcasecmp\(name, "(\w+)"\)', local))
        self.targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
        self.tests = set(re.findall(r"\btest_\w+", read_all("tests/**/*.py", "tests/unit/*.[ch]")))
        for name in ("keys", "console", "settings", "targets", "tests"):
            if not getattr(self, name):
                sys.exit(f"tests/lint/docs.py: found no {name} in the sources: has their form changed?")


def slug(header):
    """A header's anchor, as the usual renderers make it."""
    return re.sub(r"[^\w\- ]", "", header.lower()).replace(" ", "-")


def check_link(path, line, target):
    if re.match(r"[a-z]+:", target):
        return
    file, _, anchor = target.partition("#")
    there = (path.parent / file).resolve() if file else path
    if not there.exists():
        fault(path, line, f'link to "{target}", which does not exist')
    elif anchor and slug(anchor) not in map(slug, re.findall(r"^#+ (.*)", there.read_text(), re.M)):
        fault(path, line, f'link to "{target}": no such header')


def check_path(path, line, text):
    """A path of the repository, or path:function."""
    name, _, function = text.partition(":")
    there = ROOT / name
    if not (list(ROOT.glob(name)) if "*" in name else there.exists()):
        fault(path, line, f'"{name}" does not exist')
    elif function and not re.search(rf"^[^\t#/*].*\b{function}\(", there.read_text(), re.M):
        fault(path, line, f'"{name}" has no function {function}')


def check_key(path, line, section, key, facts):
    if section in SECTION_WITHOUT_KEYS:
        return
    if section and (section, key) not in facts.keys or not any(key == name for _, name in facts.keys):
        fault(path, line, f'"{key}" is no key' + (f" of [{section}]" if section else ""))


def check_console(path, line, text, facts):
    words = re.match(r"(?:SHOW|RELOAD|EXPLAIN ROUTE|HELP)(?: [A-Z]+)*", text)[0]
    if not any(words == known or known == "EXPLAIN ROUTE" and words.startswith(known) for known in facts.console):
        fault(path, line, f'"{words}" is no command of the console')


def check_code(path, line, text, facts):
    """What stands in backquotes."""
    setting = re.search(r"\bseawall\.(\w+)", text)
    word = re.search(r"\w+", text)
    if word and word[0] in PLACEHOLDERS or text.startswith("struct sw_thing"):
        return
    if re.fullmatch(r"(?:%s)/[\w./*-]*(?::\w+)?" % "|".join(TOP), text):
        check_path(path, line, text)
    elif re.match(r"(SHOW [A-Z]{2}|RELOAD\b|EXPLAIN ROUTE\b)", text):
        check_console(path, line, text, facts)
    elif setting and not text.endswith((".conf", ".svg")) and setting[1] not in facts.settings | {"conf", "svg"}:
        fault(path, line, f'"seawall.{setting[1]}" is no setting of a session')
    elif re.match(r"test_\w+", text):
        if "…" not in text and text not in facts.tests:
            fault(path, line, f'no test "{text}"')
    elif match := re.match(r"([a-z]+(?:_[a-z]+)*) = ", text):
        check_key(path, line, None, match[1], facts)
    elif match := re.match(r"make ([a-z-]+)", text):
        check_target(path, line, match[1], facts)
    elif re.fullmatch(r"[a-z]+(?:_[a-z0-9]+)+", text) and text not in facts.all:
        fault(path, line, f'"{text}" is nowhere in the sources')
    elif match := re.search(r"\b(?:sw|SW)_[A-Za-z]\w+", text):
        if match[0] not in facts.code:
            fault(path, line, f'"{match[0]}" is nowhere in the sources')


def check_target(path, line, name, facts):
    if name not in facts.targets:
        fault(path, line, f'the Makefile has no target "{name}"')


def check_command(path, line, text, facts):
    """One command of a ```sh block."""
    words = [word for word in text.split() if not re.fullmatch(r"[A-Z_]+=\S*", word)]
    if not words or words[0].startswith(("#", "-")):
        return
    if words[0] not in COMMANDS:
        fault(path, line, f'"{words[0]}" is not among the commands that a test can run: {", ".join(COMMANDS)}')
    for target in words[1:] if words[0] == "make" else []:
        check_target(path, line, target, facts)
    for command in re.findall(r'seawall -c "([A-Z ]+)"', text):
        check_console(path, line, command, facts)
    for option in re.findall(r"(?<= )--[a-z-]+", text) if words[0] == "build/seawall" else []:
        if f'"{option[2:]}"' not in facts.code:
            fault(path, line, f'seawall has no option "{option}"')


def check_block(path, line, language, text, section, facts):
    """One line inside a fence. Returns the section of an ini file that it lies in."""
    if language == "sh":
        check_command(path, line, text, facts)
    elif language == "ini":
        header = re.fullmatch(r"\[(\w+)\]", text)
        key = re.match(r"(\w+)\s*=(.*)", text)
        if header:
            return header[1]
        if key:
            check_key(path, line, section, key[1], facts)
            for name in re.findall(r"(\w+)=", key[2]) if section in SECTION_WITHOUT_KEYS else []:
                if (section, name) not in facts.keys:
                    fault(path, line, f'"{name}" is no key of [{section}]')
    return section


def check_log_line(path, line, text, facts):
    """A message of the log, "…" for its values: the sources have it in that form."""
    pattern = ".{0,80}?".join(re.escape(part) for part in text.split("…"))
    if not re.search(pattern, facts.strings):
        fault(path, line, f"no log line is `{text}`")


def check_document(path, facts):
    language = section = chapter = None
    for number, text in enumerate(path.read_text().splitlines(), 1):
        fence = re.match(r"\s*```(\S*)", text)
        if fence:
            language = None if language is not None else fence[1]
            section = None
            continue
        width = WIDER.get(path.name, WIDTH)
        if len(text) > width and not text.startswith("|"):
            fault(path, number, f"{len(text)} columns, at most {width}")
        if language is not None:
            section = check_block(path, number, language, text, section, facts)
            continue
        if text.startswith("## "):
            chapter = text[3:]
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            check_link(path, number, target)
        is_log = chapter == "What the log says" and text.startswith("- ")
        if is_log:
            for message in re.findall(r"`([^`]+)`", re.split(r"`: ", text)[0] + "`"):
                check_log_line(path, number, message, facts)
            continue
        for code in re.findall(r"`([^`]+)`", text):
            check_code(path, number, code, facts)
    if language is not None:
        fault(path, number, "a fence is not closed")


def check_semantics(facts):
    """Every number once, in order, with its tests, or with a word why it has none."""
    path = ROOT / "docs/semantics.md"
    items = re.findall(r"^- \*\*T(\d+)★?\*\* ((?:.*\n)(?:  .*\n)*)", path.read_text(), re.M)
    if [int(number) for number, _ in items] != list(ITEMS):
        fault(path, 1, f"the items are not T{ITEMS[0]} to T{ITEMS[-1]}, each once and in order")
    for number, text in items:
        if not re.search(r"`test_\w+`|\blater\b|[Nn]o\s+test\s+of\s+its\s+own", text):
            fault(path, 1, f'T{number} names no test, and says neither "later" nor "no test of its own"')
        own = [name for name in facts.tests if re.search(rf"_T{number}(?:_|$)", name)]
        if own and not set(own) & set(re.findall(r"test_\w+", text)):
            fault(path, 1, f"T{number} names none of its own tests: {', '.join(sorted(own)[:3])}")


def check_readme(facts):
    readme = (ROOT / "README.md").read_text()
    for command in ("make demo", "make check"):
        if not re.search(rf"^```sh\n(?:.*\n)*?{command}$", readme, re.M):
            fault(ROOT / "README.md", 1, f'no ```sh block has "{command}"')
    version = re.search(r'SW_VERSION "([^"]+)"', facts.code)[1]
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    if not newest or newest[1] != version:
        fault(ROOT / "CHANGELOG.md", 1, f'the first header is not the version, "{version}"')


def main():
    facts = Facts()
    for path in DOCUMENTS:
        check_document(path, facts)
    check_semantics(facts)
    check_readme(facts)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
