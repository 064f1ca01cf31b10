//! The program's entry: hands over to the command line.

fn main() {
    std::process::exit(easycluster::cli::main(std::env::args_os()));
}
