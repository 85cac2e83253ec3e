"""What the lint scripts share: the files of the tree, C without its comments and texts, and how faults are printed."""

import os
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[3]
BUILD = ROOT / os.environ.get("SEAWALL_BUILD", "build")
PRODUCT = ("proxy", "router", "lagmon")  # where the program's own sources are
_IGNORED = {".git", "build", "__pycache__", ".pytest_cache"}

_faults = 0


def fault(path, line, text):
    global _faults
    _faults += 1
    print("%s:%d: %s" % (path.relative_to(ROOT), line, text))


def exit_code():
    return 1 if _faults else 0


def files(folders=(".",), suffixes=None):
    """Paths of the tree's files under folders, sorted; binary corpora are nobody's text and left out."""
    found = []
    for folder in folders:
        for directory, names, leaves in os.walk(ROOT / folder):
            names[:] = [name for name in names if name not in _IGNORED and name != "corpus"]
            found += [pathlib.Path(directory) / leaf for leaf in leaves
                      if suffixes is None or leaf.endswith(tuple(suffixes))]
    return sorted(found)


def c_files(folders=PRODUCT):
    paths = files(folders, (".c", ".h", ".inc"))
    if not paths:
        raise SystemExit("no C files in %s" % ", ".join(folders))
    return paths


def lines_of(path):
    """(number, line) of a text file."""
    return list(enumerate(path.read_text(errors="replace").splitlines(), 1))


# Comments first: a quote in a comment opens no text, and a comment in a text is none (the first alternative wins).
_TOKENS = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def _blank(match):
    return re.sub(r"[^\n]", " ", match.group())


def code_of(path):
    """C without comments, texts and characters: blanks in their place, so that lines and columns stay."""
    return _TOKENS.sub(_blank, path.read_text(errors="replace"))


def without_comments(path):
    """C with its texts, without its comments."""
    return _TOKENS.sub(lambda match: _blank(match) if match.group().startswith("/") else match.group(),
                       path.read_text(errors="replace"))


def includes_of(path):
    """(line, "<" or '"', what) of each include."""
    for number, line in enumerate(without_comments(path).splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if match:
            yield number, match[1], match[2]
