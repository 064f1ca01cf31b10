//! What inventories and patterns mean for connecting, and what is said where they are wrong.

use easycluster::inventory::{Inventory, InventoryError};

fn spec(text: &str, name: &str) -> Result<String, InventoryError> {
    let inventory = Inventory::parse(text, name)?;
    let hosts = inventory.select(&["all"])?;
    Ok(hosts[0].spec()?.to_string())
}

#[test]
fn variables_become_specs() {
    for (variables, expected) in [
        ("", "web1:ssh=yes:name=web1"),
        (
            "ansible_host=10.0.0.7 ansible_port=2200 ansible_user=deploy",
            "deploy@10.0.0.7:2200:ssh=yes:name=web1",
        ),
        (
            "ansible_host=fe80::1%eth0",
            "[fe80::1%eth0]:ssh=yes:name=web1",
        ),
        (
            "ansible_ssh_host=h ansible_ssh_port=22 ansible_ssh_user=u",
            "u@h:22:ssh=yes:name=web1",
        ),
        (
            "ansible_ssh_private_key_file=~/.ssh/deploy ansible_python_interpreter=/usr/bin/python2.7",
            "web1:ssh=yes:rpython=/usr/bin/python2.7:identity=~/.ssh/deploy:name=web1",
        ),
        (
            "ansible_python_interpreter=auto_silent",
            "web1:ssh=yes:name=web1",
        ),
        (
            "ansible_connection=local ansible_python_interpreter='{{ ansible_playbook_python }}'",
            ":local:name=web1",
        ),
        (
            "ansible_ssh_common_args='-J gate -o \"ProxyCommand=nc %h\"'",
            "web1:ssh=yes:extra=-J gate -o 'ProxyCommand=nc %h':name=web1",
        ),
        (
            "ansible_become=no ansible_become_user=root",
            "web1:ssh=yes:name=web1",
        ),
        (
            "ansible_become=yes ansible_become_method=community.general.doas ansible_become_user=db",
            "web1:ssh=yes:name=web1:then=doas/db",
        ),
        (
            "ansible_become=yes ansible_become_method=doas ansible_become_password=x",
            "web1:ssh=yes:name=web1:then=tty,doas/root",
        ),
        ("rank='{{ x }}'", "web1:ssh=yes:name=web1"),
        (
            "ansible_connection=community.docker.docker ansible_user=www ansible_host=app-1",
            ":local:name=web1:then=docker/app-1/www",
        ),
        (
            "ansible_connection=containers.podman.podman",
            ":local:name=web1:then=podman/web1",
        ),
        (
            "ansible_connection=kubectl ansible_kubectl_namespace=prod ansible_kubectl_container=c ansible_python_interpreter=python3",
            ":local:rpython=python3:name=web1:then=kubectl/prod/web1/c",
        ),
        (
            "ansible_connection=community.general.chroot ansible_host=/srv/jail",
            ":local:name=web1:then=chroot/srv/jail",
        ),
        (
            "ansible_connection=community.general.lxd",
            ":local:name=web1:then=lxc/web1",
        ),
        (
            "ansible_connection=lxc",
            ":local:name=web1:then=run/lxc-attach -n web1 --",
        ),
    ] {
        let found = spec(&format!("web1 {variables}\n"), "hosts.ini");
        assert_eq!(
            found.as_deref().map_err(ToString::to_string),
            Ok(expected),
            "{variables}"
        );
    }
}

#[test]
fn what_has_no_meaning_here_is_refused_with_its_place() {
    for (text, expected, hint) in [
        (
            "web1 ansible_host='{{ addr }}'",
            "hosts.ini, line 1: web1: ansible_host: \"{{ addr }}\" is a template",
            "debug -a var=ansible_host",
        ),
        (
            "web1\n[all:vars]\nansible_user={{ u }}",
            "hosts.ini, line 3: web1: ansible_user:",
            "write the value itself",
        ),
        (
            "web1 ansible_connection=winrm",
            "web1: ansible_connection: \"winrm\" is not a way of connecting here",
            "-x",
        ),
        (
            "web1 ansible_port=ssh",
            "ansible_port: \"ssh\" is not a port",
            "",
        ),
        ("web1 ansible_user='a b'", "web1: ansible_user: ", ""),
        ("web1 ansible_become=maybe", "is neither yes nor no", ""),
    ] {
        let error = spec(text, "hosts.ini").expect_err(text);
        assert!(error.to_string().contains(expected), "{text}: {error}");
        assert!(
            error.hint().unwrap_or_default().contains(hint),
            "{text}: {:?}",
            error.hint()
        );
    }
    let text = "all:\n  hosts:\n    web1:\n      ansible_user: !vault |\n        $ANSIBLE_VAULT;1.1;AES256\n        6162\n      other: !vault x\n";
    let error = spec(text, "hosts.yml").expect_err("encrypted");
    assert!(
        error
            .to_string()
            .starts_with("hosts.yml, line 4: web1: ansible_user: the value is encrypted"),
        "{error}"
    );
    let inventory = Inventory::parse(&text.replace("ansible_user", "unused"), "hosts.yml").unwrap();
    assert!(inventory.hosts()[0].variables().is_empty());
}

