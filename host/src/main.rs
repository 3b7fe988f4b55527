//! The `tombolo` program; all of it is in [`tombolo::cli`].

fn main() -> std::process::ExitCode {
    tombolo::cli::main()
}
