"""Ranges and inventories as the Python package has them."""

from __future__ import annotations

import pickle

import easycluster
import pytest

INVENTORY = """\
[web]
web[1:2] ansible_connection=local rank="[1,{'a':2.5}]"
[db]
db1 ansible_user=deploy ansible_port=2200
[db:vars]
big=123456789012345678901234567890
"""


def test_ranges_and_lists_are_specs():
    with pytest.warns(UserWarning, match='web10 is named more than once'):
        specs = easycluster.hosts('me@web[09-10],db1:2222', 'me@web[10-11]', exclude='web11')
    assert specs == ['me@web09', 'me@web10', 'db1:2222:ssh=yes']
    assert [spec.name for spec in specs] == ['me@web09', 'me@web10', 'db1:2222']


def test_an_inventory_gives_specs_groups_and_variables(tmp_path):
    path = tmp_path / 'hosts.ini'
    path.write_text(INVENTORY)
    (db,) = easycluster.hosts('all:!web', inventory=path)
    assert db == 'deploy@db1:2200:ssh=yes:name=db1'
    assert (db.name, db.groups) == ('db1', ('db',))
    assert db.variables == {'ansible_user': 'deploy', 'ansible_port': 2200, 'big': 123456789012345678901234567890}
    web = easycluster.hosts('web', inventory=[path])
    assert web[0].variables['rank'] == [1, {'a': 2.5}]
    again = pickle.loads(pickle.dumps(web[0]))
    assert (again, again.name) == (web[0], 'web1')


def test_the_specs_connect(tmp_path):
    path = tmp_path / 'hosts.ini'
    path.write_text(INVENTORY)
    clients = easycluster.connect_multi(easycluster.hosts('web', inventory=path))
    try:
        assert easycluster.eval_multi(clients, '1 + 1') == [2, 2]
    finally:
        for client in clients:
            client.close()


def test_what_is_wrong_is_said(tmp_path):
    path = tmp_path / 'hosts.ini'
    path.write_text(INVENTORY)
    with pytest.raises(ValueError, match='did you mean "web"'):
        easycluster.hosts('wbe', inventory=path)
    with pytest.raises(ValueError, match='more than 100000 hosts'):
        easycluster.hosts('h[1-99999999]')
    path.write_text('web1 ansible_password=s3cret\n')
    with pytest.warns(UserWarning, match='passwords'):
        (spec,) = easycluster.hosts('all', inventory=path)
    assert 's3cret' not in spec
