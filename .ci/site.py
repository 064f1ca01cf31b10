"""Lays out the pages of the repository for the site: target/pages has them in the same places, so that links stay as they are.

What a page links to comes along: a file as it is, a folder by its README.md, or as text where it has none.
"""

import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = ['README.md', 'ARCHITECTURE.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CODE_OF_CONDUCT.md']
FOLDERS = ['docs', 'spec']
LINK = re.compile(r'(?<!!)\[([^\]]*)\]\(([^)#\s]+)(#[^)]*)?\)')


def linked(page, place, out, match):
    """The link as the site has it; what it leads to is copied."""
    words, target, rest = match[1], match[2], match[3] or ''
    if re.match(r'[a-z]+:', target):
        return match[0]
    found = (page.parent / target).resolve()
    if not found.exists():
        sys.exit('%s: %s does not exist' % (page.relative_to(ROOT), target))
    if found == ROOT / 'README.md':
        return '[%s](%sindex.md%s)' % (words, target[: -len('README.md')], rest)
    if found.is_dir():
        if not (found / 'README.md').exists():
            return words
        found, target = found / 'README.md', target.rstrip('/') + '/README.md'
    copy = out / found.relative_to(ROOT)
    if found not in place:
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(found, copy)
    return '[%s](%s%s)' % (words, target, rest)


def main(out):
    shutil.rmtree(out, ignore_errors=True)
    pages = [ROOT / name for name in PAGES]
    pages += [page for folder in FOLDERS for page in sorted((ROOT / folder).rglob('*.md'))]
    for page in pages:
        name = 'index.md' if page == ROOT / 'README.md' else page.relative_to(ROOT)
        copy = out / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        text = LINK.sub(lambda match, page=page: linked(page, set(pages), out, match), page.read_text())
        # Words behind a language are for the tests alone.
        copy.write_text(re.sub(r'^```(\w+),[\w,]+$', r'```\1', text, flags=re.MULTILINE))
    for picture in ROOT.joinpath('docs').glob('*.svg'):
        shutil.copy(picture, out / 'docs')


if __name__ == '__main__':
    main(Path(sys.argv[1]))
