"""Writes the software bill of materials of the program to stdout: CycloneDX 1.6 in JSON, from Cargo.lock and `cargo metadata`.

What is only for tests and for building is left out; features are those of the released program and package.
"""

import hashlib
import json
import subprocess
import sys


def metadata():
    command = ['cargo', 'metadata', '--locked', '--format-version', '1', '--features', 'python']
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def shipped(data):
    """The packages that end up in an artefact: reached from the root by normal dependencies."""
    nodes = {node['id']: node for node in data['resolve']['nodes']}
    found, waiting = {}, [data['resolve']['root']]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        wanted = [
            dependency['pkg']
            for dependency in nodes[name]['deps']
            if any(kind['kind'] is None for kind in dependency['dep_kinds']) and dependency['pkg'] != name
        ]
        found[name] = sorted(wanted)
        waiting.extend(wanted)
    return found


def checksums():
    with open('Cargo.lock') as lock:
        blocks = lock.read().split('[[package]]\n')[1:]
    found = {}
    for block in blocks:
        fields = dict(line.split(' = ', 1) for line in block.splitlines() if ' = "' in line)
        if 'checksum' in fields:
            found[fields['name'].strip('"'), fields['version'].strip('"')] = fields['checksum'].strip('"')
    return found


def purl(package):
    return 'pkg:cargo/%s@%s' % (package['name'], package['version'])


def component(package, sums):
    made = {
        'type': 'library',
        'bom-ref': purl(package),
        'name': package['name'],
        'version': package['version'],
        'purl': purl(package),
        'licenses': [{'expression': (package['license'] or 'NOASSERTION').replace('/', ' OR ')}],
    }
    if (package['name'], package['version']) in sums:
        checksum = sums[package['name'], package['version']]
        made['hashes'] = [{'alg': 'SHA-256', 'content': checksum}]
    return made


def main():
    data = metadata()
    packages = {package['id']: package for package in data['packages']}
    graph, sums = shipped(data), checksums()
    root = data['resolve']['root']
    ids = sorted(graph, key=lambda name: purl(packages[name]))
    body = {
        'components': [component(packages[name], sums) for name in ids if name != root],
        'dependencies': [
            {'ref': purl(packages[name]), 'dependsOn': [purl(packages[other]) for other in graph[name]]} for name in ids
        ],
    }
    # The same content has the same number.
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    number = '-'.join((digest[:8], digest[8:12], '5' + digest[13:16], 'a' + digest[17:20], digest[20:32]))
    document = {
        'bomFormat': 'CycloneDX',
        'specVersion': '1.6',
        'serialNumber': 'urn:uuid:' + number,
        'version': 1,
        'metadata': {'component': {**component(packages[root], sums), 'type': 'application'}},
        **body,
    }
    json.dump(document, sys.stdout, indent=1)
    print()


if __name__ == '__main__':
    main()
