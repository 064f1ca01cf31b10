"""What Ansible makes of inventories, or ClusterShell of ranges: one JSON object a line in, one a line out, in one process.

``inventory_oracle.py ansible``: ``{"path", "patterns"}``, with ``"files"`` where variables in files count too, to ``{"hosts": {name: variables}, "groups": {name: hosts}, "selected"}``.
``inventory_oracle.py clustershell``: ``{"text"}`` to ``{"names", "folded"}``. In place of what raises: ``{"error"}``, or None.
"""

from __future__ import annotations

import json
import sys

OWN = {'inventory_file', 'inventory_dir', 'inventory_hostname', 'inventory_hostname_short', 'group_names'}
OWN |= {
    'ansible_facts',
    'playbook_dir',
    'ansible_playbook_python',
    'ansible_config_file',
    'ansible_version',
    'groups',
    'omit',
}


def plain(value):
    """The same of the types that JSON has."""
    if isinstance(value, dict):
        return {str(plain(key)): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    return str(value)


def of_ansible(asked):
    from ansible.errors import AnsibleError
    from ansible.inventory.helpers import get_group_vars
    from ansible.inventory.manager import InventoryManager
    from ansible.parsing.dataloader import DataLoader
    from ansible.vars.manager import VariableManager

    try:
        loader = DataLoader()
        manager = InventoryManager(loader, sources=[asked['path']])
        all_hosts = manager.get_hosts('all')
    except (AnsibleError, ValueError, TypeError) as error:
        return {'error': str(error)}
    if not manager.hosts:
        return {'error': 'no hosts'}
    hosts = {}
    for host in all_hosts:
        if asked.get('files'):
            known = VariableManager(loader=loader, inventory=manager)
            variables = known.get_vars(host=host, include_hostvars=False, stage='all')
        else:
            variables = get_group_vars(host.get_groups())
            variables.update(host.get_vars())
        hosts[host.name] = {name: plain(value) for name, value in variables.items() if name not in OWN}
    groups = {name: [host.name for host in group.get_hosts()] for name, group in manager.groups.items()}
    selected = []
    for pattern in asked['patterns']:
        try:
            selected.append([host.name for host in manager.get_hosts(pattern)])
        except (AnsibleError, ValueError) as error:
            selected.append({'error': str(error)})
    return {'hosts': hosts, 'groups': groups, 'selected': selected}


def of_clustershell(asked):
    from ClusterShell.NodeSet import NodeSet, NodeSetException

    try:
        found = NodeSet(asked['text'])
        return {'names': list(found), 'folded': str(found)}
    except (NodeSetException, ValueError) as error:
        return {'error': str(error)}


def main(judge):
    if judge == 'clustershell':
        from ClusterShell.NodeSet import set_std_group_resolver
        from ClusterShell.NodeUtils import GroupResolver

        # No groups of this machine.
        set_std_group_resolver(GroupResolver())
    answer = {'ansible': of_ansible, 'clustershell': of_clustershell}[judge]
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))))


if __name__ == '__main__':
    main(sys.argv[1])
