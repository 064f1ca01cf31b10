//! What a host's Python is as far as packages go, and how uv and pip call that.

use std::fmt;

use crate::visible::short_line;

/// Kinds of processors for which there are wheels on Linux.
const MACHINES: [&str; 7] = [
    "x86_64", "aarch64", "i686", "armv7l", "ppc64le", "s390x", "riscv64",
];
/// The minor versions of the C library, glibc 2, that uv knows platforms by.
const KNOWN_TO_UV: [u32; 12] = [17, 28, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40];

/// No glibc has a later minor version; each has a tag of its own.
const LATEST_GLIBC: u32 = 99;
/// The longest name that a host gives a part of its platform.
const LONGEST_NAME: usize = 80;

/// What `helpers/environments.platform` tells: version, implementation, platform, C library.
pub(crate) type Told = ((u32, u32), String, String, String);

/// A version of Python and a platform.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Platform {
    version: (u32, u32),
    implementation: String,
    platform: String,
    library: String,
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.version();
        write!(
            f,
            "{version} {} {} {}",
            self.implementation, self.platform, self.library
        )
    }
}

impl Platform {
    pub(crate) fn told((version, implementation, platform, library): Told) -> Platform {
        // As text of a server, which stands in errors.
        let shown = |name: String| short_line(&name, LONGEST_NAME);
        Platform {
            version,
            implementation: shown(implementation),
            platform: shown(platform),
            library: shown(library),
        }
    }

    /// The version of Python, such as `3.11`.
    pub(crate) fn version(&self) -> String {
        format!("{}.{}", self.version.0, self.version.1)
    }

    /// The name of the platform, such as `linux-x86_64`.
    pub(crate) fn name(&self) -> &str {
        &self.platform
    }

    fn machine(&self) -> Result<&str, String> {
        let machine = self.platform.strip_prefix("linux-").unwrap_or_default();
        if self.implementation == "cpython" && MACHINES.contains(&machine) {
            return Ok(machine);
        }
        Err(format!(
            "packages are built for CPython on Linux, and it runs {} on {}",
            self.implementation, self.platform
        ))
    }

    /// The version of glibc; `None` where the C library is musl.
    fn glibc(&self) -> Option<(u32, u32)> {
        let mut numbers = self.library.strip_prefix("glibc ")?.split('.');
        let mut number = || numbers.next()?.parse().ok();
        Some((number()?, number()?))
    }

    /// What uv calls the platform.
    pub(super) fn for_uv(&self) -> Result<String, String> {
        let machine = self.machine()?;
        let Some((_, minor)) = self.glibc() else {
            return Ok(format!("{machine}-unknown-linux-musl"));
        };
        let known = KNOWN_TO_UV.iter().rev().find(|known| **known <= minor);
        Ok(format!(
            "{machine}-manylinux_2_{}",
            known.copied().unwrap_or(17)
        ))
    }

    /// The words by which pip is told version and platform; the tags that wheels may have, best first.
    pub(super) fn for_pip(&self) -> Result<Vec<String>, String> {
        let machine = self.machine()?;
        let tags = match self.glibc() {
            None => vec![
                format!("musllinux_1_2_{machine}"),
                format!("musllinux_1_1_{machine}"),
            ],
            Some(version) => {
                let tags = (5..=version.1.min(LATEST_GLIBC)).rev();
                let mut tags: Vec<String> = tags
                    .map(|minor| format!("manylinux_2_{minor}_{machine}"))
                    .collect();
                if version >= (2, 17) {
                    tags.push(format!("manylinux2014_{machine}"));
                }
                tags
            }
        };
        let abi = format!("cp{}{}", self.version.0, self.version.1);
        let words = ["--implementation", "cp", "--abi", &abi];
        let words = words.into_iter().chain(["--abi", "abi3", "--abi", "none"]);
        let mut words: Vec<String> = words.map(str::to_owned).collect();
        for tag in tags {
            words.extend(["--platform".to_owned(), tag]);
        }
        Ok(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(implementation: &str, platform: &str, library: &str) -> Platform {
        let [implementation, platform, library] =
            [implementation, platform, library].map(str::to_owned);
        Platform::told(((3, 11), implementation, platform, library))
    }

    #[test]
    fn platforms_are_called_as_uv_and_pip_call_them() {
        let debian = platform("cpython", "linux-x86_64", "glibc 2.36");
        assert_eq!(debian.for_uv().unwrap(), "x86_64-manylinux_2_36");
        let words = debian.for_pip().unwrap().join(" ");
        assert!(words.contains("--abi cp311 --abi abi3"), "{words}");
        assert!(
            words.contains("--platform manylinux_2_36_x86_64 --platform manylinux_2_35_x86_64")
        );
        assert!(words.ends_with("manylinux_2_5_x86_64 --platform manylinux2014_x86_64"));
        let centos = platform("cpython", "linux-aarch64", "glibc 2.27");
        assert_eq!(centos.for_uv().unwrap(), "aarch64-manylinux_2_17");
        let alpine = platform("cpython", "linux-x86_64", "");
        assert_eq!(alpine.for_uv().unwrap(), "x86_64-unknown-linux-musl");
        assert!(
            alpine
                .for_pip()
                .unwrap()
                .contains(&"musllinux_1_2_x86_64".to_owned())
        );
    }

    #[test]
    fn what_a_host_says_of_itself_is_bounded_and_visible() {
        let hostile = platform("cpython", "linux-x86_64", "glibc 2.4294967295");
        assert!(hostile.for_pip().unwrap().len() < 300);
        let hostile = platform("\x1b[2J", &"x\r\n".repeat(1000), "");
        let refused = hostile.for_uv().unwrap_err();
        assert!(
            !refused.contains(['\x1b', '\r', '\n']) && refused.len() < 1000,
            "{refused}"
        );
    }

    #[test]
    fn what_has_no_wheels_is_said() {
        for (implementation, name) in [("pypy", "linux-x86_64"), ("cpython", "macosx-14-arm64")] {
            let refused = platform(implementation, name, "").for_uv().unwrap_err();
            assert!(refused.ends_with(&format!("it runs {implementation} on {name}")));
        }
    }
}