#[test]
fn files_that_are_wrong_are_said_with_the_line() {
    for (text, name, expected) in [
        (
            "[web]\nweb1 alone",
            "h.ini",
            "h.ini, line 2: \"alone\" is not NAME=VALUE",
        ),
        (
            "[web:children]\ndb",
            "h.ini",
            "h.ini, line 2: the child group db does not exist",
        ),
        (
            "\n[web:vars]\nx=1",
            "h.ini",
            "h.ini, line 2: [web:vars], but there is no group web",
        ),
        (
            "[web:things]",
            "h.ini",
            "h.ini, line 1: [web:things] is not a kind of section",
        ),
        ("[a b]\n", "h.ini", "h.ini, line 1: [a b] is not a section"),
        (
            "web[1:99999999]",
            "h.ini",
            "h.ini, line 1: web[1:99999999]: more than 100000 hosts",
        ),
        (
            "web1:99999",
            "h.ini",
            "h.ini, line 1: \"99999\" is not a port",
        ),
        (
            "[a:children]\nb\n[b:children]\na\n[a]\n[b]",
            "h.ini",
            "is below itself",
        ),
        (
            "all:\n  hosts: [web1]\n",
            "h.yml",
            "h.yml, line 2: `hosts` is not a mapping",
        ),
        (
            "all:\n  hosts:\n    1:\n",
            "h.yml",
            "h.yml, line 3: the name of a host is not text",
        ),
        ("a: [", "h.yml", "this is not YAML"),
        (
            "a: !thing x",
            "h.yml",
            "h.yml, line 1: the tag !thing is not known",
        ),
        (
            "plugin: aws_ec2",
            "h.yml",
            "this configures a plugin of Ansible",
        ),
        ("{\"a\": ", "h.json", "h.json, line 1: this is not JSON"),
        (
            "$ANSIBLE_VAULT;1.1;AES256\n61",
            "h",
            "the whole file is encrypted",
        ),
        (
            "-----BEGIN OPENSSH PRIVATE KEY-----",
            "h",
            "this is a key and no inventory",
        ),
        (
            "me@web1\n[web]\nbad host",
            "h",
            "h, line 3: this is not a valid host name",
        ),
        ("me@web1\n@db", "h", "h, line 2: there is no group db"),
    ] {
        // A group that a cycle leads to has no host, so reading is enough.
        let error = Inventory::parse(text, name).map(|_| ()).expect_err(text);
        assert!(error.to_string().contains(expected), "{text}: {error}");
    }
}

#[test]
fn lists_of_specs_have_groups_and_ranges() {
    let text = "# all\nme@web[1-2]:2222, db1:rpython=python3 -X utf8 # note\n[eu]\nweb9\n[both]\n@eu\n:local\n";
    let inventory = Inventory::parse(text, "hosts.txt").unwrap();
    let specs: Vec<String> = inventory
        .hosts()
        .iter()
        .map(|host| host.spec().unwrap().to_string())
        .collect();
    let expected = [
        "me@web1:2222",
        "me@web2:2222",
        "db1:ssh=yes:rpython=python3 -X utf8",
        ":local",
        "web9:ssh=yes",
    ];
    assert_eq!(specs, expected);
    let select = |pattern: &str| -> Vec<String> {
        let hosts = inventory.select(&[pattern]).unwrap();
        hosts.iter().map(|host| host.name().to_owned()).collect()
    };
    assert_eq!(select("both"), ["local", "web9"]);
    assert_eq!(select("web*"), ["web1:2222", "web2:2222", "web9"]);
}

