//! The fuzz targets on mutants of their corpus, without a fuzzer: a second for each, or EASYCLUSTER_FUZZ_SECONDS.
//!
//! It needs neither a nightly compiler nor a sanitizer, and follows no coverage; fuzz/README.md has the real thing.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use easycluster::fuzz::TARGETS;

/// The longest mutant, in bytes.
const LONGEST: usize = 4096;

/// What means something to one target or another.
const WORDS: [&[u8]; 24] = [
    b"\x80\x04",
    b"\x95",
    b"\x8c",
    b"\x93",
    b"\x94",
    b"\x85R",
    b"}(",
    b"e.",
    b"EC",
    b"\0\0\0\x10",
    b"\xff\xff\xff\xff",
    b"Host ",
    b"Match ",
    b"!*,",
    b"%h",
    b"@cert-authority ",
    b"@revoked ",
    b"|1|",
    b"ssh-ed25519 ",
    b":rpython=",
    b"\\:",
    b"\x1b[",
    b"\x1b[1;31m",
    b"\r\n",
];

/// A small generator of numbers; which seed it began with is said where a mutant fails.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

fn mutate(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut data = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(8) {
        let at = random.below(data.len() + 1);
        let end = (at + random.below(16)).min(data.len());
        match random.below(7) {
            0 if at < data.len() => data[at] ^= 1 << random.below(8),
            1 if at < data.len() => data[at] = random.next() as u8,
            2 => drop(data.drain(at..end)),
            3 => {
                let piece = data[at..end].to_vec();
                let to = random.below(data.len() + 1);
                data.splice(to..to, piece);
            }
            4 => {
                let word = WORDS[random.below(WORDS.len())];
                data.splice(at..at, word.iter().copied());
            }
            5 => {
                let other = &corpus[random.below(corpus.len())];
                let from = random.below(other.len() + 1);
                data.truncate(at);
                data.extend_from_slice(&other[from..]);
            }
            _ => data.insert(at, random.next() as u8),
        }
    }
    data.truncate(LONGEST);
    data
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(name);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let corpus: Vec<Vec<u8>> = files
        .iter()
        .map(|file| std::fs::read(file).unwrap())
        .collect();
    assert!(corpus.len() >= 5, "{name} has seeds");
    corpus
}

#[test]
fn no_mutant_makes_a_target_fail() {
    let seconds = std::env::var("EASYCLUSTER_FUZZ_SECONDS").ok();
    let seconds: u64 = seconds.map_or(1, |text| text.parse().expect("a number of seconds"));
    let seed = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_nanos() as u64
        | 1;
    for (name, target) in TARGETS {
        let corpus = corpus(name);
        for input in &corpus {
            target(input);
        }
        let mut random = Random(seed);
        let end = Instant::now() + Duration::from_secs(seconds);
        let mut count = 0u64;
        while Instant::now() < end {
            let input = mutate(&mut random, &corpus);
            let done = std::panic::catch_unwind(|| target(&input));
            assert!(
                done.is_ok(),
                "{name}, mutant {count} of seed {seed}: {input:?}"
            );
            count += 1;
        }
        println!("{name}: {count} mutants");
    }
}
