//! The `tombolo` program; all of it is in [`tombolo::cli`].

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    tombolo::cli::main()
}
