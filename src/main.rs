//! The program's entry: hands over to the command line.

// Rust opens `/dev/null` in place of a standard output that is closed, before `main`.
ctor::declarative::ctor! {
    #[ctor(unsafe)]
    fn before_rust_starts() {
        easycluster::cli::note_closed_output();
    }
}

fn main() {
    std::process::exit(easycluster::cli::main(std::env::args_os()));
}
