"""The crate's public API as a list, taken from what rustdoc made, and compared with the list in the repository.

    cargo doc --no-deps && python3 tests/public_api.py            compares; the exit code is 1 where they differ
    cargo doc --no-deps && python3 tests/public_api.py --write    writes the list

A line that appears is a promise made, and one that vanishes a promise broken, so either is to be seen in a review.
Another rustdoc may write signatures otherwise; with another than the list was made by, only the names of items are compared.
"""

import difflib
import html
import pathlib
import re
import subprocess
import sys

LIST = pathlib.Path(__file__).with_name('public-api.txt')
ROOT = pathlib.Path(__file__).resolve().parent.parent

# rustdoc's page of an item: where its declaration stands, and where derived implementations begin.
DECLARATION = re.compile(r'<pre class="rust item-decl"><code>(.*?)</code></pre>', re.S)
HEADER = re.compile(r'<h[34] class="code-header">(.*?)</h[34]>', re.S)
NOT_WRITTEN = re.compile(r'id="(?:synthetic-implementations|blanket-implementations)"')


def text(fragment):
    """A fragment of HTML as one line of text."""
    return ' '.join(html.unescape(re.sub(r'<[^>]*>', '', fragment)).split())


def page_lines(name, page):
    """The declaration of an item and the headers of what is implemented for it."""
    declared = DECLARATION.search(page)
    # A page without one only leads to where the item stands.
    if declared is None:
        return
    declaration = text(declared.group(1))
    yield '%s: %s' % (name, declaration)
    wanted = r'(pub |impl|fn |async |type )' if 'trait ' in declaration.split('{')[0] else r'(pub |impl)'
    for header in HEADER.findall(NOT_WRITTEN.split(page)[0]):
        line = text(header)
        # Variants and fields stand in the declaration already.
        if re.match(wanted, line):
            yield '%s:   %s' % (name, line)


def listing(folder):
    """Every line of the API below rustdoc's folder of the crate, in the order of names."""
    lines = []
    for file in sorted(folder.rglob('*.html')):
        kind, _, rest = file.name.partition('.')
        if not rest or rest == 'html' or kind in ('all', 'index', 'sidebar-items'):
            continue
        path = '::'.join((*file.relative_to(folder).parts[:-1], rest[: -len('.html')]))
        lines.extend(page_lines(path, file.read_text()))
    return lines


def rustdoc():
    """Which rustdoc this is, up to its minor version."""
    said = subprocess.run(['rustdoc', '--version'], stdout=subprocess.PIPE, text=True, check=True).stdout
    return 'rustdoc ' + '.'.join(said.split()[1].split('.')[:2])


def names(lines):
    """The names of items alone."""
    return sorted({line.split(': ', 1)[0] for line in lines})


def main():
    target = pathlib.Path(sys.argv[sys.argv.index('--target') + 1] if '--target' in sys.argv else ROOT / 'target')
    folder = target / 'doc' / 'easycluster'
    if not (folder / 'all.html').is_file():
        sys.exit('%s is not there: run `cargo doc --no-deps` first' % (folder / 'all.html'))
    found = listing(folder)
    if '--write' in sys.argv:
        LIST.write_text('\n'.join([rustdoc(), *found]) + '\n')
        return
    made_by, *known = LIST.read_text().splitlines()
    if made_by != rustdoc():
        known, found = names(known), names(found)
    difference = list(difflib.unified_diff(known, found, str(LIST.name), 'what rustdoc found', lineterm='', n=0))
    if difference:
        print('\n'.join(difference))
        sys.exit(
            'The public API differs from tests/public-api.txt. If that is meant: python3 tests/public_api.py --write'
        )


if __name__ == '__main__':
    main()
