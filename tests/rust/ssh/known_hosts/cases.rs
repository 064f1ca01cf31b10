//! The cases of known_hosts files that OpenSSH and this crate are asked about.

/// `None` in `global` means no file. Words in braces stand for keys and names.
pub struct Case {
    pub name: &'static str,
    pub certified: bool,
    /// The server's certificate has expired.
    pub expired: bool,
    pub host: &'static str,
    pub user: &'static str,
    pub global: &'static str,
    pub policy: &'static str,
    pub options: &'static [(&'static str, &'static str)],
}

pub fn case(name: &'static str, user: &'static str) -> Case {
    Case {
        name,
        certified: false,
        expired: false,
        host: "127.0.0.1",
        user,
        global: "",
        policy: "yes",
        options: &[],
    }
}

impl Case {
    fn policy(mut self, policy: &'static str) -> Self {
        self.policy = policy;
        self
    }
    fn host(mut self, host: &'static str) -> Self {
        self.host = host;
        self
    }
    fn global(mut self, global: &'static str) -> Self {
        self.global = global;
        self
    }
    fn certified(mut self) -> Self {
        self.certified = true;
        self
    }
    fn option(mut self, options: &'static [(&'static str, &'static str)]) -> Self {
        self.options = options;
        self
    }
}

pub fn cases() -> Vec<Case> {
    let mut all = vec![
        case("nothing recorded", ""),
        case("nothing recorded, ask in batch mode", "").policy("ask"),
        case("nothing recorded, accept-new", "").policy("accept-new"),
        case("nothing recorded, no", "").policy("no"),
        case("nothing recorded, off", "").policy("off"),
        case("nothing recorded, hashed", "")
            .policy("accept-new")
            .option(&[("HashKnownHosts", "yes")]),
        case("ed25519 key", "{host} {ed25519}\n"),
        case("ecdsa key", "{host} {ecdsa}\n"),
        case("rsa key", "{host} {rsa}\n"),
        case(
            "all keys",
            "{host} {ed25519}\n{host} {rsa}\n{host} {ecdsa}\n",
        ),
        case("only a wrong ed25519 key", "{host} {other-ed25519}\n"),
        case("only a wrong rsa key", "{host} {other-rsa}\n"),
        case("a wrong key, ask", "{host} {other-ed25519}\n").policy("ask"),
        case("a wrong key, accept-new", "{host} {other-ed25519}\n").policy("accept-new"),
        case("a wrong key, no", "{host} {other-ed25519}\n").policy("no"),
        case("a wrong rsa key, accept-new", "{host} {other-rsa}\n").policy("accept-new"),
        case(
            "a wrong and a right key of one type",
            "{host} {other-ed25519}\n{host} {ed25519}\n",
        ),
        case(
            "a right and a wrong key of one type",
            "{host} {ed25519}\n{host} {other-ed25519}\n",
        ),
        case(
            "a right rsa and a wrong ed25519 key",
            "{host} {rsa}\n{host} {other-ed25519}\n",
        ),
        case(
            "a wrong rsa and a right ed25519 key",
            "{host} {other-rsa}\n{host} {ed25519}\n",
        ),
        case(
            "a right rsa and a wrong ed25519 key, accept-new",
            "{host} {rsa}\n{host} {other-ed25519}\n",
        )
        .policy("accept-new"),
        case("an rsa key alone, accept-new", "{host} {rsa}\n").policy("accept-new"),
        case("another host", "elsewhere {ed25519}\n"),
        case("another port", "[127.0.0.1]:1 {ed25519}\n"),
        case("without the port", "127.0.0.1 {ed25519}\n"),
        case(
            "without the port, a wrong key",
            "127.0.0.1 {other-ed25519}\n",
        ),
        case(
            "without the port, a wrong key, accept-new",
            "127.0.0.1 {other-ed25519}\n",
        )
        .policy("accept-new"),
        case("without the port, accept-new", "127.0.0.1 {ed25519}\n").policy("accept-new"),
        case("a list of names", "a,b,{host},c {ed25519}\n"),
        case("a list with a blank", "a, {host} {ed25519}\n"),
        case("a star", "* {ed25519}\n"),
        case("a pattern", "[127.0.*]:* {ed25519}\n"),
        case("a question mark", "[127.0.0.?]:{port} {ed25519}\n"),
        case("a pattern that does not match", "[10.*]:* {ed25519}\n"),
        case("negated", "*,!{host} {ed25519}\n"),
        case("negated first", "!{host},* {ed25519}\n"),
        case(
            "negated, another line matches",
            "*,!{host} {other-ed25519}\n{host} {ed25519}\n",
        ),
        case("only negated", "!elsewhere {ed25519}\n"),
        case("upper case in the file", "[LOCALHOST]:{port} {ed25519}\n").host("localhost"),
        case(
            "upper case on the command line",
            "[localhost]:{port} {ed25519}\n",
        )
        .host("LOCALHOST"),
        case("tabs", "{host}\t{ed25519}\n"),
        case("leading blanks", "   {host} {ed25519}\n"),
        case(
            "leading tab and comment lines",
            "# x\n\n\t{host} {ed25519}\n",
        ),
        case("a comment line", "#{host} {ed25519}\n"),
        case("no newline at the end", "{host} {ed25519}"),
        case("no newline at the end, accept-new", "elsewhere {ed25519}").policy("accept-new"),
        case("carriage returns", "{host} {ed25519}\r\n"),
        case(
            "a broken line before",
            "{host} ssh-ed25519 AAAA\n{host} {ed25519}\n",
        ),
        case(
            "garbage before",
            "\u{1}\u{2} garbage\n{host}\n{host} {ed25519}\n",
        ),
        case("a broken line alone", "{host} ssh-ed25519 AAAA\n"),
        case(
            "an unknown type before",
            "{host} ssh-new AAAAB3NzaC1yc2E=\n{host} {ed25519}\n",
        ),
        case("hashed", "{hashed} {ed25519}\n"),
        case("hashed, a wrong key", "{hashed} {other-ed25519}\n"),
        case(
            "hashed name of another host",
            "{hashed-elsewhere} {ed25519}\n",
        ),
        case("hashed without the port", "{hashed-plain} {ed25519}\n"),
        case(
            "a broken hash before",
            "|1|x|y {ed25519}\n{host} {ed25519}\n",
        ),
        case("revoked", "@revoked {host} {ed25519}\n{host} {ed25519}\n"),
        case(
            "revoked, behind the good line",
            "{host} {ed25519}\n@revoked * {ed25519}\n",
        ),
        case(
            "revoked, another key",
            "@revoked * {other-ed25519}\n{host} {ed25519}\n",
        ),
        case("revoked alone, accept-new", "@revoked * {ed25519}\n").policy("accept-new"),
        case("revoked alone, no", "@revoked * {ed25519}\n").policy("no"),
        case(
            "revoked for another host",
            "@revoked elsewhere {ed25519}\n{host} {ed25519}\n",
        ),
        case(
            "all revoked",
            "@revoked * {ed25519}\n@revoked * {rsa}\n@revoked * {ecdsa}\n{host} {ed25519}\n",
        ),
        case("an unknown marker", "@nonsense {host} {ed25519}\n"),
        case(
            "an authority instead of a key",
            "@cert-authority {host} {ed25519}\n",
        ),
        case("in the global file", "").global("{host} {ed25519}\n"),
        case("wrong in the global file", "").global("{host} {other-ed25519}\n"),
        case("right here, wrong in the global file", "{host} {ed25519}\n")
            .global("{host} {other-ed25519}\n"),
        case(
            "wrong here, right in the global file",
            "{host} {other-ed25519}\n",
        )
        .global("{host} {ed25519}\n"),
        case("revoked in the global file", "{host} {ed25519}\n").global("@revoked * {ed25519}\n"),
        case("an alias", "alias {ed25519}\n").option(&[("HostKeyAlias", "alias")]),
        case("an alias that is not recorded", "{host} {ed25519}\n")
            .option(&[("HostKeyAlias", "alias")]),
        case("an alias, accept-new", "")
            .policy("accept-new")
            .option(&[("HostKeyAlias", "Alias")]),
        case("the algorithm is chosen", "{host} {ed25519}\n")
            .option(&[("HostKeyAlgorithms", "rsa-sha2-512")]),
        case("the algorithm is chosen and recorded", "{host} {rsa}\n")
            .option(&[("HostKeyAlgorithms", "rsa-sha2-256")]),
        case("the order is chosen", "{host} {rsa}\n")
            .option(&[("HostKeyAlgorithms", "ssh-ed25519,rsa-sha2-512")]),
        case("the order is moved", "{host} {rsa}\n")
            .option(&[("HostKeyAlgorithms", "^ssh-ed25519")]),
        case("one is taken away", "{host} {rsa}\n")
            .option(&[("HostKeyAlgorithms", "-ssh-ed25519*")]),
        case("loopback is trusted", "{host} {other-ed25519}\n")
            .option(&[("NoHostAuthenticationForLocalhost", "yes")]),
    ];
    let certified = [
        case("an authority", "@cert-authority {host} {ca}\n"),
        case(
            "an authority by pattern",
            "@cert-authority [127.*]:* {ca}\n",
        ),
        case(
            "an authority without the port",
            "@cert-authority 127.0.0.1 {ca}\n",
        ),
        case("another authority", "@cert-authority * {ca2}\n"),
        case("another authority, accept-new", "@cert-authority * {ca2}\n").policy("accept-new"),
        case(
            "an authority of another host",
            "@cert-authority elsewhere {ca}\n",
        ),
        case("no authority, the plain key", "{host} {server}\n"),
        case("no authority, accept-new", "").policy("accept-new"),
        case(
            "another authority and the plain key",
            "@cert-authority * {ca2}\n{host} {server}\n",
        ),
        case(
            "an authority and a wrong key",
            "@cert-authority * {ca}\n{host} {other-ed25519}\n",
        ),
        case(
            "a revoked authority",
            "@cert-authority * {ca}\n@revoked * {ca}\n",
        ),
        case(
            "a revoked authority, the plain key",
            "@cert-authority * {ca}\n@revoked * {ca}\n{host} {server}\n",
        ),
        case(
            "a revoked key under a good authority",
            "@cert-authority * {ca}\n@revoked * {server}\n",
        ),
        case("the authority's key as a host key", "{host} {ca}\n"),
        case("for another principal", "@cert-authority * {ca}\n").host("localhost"),
        case(
            "for another principal, the plain key",
            "@cert-authority * {ca}\n[localhost]:{port} {server}\n",
        )
        .host("localhost"),
        case(
            "for another principal, accept-new",
            "@cert-authority * {ca}\n",
        )
        .host("localhost")
        .policy("accept-new"),
        case("a principal by pattern", "@cert-authority * {ca}\n")
            .option(&[("HostKeyAlias", "x.example.com")]),
        case("an authority in the global file", "").global("@cert-authority * {ca}\n"),
        case(
            "an authority whose signature is not allowed",
            "@cert-authority * {ca}\n",
        )
        .option(&[("CASignatureAlgorithms", "rsa-sha2-512")]),
    ];
    all.extend(certified.into_iter().map(Case::certified));
    let expired = [
        case("an expired certificate", "@cert-authority * {ca}\n"),
        case(
            "an expired certificate and the plain key",
            "@cert-authority * {ca}\n{host} {server}\n",
        ),
        case(
            "an expired certificate, accept-new",
            "@cert-authority * {ca}\n",
        )
        .policy("accept-new"),
        case("an expired certificate, no", "@cert-authority * {ca}\n").policy("no"),
    ];
    all.extend(expired.into_iter().map(|case| Case {
        expired: true,
        ..case
    }));
    all
}