#[test]
fn a_name_that_is_not_there_is_said_with_the_one_that_is_meant() {
    let inventory =
        Inventory::parse("[web]\nweb[01:03]\n[prod]\nweb01\nn[1:3]\n", "h.ini").unwrap();
    for (pattern, expected, hint) in [
        (
            "wbe",
            "the inventory has no host or group \"wbe\"",
            "did you mean \"web\"?",
        ),
        (
            "all:!prdo",
            "no host or group \"prdo\"",
            "did you mean \"prod\"?",
        ),
        ("@prof", "no group \"prof\"", "did you mean \"prod\"?"),
        ("web[02-04]", "no host \"web04\"", "did you mean"),
        ("me@web01", "no host or group \"me@web01\"", "-l USER"),
        (
            "db*",
            "no host of the inventory matches \"db*\"",
            "lists the hosts",
        ),
        ("prod:!web:!n*", "no host of the inventory matches", ""),
        ("web[7]", "there are only 3 hosts", ""),
        ("~web(", "is not a regular expression", ""),
        ("", "no pattern is given", "`all`"),
    ] {
        let error = inventory.select(&[pattern]).map(|_| ()).expect_err(pattern);
        assert!(error.to_string().contains(expected), "{pattern}: {error}");
        assert!(
            error.hint().unwrap_or_default().contains(hint),
            "{pattern}: {:?}",
            error.hint()
        );
    }
    // What is to be left out need not be there, if it is no name.
    assert_eq!(inventory.select(&["web:!old*"]).unwrap().len(), 3);
    for (pattern, expected) in [
        ("web[01-02]", "web01 web02"),
        ("web[1:2]", "web02 web03"),
        ("n[1-2]", "n1 n2"),
        ("n[1:2]", "n1 n2"),
        ("web[01,03]", "web01 web03"),
    ] {
        let hosts = inventory.select(&[pattern]).unwrap();
        let names: Vec<&str> = hosts.iter().map(|host| host.name()).collect();
        assert_eq!(names.join(" "), expected, "{pattern}");
    }
}

#[test]
fn folders_and_lists_are_inventories_too() {
    let folder = tempfile::tempdir().expect("folder");
    let write =
        |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("file");
    write("1.ini", "[web]\nweb1 x=1\nweb2 x=1\n");
    write("2.yml", "web:\n  hosts:\n    web2:\n      x: 2\n");
    write("notes.md", "no inventory\n");
    std::fs::create_dir(folder.path().join("group_vars")).expect("folder");
    write("group_vars/web.yml", "x: 3\ny: 4\n");
    let inventory = Inventory::read(folder.path()).unwrap();
    let x: Vec<i64> = inventory
        .hosts()
        .iter()
        .filter_map(|host| host.variables()["x"].as_i64())
        .collect();
    assert_eq!(x, [1, 2]);
    assert_eq!(inventory.hosts()[0].variables()["y"].as_i64(), Some(4));
    assert!(
        inventory.warnings().is_empty(),
        "{:?}",
        inventory.warnings()
    );
    let names: Vec<String> = Inventory::read("web[1-2],db:22,")
        .unwrap()
        .hosts()
        .iter()
        .map(|host| host.name().to_owned())
        .collect();
    assert_eq!(names, ["web1", "web2", "db"]);
    let error = Inventory::read("/nonexistent/hosts")
        .map(|_| ())
        .expect_err("no file");
    assert!(error.hint().unwrap().contains("-I web1,"), "{error:?}");
}

#[test]
fn an_inventory_program_that_fails_is_quoted() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("inventory");
    crate::support::write_program(
        &file,
        "#!/bin/sh\n[ \"$1\" = --list ] || exit 9\necho 'no such region' >&2\nexit 3\n",
    );
    let error = Inventory::read(&file).map(|_| ()).expect_err("it fails");
    assert!(error.to_string().contains("no such region"), "{error}");
    crate::support::write_program(&file, "#!/bin/sh\necho web1\n");
    let error = Inventory::read(&file).map(|_| ()).expect_err("no JSON");
    assert!(error.to_string().contains("this is not JSON"), "{error}");
    assert!(
        error.hint().is_some_and(|hint| hint.contains("chmod -x")),
        "{error:?}"
    );
    crate::support::write_program(&file, "#!/bin/sh\nkill -9 $$\n");
    let error = Inventory::read(&file)
        .map(|_| ())
        .expect_err("it is killed");
    assert!(error.to_string().ends_with("(SIGKILL))"), "{error}");
}

#[test]
fn what_has_no_end_or_no_host_is_said_to_be_so() {
    let refused = |path: &std::path::Path| {
        let read = Inventory::read(path).and_then(|found| found.select(&["all"]).map(|_| ()));
        read.expect_err("refused").to_string()
    };
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("inventory");
    crate::support::write_program(&file, "#!/bin/sh\nexec yes\n");
    assert!(refused(&file).contains("it writes more than 256 MiB"));
    assert!(refused("/dev/zero".as_ref()).contains("it is longer than 256 MiB"));
    assert_eq!(refused("/dev/null".as_ref()), "the inventory names no host");
    let file = folder.path().join("utf-16");
    std::fs::write(&file, b"\xff\xfew\0e\0b\0\n\0").expect("file");
    assert!(refused(&file).contains("it is text in UTF-16; save it as UTF-8"));
}

#[test]
fn a_key_that_stands_twice_is_told() {
    let inventory =
        Inventory::parse("all:\n  hosts:\n    a:\n      x: 1\n      x: 2\n", "h.yml").unwrap();
    assert_eq!(inventory.hosts()[0].variables()["x"].as_i64(), Some(2));
    assert!(
        inventory.warnings()[0].contains("h.yml, line 5"),
        "{:?}",
        inventory.warnings()
    );
}
