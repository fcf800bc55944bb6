//! The program: everything is in the library.

fn main() -> std::process::ExitCode {
    pause_monitor::cli::main()
}
