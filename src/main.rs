//! Starts the command line; see [`sprachpost`] for everything else.

fn main() -> std::process::ExitCode {
    sprachpost::cli::main()
}
